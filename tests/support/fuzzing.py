"""Dockerfiles that nobody would write, and what holds for each of them: a plan, or an error of the project's own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

from hypothesis import strategies as st

from imagebuild import canonical
from imagebuild.check.run import check
from imagebuild.check.subject import CheckInput
from imagebuild.dockerfile.dockerignore import select_context
from imagebuild.dockerfile.instructions import INSTRUCTIONS
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ImageBuildError, ManyErrors
from imagebuild.llb.keys import StepGraph, input_steps
from imagebuild.llb.plan import ContextEntry, Plan
from imagebuild.llb.remote import remote_base
from imagebuild.oci.config import ConfigFile, History
from support.checks_of_dockerfiles import looked_up
from support.dockerfile_texts import BYTES, dockerfile_lines
from support.dockerfiles import GOLDEN, PLATFORM, file_entry, plan

SECONDS = 10  # for one Dockerfile, on a busy machine: what takes longer has no bound
_GOLDEN_FILES = {
    path.relative_to(context).as_posix()
    for context in GOLDEN.glob("plans/*/context")
    for path in context.rglob("*")
    if path.is_file()
}
CONTEXT = (
    *(file_entry(path, "0") for path in sorted(_GOLDEN_FILES - {"a", "b", "link"})),
    file_entry("a", "1"),
    file_entry("b/c", "2"),
    file_entry("b/d/e", "3"),
    file_entry("\udcff", "5"),
    ContextEntry("empty", "dir"),
    ContextEntry("link", "symlink", target="b/d"),
)
BASES: Dict[str, Any] = {
    "docker.io/library/debian:12": {
        "Env": ["PATH=/bin", "V=of the base", "BROKEN", "=", "PATH=/usr/bin"],
        "WorkingDir": "srv/../x",
        "User": "app:",
        "OnBuild": ["COPY a /", "RUN --mount=type=cache,target=/c make $V", "ENV A=${B:-$V}"],
    },
    "docker.io/library/odd:latest": {"OnBuild": ["FROM x", "COPY <<E /", "", "\n", "ONBUILD RUN"]},
}
ARGS = {"V": "12", "HTTP_PROXY": "http://u:p@h", "TAG": "12", "EMPTY": ""}


def files() -> List[Path]:
    """Every golden Dockerfile: those that are planned, those that are refused, and what fuzzing found."""
    golden = [path for path in sorted(GOLDEN.glob("*/*/Dockerfile*")) if path.is_file()]
    return [*golden, *sorted((GOLDEN / "fuzz").glob("*.Dockerfile"))]


def survive(data: bytes) -> None:
    """All that is done with a Dockerfile before anything runs.

    :raises AssertionError: where the outcome is neither a plan nor an error that says what is wrong.
    :raises Exception: whatever else comes out, which is a finding too.
    """
    begun = time.monotonic()
    for result in _planned(data):
        _use(result)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    asked = CheckInput(text, "Dockerfile", (PLATFORM,), PLATFORM, CONTEXT, build_args=ARGS)
    for given in (asked, looked_up(asked, BASES)):
        report = check(given)
        assert all(finding.message and finding.rule for finding in report.findings)
        str(report).encode("utf-8", "surrogateescape")
    _ignore(text)
    assert time.monotonic() - begun < SECONDS, "it took too long"


def _planned(data: bytes) -> Tuple[Plan, ...]:
    try:
        model = parse(data)
        assert model == parse(str(model)), "printed and parsed it is another model"
        return (plan(data, CONTEXT, bases=BASES, build_args=ARGS),)
    except ImageBuildError as error:
        every = error.errors if isinstance(error, ManyErrors) else (error,)
        assert all(each.message.strip() for each in every)
        str(error).encode("utf-8", "surrogateescape")
        json.dumps(str(error))
        return ()


def _use(result: Plan) -> None:
    """Keys, history and config of the plan, and both through their text."""
    fetched = [remote_base(source, PLATFORM) for source in result.remotes]
    for step in input_steps(StepGraph.of(result.with_remotes(fetched), 0)):
        assert step == canonical.loads(type(step), canonical.dumps(step))
    assert result == canonical.loads(Plan, canonical.dumps(result))
    history = tuple(History(created_by=entry.created_by) for entry in result.history)
    ConfigFile(PLATFORM, result.config, history=history).to_bytes()


def _ignore(text: str) -> None:
    """The same text as a .dockerignore."""
    try:
        select_context(CONTEXT, text, ".dockerignore")
    except ImageBuildError as error:
        assert error.message


_TOKENS = [
    *(f"\n{keyword} ".encode() for keyword in INSTRUCTIONS),
    *b"$ ${ } ${V ${V:- ${V# ${V%% ${V// / \\ \" ' ` [ ] [\" \"] , = : @ # ! ** * ? ^ - -- << <<- <<E <<'E' . .. / ~ 0".split(),
    *b"--from= --from=0 --chmod= --chmod=u+x --chown= --link --parents --exclude= --mount= --mount=type= --network=".split(),
    *b"--checksum=sha256: --keep-git-dir --unpack --platform=$ --interval= --security= type=bind target= from= id= size= uid=".split(),
    *b"https://h/a git@h:a/b.git#x scratch debian:12 debian AS NONE CMD SIGTERM 65536/udp 4294967296 -1 9223372036854775808".split(),
    *(b"\n", b"\r", b"\r\n", b" ", b"\t", b"\\\n", b"`\n", b"\nE\n", b"# escape=`\n", b"# check=skip=all\n", b"# syntax=x\n"),
    *(b"\0", b"\x0c", b"\x1b", b"\x7f", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f\x92\xa9"),
    b"9" * 40,
    b"a" * 5000,
    b"${V:-" * 40,
    b"[" * 200,
]  # fmt: skip


_ORDINARY = [
    b"RUN make\n", b"COPY a /x\n", b"COPY --from=0 / /\n", b"ARG W=${V:-x}\n", b"ENV E=$W\n", b"USER app\n", b"WORKDIR w\n",
    b"FROM debian:12 AS n\n", b"FROM n\n", b"FROM scratch\n", b"FROM odd\n", b"ONBUILD ADD b /$V/\n", b"SHELL [\"x\"]\n", b"ADD a b /y/\n",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A golden Dockerfile after some accidents: pieces lost, doubled, moved, put in, taken from another one."""
    corpus = [path.read_bytes() for path in files()]
    data = draw(st.sampled_from(corpus))
    for _ in range(draw(st.integers(0, 3))):
        data = _with_lines(draw, data, corpus)
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3, 6]))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 0, 1, 2, 5, 20, 100])))
        whole = data[start:end]
        pieces = st.sampled_from([b"", whole * 2, whole * 50, whole.swapcase(), *_TOKENS])
        data = (
            data[:start]
            + draw(st.one_of(pieces, pieces, pieces, st.binary(max_size=2)))
            + data[end:]
        )
    return data[:20_000]


def _with_lines(draw: st.DrawFn, data: bytes, corpus: List[bytes]) -> bytes:
    """Whole lines put between others: what is made so mostly still parses."""
    lines = data.splitlines(keepends=True)
    at = draw(st.integers(0, len(lines)))
    others = draw(st.sampled_from(corpus)).splitlines(keepends=True)
    return b"".join([*lines[:at], draw(st.sampled_from([*_ORDINARY, *others])), *lines[at:]])


ANY = st.one_of(
    mutated(),
    mutated(),
    BYTES,
    dockerfile_lines().map(lambda lines: "\n".join(lines).encode()),
)
