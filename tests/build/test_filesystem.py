"""What a RUN does to files, seen in the image: the same in every runtime, on layers just made and on layers extracted."""

from __future__ import annotations

import json
import os
import stat
from typing import Any, Dict, List, NamedTuple, Optional

import pytest

from imagebuild.execute.requests import CacheOptions
from imagebuild.layer.removal import remove_path
from support.bench import RUNTIMES, build_runs, image_tree
from support.builds import Machine
from support.flatten import Tree, described, flatten, layer_tars, members

CAPABILITY = r"\001\000\000\002\000\004\000\000\000\000\000\000\000\000\000\000\000\000\000\000"
CAP = r"security.capability='\x01\x00\x00\x02\x00\x04" + r"\x00" * 14 + "'"


class Case(NamedTuple):
    """:param lower: a script whose layer is below that of `script`.
    :param expected: path -> what `described` says of it, None for nothing there.
    """

    lower: str
    script: str
    expected: Dict[str, Optional[str]]


TREE = "mkdir -p /d/s; echo f > /d/f; echo g > /d/s/g; chmod 750 /d/s; chown 3:4 /d/s/g"

CASES: Dict[str, Case] = {
    "a file becomes a directory": Case(
        TREE,
        "rm /d/f; mkdir /d/f; echo n > /d/f/n",
        {"d/f": "dir 755 0:0", "d/f/n": r"file 644 0:0 'n\n'"},
    ),
    "a directory becomes a file": Case(
        TREE,
        "rm -r /d/s; echo n > /d/s",
        {"d/s": r"file 644 0:0 'n\n'", "d/s/g": None, "d/f": r"file 644 0:0 'f\n'"},
    ),
    "a directory becomes a link": Case(
        TREE, "mv /d/s /d/t; ln -s t /d/s", {"d/s": "-> t", "d/t/g": r"file 644 3:4 'g\n'"}
    ),
    "a link becomes a directory": Case(
        "mkdir /t; echo x > /t/x; ln -s t /l",
        "rm /l; mkdir /l; echo y > /l/y",
        {"l": "dir 755 0:0", "l/y": r"file 644 0:0 'y\n'", "l/x": None, "t/y": None},
    ),
    "a directory is deleted and made again": Case(
        TREE,
        "rm -r /d; mkdir /d; echo n > /d/n",
        {"d": "dir 755 0:0", "d/n": r"file 644 0:0 'n\n'", "d/f": None, "d/s": None},
    ),
    "a directory is deleted, made again and left empty": Case(
        TREE, "rm -r /d; mkdir -m 700 /d", {"d": "dir 700 0:0", "d/f": None, "d/s": None}
    ),
    "a directory below is deleted and made again": Case(
        TREE,
        "rm -r /d/s; mkdir /d/s; touch /d/s/n",
        {"d/s": "dir 755 0:0", "d/s/n": "file 644 0:0 ''", "d/s/g": None, "d/f": r"file 644 0:0 'f\n'"},
    ),
    "a file is deleted and made again": Case(
        TREE, "rm /d/s/g; echo n > /d/s/g", {"d/s/g": r"file 644 0:0 'n\n'", "d/s": "dir 750 0:0"}
    ),
    "all of a directory is deleted": Case(
        TREE, "rm -r /d/* ; rmdir /d", {"d": None, "d/f": None, "d/s": None, "d/s/g": None}
    ),
    "a directory is emptied": Case(TREE, "rm -r /d/*", {"d": "dir 755 0:0", "d/f": None, "d/s": None}),
    "a directory is renamed": Case(
        TREE,
        "mv /d /e",
        {"d": None, "d/f": None, "e": "dir 755 0:0", "e/f": r"file 644 0:0 'f\n'", "e/s": "dir 750 0:0",
         "e/s/g": r"file 644 3:4 'g\n'"},
    ),
    "a directory is renamed and changed": Case(
        TREE,
        "mv /d /e; rm /e/f; echo n >> /e/s/g; mkdir /d; echo d > /d/new",
        {"d": "dir 755 0:0", "d/new": r"file 644 0:0 'd\n'", "d/f": None, "d/s": None, "e/f": None,
         "e/s/g": r"file 644 3:4 'g\nn\n'"},
    ),
    "a directory is renamed into another": Case(
        TREE + "; mkdir /o", "mv /d/s /o/s", {"d/s": None, "o/s": "dir 750 0:0", "o/s/g": r"file 644 3:4 'g\n'"}
    ),
    "a directory is renamed and back": Case(
        TREE, "mv /d /e; mv /e /d", {"e": None, "d/f": r"file 644 0:0 'f\n'", "d/s/g": r"file 644 3:4 'g\n'"}
    ),
    "directories are exchanged": Case(
        "mkdir /p /q; echo p > /p/p; echo q > /q/q",
        "mv /p /t; mv /q /p; mv /t /q",
        {"p/p": None, "q/q": None, "p/q": r"file 644 0:0 'q\n'", "q/p": r"file 644 0:0 'p\n'", "t": None},
    ),
    "a renamed directory is renamed again in its parent": Case(
        TREE, "mv /d/s /d/t; mv /d /e", {"d": None, "e/t/g": r"file 644 3:4 'g\n'", "e/s": None}
    ),
    "a file is renamed over another": Case(
        TREE, "mv /d/s/g /d/f", {"d/s/g": None, "d/f": r"file 644 3:4 'g\n'", "d/s": "dir 750 0:0"}
    ),
    "new hard links": Case(
        "true",
        "mkdir /h /i; echo x > /h/a; ln /h/a /h/b; ln /h/a /i/c; chmod 640 /i/c",
        {"h/a": r"file 640 0:0 'x\n' = b'h/b' = b'i/c'", "i/c": r"file 640 0:0 'x\n' = b'h/a' = b'h/b'"},
    ),
    "a hard link to a lower file": Case(
        TREE, "ln /d/f /d/h", {"d/f": r"file 644 0:0 'f\n' = b'd/h'", "d/h": r"file 644 0:0 'f\n' = b'd/f'"}
    ),
    "a lower file linked elsewhere and changed": Case(
        TREE, "ln /d/f /h; echo n >> /d/f", {"d/f": r"file 644 0:0 'f\nn\n' = b'h'"}
    ),
    "lower hard links that stay": Case(
        "mkdir /h; echo x > /h/a; ln /h/a /h/b",
        "touch /h/new",
        {"h/a": r"file 644 0:0 'x\n' = b'h/b'", "h/b": r"file 644 0:0 'x\n' = b'h/a'"},
    ),
    "one of two lower hard links is deleted": Case(
        "mkdir /h; echo x > /h/a; ln /h/a /h/b", "rm /h/a", {"h/a": None, "h/b": r"file 644 0:0 'x\n'"}
    ),
    "hard links of a link, a fifo and a file": Case(
        "true",
        "mkdir /h; mkfifo /h/p; ln /h/p /h/p2; ln -s x /h/l; ln /h/l /h/l2; true",
        {"h/p": "fifo 644 0:0 = b'h/p2'", "h/l2": "-> x"},
    ),
    "bits for the owner's rights": Case(
        "true",
        "mkdir /b; cd /b; touch u g s ug; chmod 4755 u; chmod 2711 g; chmod 1644 s; chmod 6755 ug;"
        " mkdir -m 2770 dg; mkdir -m 1777 dt; mkdir -m 3000 dgt; mkdir -m 0 d0; touch f0; chmod 0 f0",
        {"b/u": "file 4755 0:0 ''", "b/g": "file 2711 0:0 ''", "b/s": "file 1644 0:0 ''", "b/ug": "file 6755 0:0 ''",
         "b/dg": "dir 2770 0:0", "b/dt": "dir 1777 0:0", "b/dgt": "dir 3000 0:0", "b/d0": "dir 0 0:0",
         "b/f0": "file 0 0:0 ''"},
    ),
    "chown clears set-user-id, chmod sets it again": Case(
        "touch /a /b; chmod 4755 /a /b",
        "chown 5:6 /a; chown 5:6 /b; chmod 4755 /b",
        {"a": "file 755 5:6 ''", "b": "file 4755 5:6 ''"},
    ),
    "what a set-group-id directory hands down": Case(
        "true",
        "mkdir /g; chown 0:50 /g; chmod 2775 /g; touch /g/f; mkdir /g/d",
        {"g/f": "file 644 0:50 ''", "g/d": "dir 2755 0:50"},
    ),
    "capabilities": Case(
        f"touch /c /l; chmod 755 /c /l; printf '{CAPABILITY}' | setxattr /l security.capability",
        f"printf '{CAPABILITY}' | setxattr /c security.capability; mv /l /m",
        {"c": f"file 755 0:0 '' {CAP}", "m": f"file 755 0:0 '' {CAP}"},
    ),
    "capabilities end with a chown and a write": Case(
        f"touch /a /b; for f in /a /b; do printf '{CAPABILITY}' | setxattr $f security.capability; done",
        "chown 1:1 /a; echo x > /b",
        {"a": "file 644 1:1 ''", "b": r"file 644 0:0 'x\n'"},
    ),
    "user attributes": Case(
        r"mkdir /x; touch /x/l; printf 'low' | setxattr /x/l user.low; printf d | setxattr /x user.dir",
        r"printf 'a\000\n=' | setxattr /x/l user.new; touch /x/n; printf '' | setxattr /x/n user.empty",
        {"x": "dir 755 0:0 user.dir='d'", "x/l": r"file 644 0:0 '' user.low='low' user.new='a\x00\n='",
         "x/n": "file 644 0:0 '' user.empty=''"},
    ),
    "fifos": Case(
        "mkfifo -m 640 /p", "mkfifo /q; chown 7:8 /q; mv /p /r", {"p": None, "q": "fifo 644 7:8", "r": "fifo 640 0:0"}
    ),
    "sockets are left out": Case("touch /s1", "mksocket /s2; rm /s1; mksocket /s1", {"s1": None, "s2": None}),
    "the largest ids": Case(
        "touch /i; chown 4294967294:4294967294 /i",
        "mkdir /j; chown 4294967294:4294967294 /j; touch /k; chown 4294967293:2147483648 /k; mv /i /l",
        {"j": "dir 755 4294967294:4294967294", "k": "file 644 4294967293:2147483648 ''",
         "l": "file 644 4294967294:4294967294 ''"},
    ),
    "names": Case(
        r"""mkdir /n; cd /n; touch "$(printf '\377\376')" "$(printf '%0255d' 0)" """,
        r"""cd /n; touch "$(printf 'a\nb')" "$(printf '\303')" ' ' '#' '\' '*' "$(printf '%0254d\351' 0)"; rm "$(printf '\377\376')" """,
        {"n/\udcff\udcfe": None, "n/a\nb": "file 644 0:0 ''", "n/\udcc3": "file 644 0:0 ''", "n/ ": "file 644 0:0 ''",
         "n/#": "file 644 0:0 ''", "n/\\": "file 644 0:0 ''", "n/*": "file 644 0:0 ''", "n/" + "0" * 255: "file 644 0:0 ''",
         "n/" + "0" * 254 + "\udce9": "file 644 0:0 ''"},
    ),
    "paths of 4,000 bytes": Case(
        f"n={'n' * 199}; for i in 1 2 3 4 5 6 7 8 9 10; do mkdir $n; cd $n; done; echo low > f; ln f g",
        f"n={'n' * 199}; for i in 1 2 3 4 5 6 7 8 9 10; do cd $n; done; for i in 1 2 3 4 5 6 7 8 9 10; do mkdir $n; cd $n;"
        " done; echo deep > f; ln -s f l; mkfifo p",
        {f"{'n' * 199}/" * 20 + "f": r"file 644 0:0 'deep\n'", f"{'n' * 199}/" * 20 + "l": "-> f",
         f"{'n' * 199}/" * 20 + "p": "fifo 644 0:0",
         f"{'n' * 199}/" * 10 + "f": rf"file 644 0:0 'low\n' = b'{('n' * 199 + '/') * 10}g'"},
    ),
    "long paths are renamed and removed": Case(
        f"n={'n' * 199}; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do mkdir $n; cd $n; done; echo low > f",
        f"mv /{'n' * 199} /m; n={'n' * 199}; cd /m; for i in 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do cd $n; done;"
        f" rm $n/f; touch $n/g",
        {"n" * 199: None, "m/" + f"{'n' * 199}/" * 18 + "f": None, "m/" + f"{'n' * 199}/" * 18 + "g": "file 644 0:0 ''"},
    ),
    "holes": Case(
        "dd if=/dev/zero of=/low bs=1 count=0 seek=20000000 2>&-",
        "dd if=/dev/zero of=/holes bs=1 count=0 seek=30000000 2>&-; echo end >> /holes; echo end >> /low",
        {"holes": "file 644 0:0 30000004 bytes", "low": "file 644 0:0 20000004 bytes"},
    ),
    "an empty file, truncated from below": Case("echo x > /t", ": > /t", {"t": "file 644 0:0 ''"}),
    "owner and mode of lower files and directories": Case(
        TREE,
        "chown -R 9:9 /d; chmod 711 /d",
        {"d": "dir 711 9:9", "d/s": "dir 750 9:9", "d/s/g": r"file 644 9:9 'g\n'", "d/f": r"file 644 9:9 'f\n'"},
    ),
    "the root itself": Case("true", "chmod 711 /; chown 1:2 /", {"": "dir 711 1:2"}),
    "links that lead out, in circles and nowhere": Case(
        "ln -s ../../../etc/passwd /up; ln -s c2 /c1; ln -s c1 /c2",
        f"ln -s /{'x' * 4094} /far; mv /up /up2; ln -sfn nowhere /c1",
        {"up2": "-> ../../../etc/passwd", "c1": "-> nowhere", "c2": "-> c1", "up": None, "far": "-> /" + "x" * 4094},
    ),
}  # fmt: skip


def comparable(tree: Tree) -> Dict[bytes, Any]:
    """Everything about every path: its node in words, the content's hash, and the time."""
    return {
        path: (text, tree[path].sha256, tree[path].mtime) for path, text in described(tree).items()
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_run_in_every_runtime_and_over_extracted_layers(bench: Machine, case: Case) -> None:
    built = build_runs(bench, case.lower, case.script)
    found = image_tree(bench, built)

    words = described(found)
    paths = {path: path.encode("utf-8", "surrogateescape") for path in case.expected}
    assert case.expected == {path: words.get(raw) for path, raw in paths.items()}

    copied = image_tree(bench, build_runs(bench, case.lower, case.script, runtime="chroot"))
    assert comparable(found) == comparable(copied), "the chroot runtime makes another tree"

    lower = [layer.diff_id for layer in built.image.layers[:-1]]
    remove_path(bench.store.extracted(lower)[-1])
    again = build_runs(bench, case.lower, f": again; {case.script}", use_cache=True)
    assert ("local", "built") == again.origins
    assert comparable(found) == comparable(
        image_tree(bench, again)
    ), "an extracted layer is not what was captured"


# A script that changes nothing that stays, and what its layer holds: /tmp, where only that names were there leaves a trace.
READS = {
    "true": [],
    "cat /etc/passwd; ls -lR /; find / -xdev -type f | xargs -n 50 cat": [],
    "test -w /etc/passwd; cd /tmp; stat .": [],
    "touch /tmp/x; rm /tmp/x": [b"tmp"],
    "mkdir /tmp/d; mv /tmp/d /tmp/e; rmdir /tmp/e": [b"tmp"],
    "mv /etc/passwd /etc/p; mv /etc/p /etc/passwd": [b"etc", b"etc/passwd"],
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("script, names", READS.items(), ids=list(READS))
def test_what_leaves_no_trace_makes_an_empty_layer(
    bench: Machine, script: str, names: List[bytes], runtime: str
) -> None:
    """Nothing but the end of an archive, wherever it is made; else it would not be the same layer again."""
    layers = layer_tars(
        bench.layout(build_runs(bench, f"{{ {script}; }} >/dev/null", runtime=runtime))
    )

    assert names == [name for name in members(layers[-1]) if b".wh." not in name]
    assert bool(names) or bytes(1024) == layers[-1]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_layer_holds_what_changed_and_its_parents_only(bench: Machine, runtime: str) -> None:
    lower = "mkdir -p /a/b/c /z; touch /a/b/c/f /a/b/c/g /z/z; chmod 700 /a/b; chown 5:5 /a"

    built = build_runs(bench, lower, "chmod 600 /a/b/c/f; rm /z/z", runtime=runtime)
    tars = layer_tars(bench.layout(built))

    assert [b"a", b"a/b", b"a/b/c", b"a/b/c/f", b"z", b"z/.wh.z"] == members(tars[-1])
    words = described(flatten(tars))
    assert ["dir 755 5:5", "dir 700 0:0"] == [words[path] for path in (b"a", b"a/b")]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_times_newer_than_the_epoch_become_it(bench: Machine, runtime: str) -> None:
    script = (
        "cd /tmp; mkdir old new; touch old/f; ln -s x l; mkfifo p; touch -d @1234 old/f; touch -h -d @1235 l;"
        " touch -d @1236 old p; touch -d @4000000000 new; touch n; touch -d '1969-12-31 23:59:55' before"
    )
    found = image_tree(bench, build_runs(bench, script, runtime=runtime, epoch=1_000_000))

    times = {path[4:]: node.mtime for path, node in found.items() if path.startswith(b"tmp/")}
    assert {
        b"old": 1236,
        b"old/f": 1234,
        b"l": 1235,
        b"p": 1236,
        b"new": 1_000_000,
        b"n": 1_000_000,
        b"before": -5,
    } == times
    assert 1_000_000 == found[b"tmp"].mtime, "its contents changed just now"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_times_are_kept_where_asked_for(bench: Machine, runtime: str) -> None:
    built = build_runs(
        bench, "touch -d @4000000000 /new; touch -d @1234 /old", runtime=runtime, epoch=None
    )

    found = image_tree(bench, built)

    assert (4_000_000_000, 1234) == (found[b"new"].mtime, found[b"old"].mtime)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_parents_time_moves_only_with_its_names(bench: Machine, runtime: str) -> None:
    lower = "mkdir -p /a/b; touch /a/b/f; touch -d @1000 /a/b /a"

    found = image_tree(
        bench, build_runs(bench, lower, "echo x > /a/b/f; chmod 700 /a", runtime=runtime)
    )

    assert [1000, 1000] == [found[path].mtime for path in (b"a", b"a/b")]


def test_devices(bench: Machine) -> None:
    """In the image they are what the layer says; a RUN can make them where it may, and never those of overlayfs."""
    make = "mkdir /n; mknod -m 640 /n/null c 1 3; mknod /n/disk b 8 17; chown 0:6 /n/disk; ln /n/null /n/zero"
    built = build_runs(bench, make, "mv /n/disk /n/moved; rm /n/zero; touch /n/f")

    words = described(image_tree(bench, built))

    assert {
        b"n": "dir 755 0:0",
        b"n/null": "char 640 0:0 1:3",
        b"n/moved": "block 644 0:6 8:17",
        b"n/f": "file 644 0:0 ''",
    } == {path: text for path, text in words.items() if path.startswith(b"n")}


def test_devices_of_the_image_stay_where_the_runtime_has_none(bench: Machine) -> None:
    """The chroot runtime neither makes them nor shows those of the image; it leaves them in the image all the same."""
    make = "mkdir /n; mknod /n/null c 1 3; mknod /n/gone c 1 5; mkdir /o; mknod /o/dev c 1 5"
    build_runs(bench, make)
    script = "test ! -e /n/null; ! mknod /n/x c 1 3; touch /n/f; rm -r /o"
    built = build_runs(bench, make, script, runtime="chroot", use_cache=True)

    words = described(image_tree(bench, built))

    assert {"char 644 0:0 1:3"} == {words.get(b"n/null")}
    assert [None, None, None] == [words.get(path) for path in (b"n/x", b"o", b"o/dev")]


EVERYTHING = (
    "mkdir -p /all/d/e; cd /all; echo f > f; chmod 4711 f; chown 4294967294:7 f; ln f d/hard; ln -s ../f d/l; ln -s /x abs;"
    " mkfifo -m 600 p; mknod -m 640 c c 1 3; chmod 1777 d; chown 3:4 d/e; touch \"$(printf '\\377')\" \"$(printf '%0255d' 0)\";"
    f" printf '{CAPABILITY}' | setxattr f security.capability; printf v | setxattr d user.dir; touch d/0; chmod 0 d/0;"
    " dd if=/dev/zero of=holes bs=1 count=0 seek=20000000 2>/dev/null; mkdir empty"
)


def test_a_copy_of_a_stage_is_the_stage(bench: Machine) -> None:
    """Every kind of file, through COPY --from: owner, mode, attributes, links and devices."""
    made = json.dumps(["sh", "-ec", EVERYTHING])
    whole, part = (
        bench.build(
            f"FROM BASE AS s\nRUN {made}\n{more}", cache=CacheOptions(), runtime="namespace"
        )
        for more in ("", "FROM scratch\nCOPY --from=s /all /all\n")
    )

    original = {
        p: text for p, text in described(image_tree(bench, whole)).items() if p[:3] == b"all"
    }

    assert 14 == len(original)
    assert original == described(image_tree(bench, part))


def test_umoci_unpacks_what_a_run_made(bench: Machine) -> None:
    built = build_runs(bench, EVERYTHING)
    expected = image_tree(bench, built)

    root = bench.unpack(built)

    for path, node in expected.items():
        status = os.lstat(os.path.join(os.fsencode(root), path))
        assert node.owner == (status.st_uid, status.st_gid), path
        assert node.kind == "link" or node.mode == stat.S_IMODE(status.st_mode), path
        assert node.mtime == status.st_mtime, path
    assert (root / "all/f").stat().st_ino == (root / "all/d/hard").stat().st_ino
