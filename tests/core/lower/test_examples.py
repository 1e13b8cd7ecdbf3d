"""The examples of docs/reference.md: each is of what it stands for, and is accepted."""

from __future__ import annotations

from typing import Dict, Iterator, Tuple

import pytest

from imagebuild.dockerfile.instructions import INSTRUCTIONS
from imagebuild.dockerfile.mount_options import KINDS, OPTIONS
from imagebuild.errors import RefusedError
from imagebuild.llb.ops import ExecOp
from support.dockerfiles import file_entry, plan

CONTEXT = [
    file_entry(path)
    for path in ("conf/a.conf", "conf/b.md", "conf/test_a", "src/app/x/y.py", "rootfs.tar.gz")
]


def lowered(example: str) -> None:
    first = "" if example.startswith("FROM") else "FROM debian:12\n"
    plan(f"{first}{example}\n", CONTEXT)


def flags() -> Iterator[Tuple[str, str, str]]:
    for keyword, cls in INSTRUCTIONS.items():
        for flag in cls.FLAGS:
            yield keyword, flag.name, flag.example


@pytest.mark.parametrize("keyword", sorted(INSTRUCTIONS))
def test_an_instruction_has_an_example(keyword: str) -> None:
    doc = INSTRUCTIONS[keyword].DOC

    assert doc.makes and doc.help
    assert doc.example.split()[0] == keyword
    lowered(doc.example)


@pytest.mark.parametrize(("keyword", "name", "example"), flags())
def test_a_flag_has_an_example_or_is_refused(keyword: str, name: str, example: str) -> None:
    if example:
        assert example.startswith(f"{keyword} ")
        assert f" --{name}" in example
        lowered(example)
    else:
        with pytest.raises(RefusedError):
            lowered(f"{keyword} --{name}=x true")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_of_a_mount_has_an_example(option: object) -> None:
    (known,) = (item for item in OPTIONS if item is option)

    assert known.name in known.example and "--mount=" in known.example
    lowered(known.example)


def test_every_kind_of_mount_has_an_example() -> None:
    made: Dict[str, None] = {}
    for option in OPTIONS:
        for step in plan(f"FROM debian:12\n{option.example}\n", CONTEXT).steps:
            assert isinstance(step.op, ExecOp)
            made.update(dict.fromkeys(mount.KIND for mount in step.op.mounts))

    assert set(KINDS) == set(made)
