"""The suite's own measure: what it compares it sees, and no case is left out."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from conformance.harness.bases import layer
from conformance.harness.cases import CaseError, load, parse, topics
from conformance.harness.compare import against_written, differences
from conformance.harness.flatten import Flat, apply, render
from conformance.harness.normalise import MEMBERS, normal

HERE = Path(__file__).parent


def test_every_topic_is_in_one_module() -> None:
    modules = [path.read_text() for path in HERE.glob("test_*.py")]
    named = [
        topic
        for text in modules
        for call in re.findall(r"\bload\(([^)*]*)\)", text)
        for topic in re.findall(r'"(\w+)"', call)
    ]

    assert list(topics()) == sorted(named)


def test_there_are_as_many_cases_as_promised() -> None:
    assert 150 <= len(load(*topics()))


def test_most_cases_are_put_to_buildah() -> None:
    cases = load(*topics())

    assert len(cases) / 2 < sum(not case.without_buildah for case in cases)


def tree(*members: Tuple[str, Dict[str, Any]], data: bytes = b"x\n") -> Dict[str, str]:
    nodes: Dict[bytes, Any] = {}
    apply(nodes, io.BytesIO(layer(*members, data=data)))
    return render(nodes)


def xattr(value: str) -> Dict[str, Any]:
    return {"pax_headers": {"SCHILY.xattr.user.a": value}}


LINK = {"type": tarfile.SYMTYPE, "linkname": "a"}
DEVICE = {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}
UNLIKE = {
    "name": (("f", {}), ("g", {})),
    "type": (("f", {}), ("f", {"type": tarfile.DIRTYPE})),
    "mode": (("f", {}), ("f", {"mode": 0o600})),
    "setuid": (("f", {"mode": 0o755}), ("f", {"mode": 0o4755})),
    "owner": (("f", {}), ("f", {"uid": 1})),
    "group": (("f", {}), ("f", {"gid": 1})),
    "link target": (("f", LINK), ("f", {**LINK, "linkname": "b"})),
    "device": (("f", DEVICE), ("f", {**DEVICE, "devminor": 5})),
    "xattr": (("f", xattr("1")), ("f", xattr("2"))),
}


@pytest.mark.parametrize("one, other", UNLIKE.values(), ids=UNLIKE.keys())
def test_trees_that_differ_in_one_thing_are_told_apart(one: Any, other: Any) -> None:
    assert 1 <= len(differences(Flat(tree(one), {}, ""), Flat(tree(other), {}, "")))
    assert [] == differences(Flat(tree(one), {}, ""), Flat(tree(one), {}, ""))


def test_content_is_compared_and_so_are_hard_links() -> None:
    two: List[Tuple[str, Dict[str, Any]]] = [("a", {}), ("b", {})]
    linked = [("a", {}), ("b", {"type": tarfile.LNKTYPE, "linkname": "a"})]

    assert tree(("f", {}), data=b"1" * 500) != tree(("f", {}), data=b"1" * 499 + b"2")
    assert tree(*two) != tree(*linked)
    assert 'file 0644 0:0 "x\\n" = /a' == tree(*linked)["/b"]


def test_times_are_not_compared() -> None:
    assert tree(("f", {"mtime": 1})) == tree(("f", {"mtime": 2}))


@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_of_the_config_is_compared(member: str) -> None:
    assert 1 == len(differences(Flat({}, {member: ["1"]}, ""), Flat({}, {member: ["2"]}, "")))
    assert 1 == len(differences(Flat({}, {member: ["1"]}, ""), Flat({}, {}, "")))


def test_platforms_are_compared() -> None:
    assert 1 == len(differences(Flat({}, {}, "linux/arm64"), Flat({}, {}, "linux/amd64")))


def test_layers_are_put_on_top_of_one_another() -> None:
    nodes: Dict[bytes, Any] = {}
    directory = {"type": tarfile.DIRTYPE, "mode": 0o755}
    lower = layer(("d", directory), ("d/a", {}), ("d/b", {}), ("e", directory), ("e/a", {}))
    upper = layer(("d/.wh.a", {}), ("d/c", {}), ("e/.wh..wh..opq", {}), ("e/new", {}))
    for data in (lower, upper):
        apply(nodes, io.BytesIO(data))

    assert ["/d", "/d/b", "/d/c", "/e", "/e/new"] == list(render(nodes))


ONE = "=== a ===\nIt shows.\n{}-- Dockerfile --\nFROM base/busybox\n{}"


def test_what_a_case_leaves_out_of_its_expectation_may_not_change() -> None:
    [case] = parse("t", ONE.format("", '-- expected tree --\n/f  file 0644 0:0 "x\\n"\n'))
    base = Flat({"/old": "dir 0755 0:0"}, {}, "")
    as_said = {**base.tree, "/f": 'file 0644 0:0 "x\\n"'}

    assert [] == against_written(case, base, Flat(as_said, {}, ""))
    assert 1 == len(against_written(case, base, Flat({**as_said, "/more": "fifo"}, {}, "")))
    assert 1 == len(against_written(case, base, Flat({"/f": as_said["/f"]}, {}, "")))
    assert 1 == len(against_written(case, base, base))


def test_only_what_buildah_leaves_behind_is_taken_away() -> None:
    [case] = parse("t", ONE.format("", "RUN true\n"))
    theirs = Flat({"/proc": "dir 0755 0:0", "/etc/hosts": 'file 0644 0:0 ""', "/x": "fifo"}, {}, "")

    assert {"/x": "fifo"} == normal(case, theirs, Flat({}, {}, "")).tree
    assert theirs.tree == normal(case, theirs, theirs).tree
    filled = Flat({"/etc/hosts": 'file 0644 0:0 "1.2.3.4 x\\n"', "/opt": "dir 0755 0:0"}, {}, "")
    assert filled.tree == normal(case, filled, Flat({}, {}, "")).tree


WRONG = {
    "an unknown option": (ONE.format("@arg A=1\n", ""), "@arg is none of"),
    "no Dockerfile": ("=== a ===\nIt shows.\n-- a --\n", "no -- Dockerfile --"),
    "no sentence": ("=== a ===\n-- Dockerfile --\nFROM scratch\n", "what it shows"),
    "no expectation": (ONE.format("@section RUN\n@without-buildah x\n", ""), "written down"),
    "no section": (
        ONE.format("@without-buildah x\n", "-- expected tree --\n"),
        "name the @section",
    ),
    "a name twice": (ONE.format("", "") * 2, "two cases"),
    "an unknown form": (ONE.format("", "-- a (exe) --\n"), "exe is none of"),
    "a head that is none": (ONE.format("", "==== b ===\n"), "expected === a-name"),
}


@pytest.mark.parametrize("text, says", WRONG.values(), ids=WRONG.keys())
def test_a_case_that_is_written_wrong_is_refused_at_its_line(text: str, says: str) -> None:
    with pytest.raises(CaseError, match=re.escape(says)) as caught:
        parse("t", text)

    assert re.match(r"t\.txt:\d+: ", str(caught.value))
