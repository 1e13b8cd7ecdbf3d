"""Keys and the layers that they name stay what they are, unless FORMAT_VERSION says that they do not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

import pytest

from imagebuild.llb import ops
from imagebuild.llb.keys import StepGraph
from imagebuild.llb.remote import remote_base
from imagebuild.llb.step import FORMAT_VERSION
from imagebuild.oci.hash import Hash
from support.dockerfiles import GOLDEN, plan_case
from support.golden_keys import check_case
from support.key_cases import EPOCH, OPS, keys_of
from support.key_layers import LAYERS, layer_of

KEYS = GOLDEN / "keys"
PLANS = sorted(path.parent for path in (GOLDEN / "plans").glob("*/Dockerfile"))

Check = Callable[[Path, Dict[str, Any]], None]


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Check:
    update = bool(request.config.getoption("--update-golden"))
    return lambda path, case: check_case(path, case, update=update)


@pytest.mark.parametrize("name", OPS)
def test_keys_of_ops(name: str, check: Check) -> None:
    check(KEYS / "ops" / f"{name}.json", keys_of(OPS[name]))


@pytest.mark.parametrize("case", PLANS, ids=lambda case: case.name)
def test_keys_of_dockerfiles(case: Path, check: Check) -> None:
    """The golden plans, from text to keys: substitution, scopes, and what a step selects of the context."""
    plan = plan_case(case)
    fetched = plan.with_remotes([remote_base(each, plan.platform) for each in plan.remotes])
    keys = keys_of(StepGraph.of(fetched, EPOCH))

    check(KEYS / "dockerfiles" / f"{case.name}.json", {"made_of": str(digest_of(case)), **keys})


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_keys(name: str, check: Check, tmp_path: Path) -> None:
    """A key and the layer behind it go together: whoever finds the key in a cache gets that layer."""
    check(KEYS / "layers" / f"{name}.json", layer_of(LAYERS[name], tmp_path))


def digest_of(case: Path) -> Hash:
    """Of everything that a golden plan is made from."""
    files = [
        path for path in sorted(case.rglob("*")) if path.is_file() and path.name != "plan.json"
    ]
    return Hash.of(b"".join(_framed(path.relative_to(case), path.read_bytes()) for path in files))


def _framed(name: Path, data: bytes) -> bytes:
    return b"%s %d\n%s" % (name.as_posix().encode(), len(data), data)


GUARDED = {"ops": set(OPS), "dockerfiles": {case.name for case in PLANS}, "layers": set(LAYERS)}


@pytest.mark.parametrize("kind, names", GUARDED.items(), ids=list(GUARDED))
def test_no_golden_key_is_left_without_its_case(kind: str, names: Set[str]) -> None:
    """A case that goes leaves its keys unguarded: take its file away with it, and say why."""
    assert set() == {path.stem for path in (KEYS / kind).glob("*.json")} - names


def values(value: Any) -> Iterator[Any]:
    """`value` and all dataclasses in it."""
    if isinstance(value, tuple):
        for item in value:
            yield from values(item)
    elif dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from values(getattr(value, field.name))


def test_every_member_of_every_op_has_a_case() -> None:
    """With another value than its default, so that a new one, or another default, cannot slip into keys unseen."""
    steps = [step.op for graph in OPS.values() for step in graph.steps]
    used = {
        (type(value), field.name)
        for value in values(tuple(steps))
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    }
    declared = {
        (kind, field.name)
        for kind in vars(ops).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
        for field in dataclasses.fields(kind)
    }

    assert set() == declared - used, "add them to tests/support/key_cases.py"


def test_no_two_cases_share_a_key() -> None:
    last: List[Tuple[str, str]] = [
        (case["steps"][-1]["input_key"], case["steps"][-1]["content_key"])
        for case in map(keys_of, OPS.values())
    ]

    assert len(OPS) == len({keys[0] for keys in last})


NEW = {"steps": [{"input_key": "new"}]}
OLD = {"steps": [{"input_key": "old"}]}


def test_a_new_case_is_written_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "ops" / "case.json"

    with pytest.raises(AssertionError, match="--update-golden"):
        check_case(path, NEW, update=False)
    assert not path.exists()
    check_case(path, NEW, update=True)

    check_case(path, NEW, update=False)


@pytest.mark.parametrize("update", [False, True])
def test_a_key_does_not_change_while_the_version_stays(tmp_path: Path, update: bool) -> None:
    path = tmp_path / "case.json"
    check_case(path, OLD, update=True)
    before = path.read_text()

    with pytest.raises(AssertionError, match="raise FORMAT_VERSION by one") as caught:
        check_case(path, NEW, update=update)

    assert before == path.read_text()
    assert '-   "input_key": "old"' in str(caught.value)
    assert "case.json instead" in str(caught.value)


def test_a_new_version_writes_new_keys(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    check_case(path, OLD, update=True)
    path.write_text(path.read_text().replace(f": {FORMAT_VERSION}", ": 0"))

    with pytest.raises(AssertionError, match="is of FORMAT_VERSION 0, we are at"):
        check_case(path, NEW, update=False)
    check_case(path, NEW, update=True)

    check_case(path, NEW, update=False)


def test_another_dockerfile_is_another_case(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    check_case(path, {"made_of": "one", **OLD}, update=True)

    with pytest.raises(AssertionError, match="other ones now"):
        check_case(path, {"made_of": "other", **NEW}, update=False)
    check_case(path, {"made_of": "other", **NEW}, update=True)

    check_case(path, {"made_of": "other", **NEW}, update=False)
