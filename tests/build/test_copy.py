"""Where a COPY lands, seen in the image's own tree."""

from __future__ import annotations

import io
import struct
import tarfile
from typing import Any, Dict, Tuple

import pytest

from imagebuild.execute.assemble import DEFAULT_EPOCH
from support.base_image import image_of, push
from support.builds import Machine, tree_of

BASE_TIME = 1577836800
FILES = {
    "a": "a",
    "b": "b",
    "d/x": "x",
    "d/sub/y*": "y",
    "d/soft": "->x",
    "link": "->a",
    "empty": None,
}

# Dockerfile lines after FROM, and paths with what they must be: content, "dir", "->target" or None for nothing there.
CASES: Dict[str, Tuple[str, Dict[str, Any]]] = {
    "a file to a name": ("COPY a /new", {"new": "a"}),
    "a file into a directory that is there": (
        "COPY a /etc",
        {"etc/a": "a", "etc/passwd": Ellipsis},
    ),
    "a file to a name with a slash": ("COPY a /new/", {"new": "dir", "new/a": "a"}),
    "several files": ("COPY a b /new/", {"new/a": "a", "new/b": "b"}),
    "a directory's contents": (
        "COPY d /new",
        {"new/x": "x", "new/sub/y": "y", "new/soft": "->x", "new/d": None},
    ),
    "an empty directory": ("COPY empty /new", {"new": "dir"}),
    "a glob": ("COPY [ab] /new/", {"new/a": "a", "new/b": "b", "new/d": None}),
    "a glob over a directory": ("COPY d* /new/", {"new/x": "x"}),
    "a link is followed": ("COPY link /new", {"new": "a"}),
    "a link keeps its own name": ("COPY link /new/", {"new/link": "a"}),
    "through a link in the base": ("COPY a /var/run/", {"var/run": "->/run", "run/a": "a"}),
    "through a link of an earlier step": (
        "RUN ln -s /tmp /t\nCOPY a /t/deep/",
        {"t": "->/tmp", "tmp/deep/a": "a"},
    ),
    "onto a link to a file": ("RUN echo old > /o && ln -s o /l\nCOPY a /l", {"l": "->o", "o": "a"}),
    "a directory onto a linked directory": (
        "RUN mkdir -p /real/sub && mkdir /into && ln -s /real/sub /into/sub\nCOPY d /into/",
        {"into/sub": "->/real/sub", "real/sub/y": "y", "into/x": "x"},
    ),
    "relative to WORKDIR": ("WORKDIR /w\nCOPY a ./b/c", {"w/b/c": "a"}),
    "over a file": ("COPY a /f\nCOPY b /f", {"f": "b"}),
    "after it was removed": ("COPY a /f\nRUN rm /f\nCOPY b /f", {"f": "b"}),
    "into a directory that was replaced": (
        "COPY d /n\nRUN rm -r /n && mkdir /n && echo z > /n/z\nCOPY a /n/",
        {"n/a": "a", "n/z": "z\n", "n/x": None},
    ),
    "from a stage": ("COPY --from=0 /etc/passwd /p", {"p": Ellipsis}),
    "here-documents": (
        "COPY <<one <<-two /h/\nhello\none\n\tindented\ntwo",
        {"h/one": "hello\n", "h/two": "indented\n"},
    ),
    "a here-document and a file": (
        "COPY a <<EOF /h/\nhello\nEOF",
        {"h/a": "a", "h/EOF": "hello\n"},
    ),
    "but what is excluded": (
        "COPY --exclude=**/y --exclude=soft d /new",
        {"new/x": "x", "new/sub": "dir", "new/sub/y": None, "new/soft": None},
    ),
    "with its directories": (
        "COPY --parents d/sub/y a /new",
        {"new/d/sub/y": "y", "new/a": "a", "new/d/x": None},
    ),
    "with its directories from a pivot": (
        "COPY --parents ./d/./**/y /new",
        {"new/sub/y": "y", "new/d": None, "new/x": None},
    ),
    "with its directories from a stage": (
        "COPY --from=0 --parents /etc/passwd /new",
        {"new/etc/passwd": Ellipsis, "new/etc/group": None},
    ),
    "linked, where the base has a link": (
        "COPY --link a /var/run/",
        {"var/run": "dir", "var/run/a": "a", "run/a": None},
    ),
    "linked, and more on top": (
        "COPY --link d /l/\nRUN cp /l/x /l/z\nCOPY --link a /l/\nCOPY b /l/",
        {"l/x": "x", "l/z": "x", "l/a": "a", "l/b": "b", "etc/passwd": Ellipsis},
    ),
    "the same layer twice": (
        "COPY --link a /t/\nRUN rm /t/a\nCOPY --link a /t/\nRUN cp /t/a /t/b",
        {"t/a": "a", "t/b": "a"},
    ),
    "the same layer twice in a row": (
        "COPY --link a /t/\nCOPY --link a /t/\nRUN cp /t/a /t/b",
        {"t/a": "a", "t/b": "a"},
    ),
    "ADD is COPY for plain files": ("ADD a d/x /new/", {"new/a": "a", "new/x": "x"}),
}


@pytest.mark.parametrize("lines, expected", CASES.values(), ids=CASES.keys())
def test_what_is_copied_lands_where_docker_puts_it(
    here: Machine, lines: str, expected: Dict[str, Any]
) -> None:
    root = here.unpack(here.build(f"FROM BASE\nFROM BASE\n{lines}\n", FILES))

    def at(path: str) -> Any:
        place = root / path
        if place.is_symlink():
            return f"->{place.readlink()}"
        if not place.exists():
            return None
        return "dir" if place.is_dir() else place.read_text()

    found = {path: at(path) for path in expected}
    assert {
        path: found[path] if want is Ellipsis else want for path, want in expected.items()
    } == found
    assert None not in [found[path] for path, want in expected.items() if want is Ellipsis]


OWNERS = {
    "": ("0o100644", (0, 0)),
    "--chown=app": ("0o100644", (1000, 1000)),
    "--chown=app:staff": ("0o100644", (1000, 50)),
    "--chown=12": ("0o100644", (12, 12)),
    "--chown=12:34": ("0o100644", (12, 34)),
    "--chmod=4750": ("0o104750", (0, 0)),
    "--chmod=u+x,go=": ("0o100700", (0, 0)),
    "--chmod=u=rwX,go=rX": ("0o100644", (0, 0)),
    "--link --chown=12:34 --chmod=600": ("0o100600", (12, 34)),
    "--chown=4294967294:4294967294": ("0o100644", (4294967294, 4294967294)),
}


@pytest.mark.parametrize("flags, expected", OWNERS.items(), ids=list(OWNERS))
def test_owner_and_mode(here: Machine, flags: str, expected: Tuple[str, Tuple[int, int]]) -> None:
    tree = tree_of(here.unpack(here.build(f"FROM BASE\nCOPY {flags} a /new/file\n", FILES)))

    mode, owner, _ = tree["new/file"]
    assert expected == (mode, owner)
    assert expected[1] == tree["new"][1], "parents that are made belong to the same user"


def test_directories_that_are_there_keep_their_mode_and_owner(here: Machine) -> None:
    before = tree_of(here.unpack(here.build("FROM BASE\n"), "before"))

    after = tree_of(
        here.unpack(here.build("FROM BASE\nCOPY a b /home/app/\nCOPY a /tmp/\n", FILES))
    )

    assert [before[path] for path in ("home", "home/app", "tmp")] == [
        after[path] for path in ("home", "home/app", "tmp")
    ]


def test_a_copy_from_a_stage_keeps_owners_modes_and_hard_links(here: Machine) -> None:
    dockerfile = (
        "FROM BASE AS s\nRUN mkdir /o && echo 1 > /o/f && ln /o/f /o/g && chown 7:8 /o/f && chmod 4710 /o/f\n"
        "FROM BASE\nCOPY --from=s /o /new\n"
    )
    root = here.unpack(here.build(dockerfile))

    status = (root / "new/f").stat()
    assert (0o4710, 7, 8, 2) == (
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_nlink,
    )


def test_compiled_python_copied_from_an_image_still_fits_its_source(here: Machine) -> None:
    """The base's files are dated 2020 there and get the epoch here; the time inside a .pyc follows."""
    compiled = b"\x61\x0d\x0d\x0a" + struct.pack("<III", 0, BASE_TIME, 2) + b"code"
    other = b"\x61\x0d\x0d\x0a" + struct.pack("<III", 0, BASE_TIME - 1, 2) + b"code"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in (
            ("lib/m.py", b"1\n"),
            ("lib/__pycache__/m.cpython-39.pyc", compiled),
            ("lib/__pycache__/n.cpython-39.pyc", other),
        ):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), BASE_TIME
            archive.addfile(info, io.BytesIO(content))
    image = f"{here.registry.address}/base/python:1"
    push(image_of([out.getvalue()]), image)

    root = here.unpack(here.build(f"FROM scratch\nCOPY --from={image} /lib /lib\n"))

    cache = root / "lib/__pycache__"
    assert DEFAULT_EPOCH == (root / "lib/m.py").stat().st_mtime
    patched = compiled[:8] + struct.pack("<I", DEFAULT_EPOCH) + compiled[12:]
    assert patched == (cache / "m.cpython-39.pyc").read_bytes()
    assert other == (cache / "n.cpython-39.pyc").read_bytes()


def test_a_copy_that_is_linked_outlives_what_is_below_it(here: Machine) -> None:
    def lines(below: str) -> str:
        made = f"FROM BASE AS s\nRUN echo 1 > /made\nFROM BASE\nRUN {below}\n"
        return f"{made}COPY --link --from=s /made /a\nCOPY --link a /b\nRUN cat /a /b > /c\n"

    first = here.build(lines("echo one > /below"), FILES)

    again = here.build(lines("echo two > /below"), FILES)
    elsewhere = here.fresh("elsewhere").build(lines("echo three > /below"), FILES)

    assert ("built",) * 5 == first.origins
    assert ("local", "built", "local", "local", "built") == again.origins
    assert ("registry", "built", "registry", "registry", "built") == elsewhere.origins
    assert "1\na" == (here.unpack(again) / "c").read_text()
    assert "two\n" == (here.unpack(again) / "below").read_text()
