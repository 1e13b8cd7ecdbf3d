"""Laws of lowering: what changes a plan, and what must not."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebuild import canonical
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ImageBuildError, OutsideContextError
from imagebuild.llb.keys import StepGraph, input_steps
from imagebuild.llb.plan import ContextEntry, ContextInput, Plan
from imagebuild.llb.remote import remote_base
from imagebuild.lower import base_refs
from imagebuild.oci.config import ConfigFile, History
from support.dockerfile_texts import BYTES, dockerfile_lines
from support.dockerfiles import PLATFORM, file_entry, plan

CONTEXT = (
    file_entry("a", "1"),
    file_entry("b/c", "2"),
    file_entry("b/d/e", "3"),
    ContextEntry("empty", "dir"),
    ContextEntry("link", "symlink", target="b/d"),
)


def planned_or_none(text: object, context: Tuple[ContextEntry, ...] = CONTEXT) -> Tuple[Plan, ...]:
    try:
        return (plan(text, context, build_args={"V": "q*"}),)
    except ImageBuildError:
        return ()


@given(BYTES)
def test_any_bytes_are_planned_or_refused(data: bytes) -> None:
    """Nothing but our own errors, and a plan can be written down whole."""
    for result in planned_or_none(data):
        canonical.dumps(result)
        history = tuple(History(created_by=entry.created_by) for entry in result.history)
        ConfigFile(PLATFORM, result.config, history=history).to_bytes()


@settings(max_examples=40)
@given(dockerfile_lines())
def test_a_plan_is_sound(lines: List[str]) -> None:
    """Steps come after what they need, origins stand beside them, and history names every step of the target once."""
    for result in planned_or_none("\n".join(lines)):
        assert len(result.steps) == len(result.origins)
        for number, step in enumerate(result.steps):
            states = [
                step.parent,
                *(item.state for item in step.inputs if not isinstance(item, ContextInput)),
            ]
            assert all(state.step is None or state.step < number for state in states)
        steps = [entry.step for entry in result.history if entry.step is not None]
        assert sorted(set(steps)) == steps
        fetched = [remote_base(source, PLATFORM) for source in result.remotes]
        graph = StepGraph.of(result.with_remotes(fetched), 0)
        assert len(input_steps(graph)) == len(result.steps)


@settings(max_examples=40)
@given(dockerfile_lines(), st.data())
def test_a_comment_or_a_blank_line_changes_neither_steps_nor_config(
    lines: List[str], data: st.DataObject
) -> None:
    noisy = [
        text
        for line in lines
        for text in (*data.draw(st.lists(st.sampled_from(["# c", ""]), max_size=2)), line)
    ]
    for before in planned_or_none("\n".join(lines)):
        (after,) = planned_or_none("# first\n\n" + "\n".join(noisy))
        assert before.steps == after.steps
        assert (before.config, before.history, before.target) == (
            after.config,
            after.history,
            after.target,
        )


def context_digest(context: Tuple[ContextEntry, ...], copy: str = "COPY . /x") -> object:
    (source,) = plan(f"FROM scratch\n{copy}", context).steps[0].inputs
    assert isinstance(source, ContextInput)
    return source.digest


CHANGES = {
    "a byte": (file_entry("a", "9"), *CONTEXT[1:]),
    "the x bit": (file_entry("a", "1", executable=True), *CONTEXT[1:]),
    "a name": (file_entry("aa", "1"), *CONTEXT[1:]),
    "a place": (CONTEXT[0], file_entry("b/d/c", "2"), *CONTEXT[2:]),
    "a boundary": (CONTEXT[0], file_entry("b/cd", "2"), file_entry("b/e", "3"), *CONTEXT[3:]),
    "a file more": (*CONTEXT, file_entry("z", "1")),
    "a file less": CONTEXT[1:],
    "an empty directory": (*CONTEXT, ContextEntry("z", "dir")),
    "a link's target": (*CONTEXT[:-1], ContextEntry("link", "symlink", target="b")),
    "a link instead of a file": (ContextEntry("a", "symlink", target="1"), *CONTEXT[1:]),
}


@pytest.mark.parametrize("context", CHANGES.values(), ids=CHANGES)
def test_every_change_of_what_is_copied_changes_the_digest(
    context: Tuple[ContextEntry, ...]
) -> None:
    assert context_digest(CONTEXT) != context_digest(context)


def test_what_is_not_copied_changes_nothing() -> None:
    other = (file_entry("a", "other"), *CONTEXT[1:])

    assert context_digest(CONTEXT, "COPY b /x") == context_digest(other, "COPY b /x")


def test_a_directory_with_something_in_it_counts_by_what_is_in_it() -> None:
    """Pants names a directory or does not; both are the same tree."""
    assert context_digest(CONTEXT) == context_digest((*CONTEXT, ContextEntry("b", "dir")))


SELECTIONS = [
    ("COPY a /x", ("a",)),
    ("COPY b /x", ("b/c", "b/d/e")),
    ("COPY b/ a /x/", ("a", "b/c", "b/d/e")),
    ("COPY * /x/", ("a", "b/c", "b/d/e", "empty", "link")),
    ("COPY empty /x", ("empty",)),
    ("COPY link /x", ("b/d/e", "link")),
    ("COPY link/e /x", ("b/d/e", "link")),
    ("COPY link/* /x", ("b/d/e", "link")),
    ("COPY */e /x", ("b/d/e", "link")),
    ("COPY /b/./d/../c /x", ("b/c",)),
    ("COPY b/*/e a* /x/", ("a", "b/d/e")),
]


@pytest.mark.parametrize(("copy", "expected"), SELECTIONS)
def test_a_copy_selects(copy: str, expected: Tuple[str, ...]) -> None:
    (source,) = plan(f"FROM scratch\n{copy}", CONTEXT).steps[0].inputs

    assert isinstance(source, ContextInput)
    assert expected == source.paths


@pytest.mark.parametrize("target", ["../up", "/etc/passwd", "link", "b/../../up"])
@pytest.mark.parametrize("copy", ["COPY l* /x", "COPY link /x"])
def test_a_link_out_of_the_context_is_not_followed(target: str, copy: str) -> None:
    with pytest.raises(OutsideContextError):
        plan(f"FROM scratch\n{copy}", (ContextEntry("link", "symlink", target=target),))


def test_a_link_inside_of_a_directory_is_copied_as_it_is() -> None:
    context = (ContextEntry("d/link", "symlink", target="/etc/passwd"),)
    (source,) = plan("FROM scratch\nCOPY d /x", context).steps[0].inputs

    assert isinstance(source, ContextInput)
    assert ("d/link",) == source.paths


REFS = [
    ("FROM debian", "", ("docker.io/library/debian:latest",)),
    ("FROM scratch", "", ()),
    ("FROM a AS x\nFROM b\nFROM x", "", ("docker.io/library/a:latest",)),
    ("FROM a AS x\nFROM b\nFROM x", "1", ("docker.io/library/b:latest",)),
    (
        "FROM a\nCOPY --from=b x y\nCOPY --from=a x y\nCOPY --from=b:latest z y",
        "",
        ("docker.io/library/a:latest", "docker.io/library/b:latest"),
    ),
    ("FROM a AS x\nFROM scratch\nCOPY --from=x x y", "", ("docker.io/library/a:latest",)),
    ("FROM a AS x\nFROM scratch AS y\nCOPY --from=x x y", "X", ("docker.io/library/a:latest",)),
    ("ARG A=a\nARG B=$A:1\nFROM $B", "", ("docker.io/library/a:1",)),
    (
        "ARG TARGETARCH\nFROM a:$TARGETARCH-$TARGETOS-${BUILDVARIANT:-none}",
        "",
        ("docker.io/library/a:amd64-linux-none",),
    ),
    ("FROM a@sha256:" + "0" * 64, "", ("docker.io/library/a@sha256:" + "0" * 64,)),
]


@pytest.mark.parametrize(("text", "target", "expected"), REFS)
def test_base_refs(text: str, target: str, expected: Tuple[str, ...]) -> None:
    images = base_refs(parse(text), build_args={}, target=target, platform=PLATFORM)

    assert expected == tuple(image.ref for image in images)
    assert {PLATFORM} >= {image.platform for image in images}


def test_a_build_argument_decides_over_a_default() -> None:
    refs = base_refs(parse("ARG A=a\nFROM $A"), build_args={"A": "b"}, target="", platform=PLATFORM)

    assert ["docker.io/library/b:latest"] == [image.ref for image in refs]


PLATFORMS = [
    "linux/amd64",
    "amd64",
    "linux",
    "linux/x86_64",
    "LINUX/AMD64",
    "linux/amd64/v1",
    "$TARGETPLATFORM",
]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_own_platform_in_other_words(platform: str) -> None:
    assert () == plan(f"FROM --platform={platform} debian").steps


def test_arm_is_arm_v7_and_arm64_is_arm64_v8() -> None:
    for own, text in (
        (replace(PLATFORM, architecture="arm", variant="v7"), "linux/arm"),
        (replace(PLATFORM, architecture="arm64"), "aarch64/v8"),
    ):
        wanted = text if text.startswith("linux") else f"linux/{text}"
        assert base_refs(
            parse(f"FROM --platform={wanted} a"), build_args={}, target="", platform=own
        )


KEPT_OUT = ["HTTP_PROXY", "https_proxy", "NO_PROXY"]


@pytest.mark.parametrize("name", KEPT_OUT)
def test_a_proxy_is_in_no_key_and_no_history_unless_an_arg_declares_it(name: str) -> None:
    plain = plan("FROM a\nRUN x")
    proxied = plan("FROM a\nRUN x", build_args={name: "secret"})
    declared = plan(f"FROM a\nARG {name}\nRUN x", build_args={name: "secret"})

    assert (plain.steps, plain.history, plain.warnings) == (
        proxied.steps,
        proxied.history,
        proxied.warnings,
    )
    assert ((name, "secret"),) == proxied.proxy_env
    assert plain.steps != declared.steps
    assert () == declared.proxy_env


def test_another_stage_s_arguments_are_not_in_scope() -> None:
    result = plan("FROM a AS x\nARG A=1\nENV E=2\nFROM b\nRUN y")

    assert ["PATH"] == [name for name, _ in result.steps[0].op.env]  # type: ignore[union-attr]


def test_a_stage_on_a_stage_inherits_its_arguments() -> None:
    result = plan("FROM a AS x\nARG A=1\nENV B=2\nARG B=3\nFROM x\nRUN y")

    assert (("A", "1"), ("B", "2")) == result.steps[0].op.env[:2]  # type: ignore[union-attr]
