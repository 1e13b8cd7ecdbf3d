"""What each rule finds, word for word, and what it leaves alone."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import pytest

from support.checks_of_dockerfiles import report

SCRATCH, DEBIAN = "FROM scratch\n", "FROM debian:12\n"


def lines(text: str, **more: object) -> List[str]:
    """Line, rule and message of every finding; "!" for errors."""
    return [
        f"{found.source.start_line}: {'!' if found.severity == 'error' else ''}{found.rule}: {found.message}"
        for found in report(text, **more).findings  # type: ignore[arg-type]
    ]


def rules(text: str, **more: object) -> List[str]:
    return [":".join(line.split(":")[:2]) for line in lines(text, **more)]


WORDING = [
    ("FROM scratch AS Base", "1: StageNameCasing: Stage name 'Base' should be lowercase"),
    ("from scratch AS x", "1: FromAsCasing: 'AS' and 'from' keywords' casing do not match"),
    (
        f"{SCRATCH}EXPOSE 80\nexpose 81",
        "3: ConsistentInstructionCasing: Command 'expose' should match the case of the command majority (uppercase)",
    ),
    (
        "from scratch\nexpose 80\nEXPOSE 81",
        "3: ConsistentInstructionCasing: Command 'EXPOSE' should match the case of the command majority (lowercase)",
    ),
    (
        f"{SCRATCH}Expose 80",
        "2: ConsistentInstructionCasing: Command 'Expose' should match the case of the command majority (uppercase)",
    ),
    (f"{SCRATCH}EXPOSE \\\n\n 80", "3: NoEmptyContinuation: Empty continuation line"),
    (
        "FROM scratch AS a\nFROM scratch AS a",
        '2: !DuplicateStageName: FROM: the stage name "a" is taken by line 1',
    ),
    (
        "FROM scratch AS scratch",
        '1: !ReservedStageName: FROM: "scratch" cannot be the name of a stage',
    ),
    (
        "FROM scratch AS context",
        '1: ReservedStageName: Stage name should not use the same name as reserved stage "context"',
    ),
    (
        f"{SCRATCH}ENTRYPOINT x",
        "2: JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS"
        " signals",
    ),
    (
        f"{SCRATCH}MAINTAINER x",
        "2: MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
    ),
    (
        "ARG VERSION=1\nFROM debian:$VERSION$VERSIONS",
        "2: UndefinedArgInFrom: FROM argument 'VERSIONS' is not declared (did you mean VERSION?)",
    ),
    (
        f"{SCRATCH}WORKDIR a/b",
        '2: WorkdirRelativePath: Relative workdir "a/b" can have unexpected results if the base image changes',
    ),
    (f"{SCRATCH}LABEL a=$B", "2: UndefinedVar: Usage of undefined variable '$B'"),
    (
        f"{SCRATCH}ENV NAME=x\nLABEL a=$NMAE",
        "3: UndefinedVar: Usage of undefined variable '$NMAE' (did you mean $NAME?)",
    ),
    (
        f"{SCRATCH}HEALTHCHECK NONE\nHEALTHCHECK NONE",
        "2: MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because"
        " only the last one will be used",
    ),
    (
        f"{SCRATCH}LABEL a b",
        '2: LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format',
    ),
    (
        "FROM --platform=${TARGETPLATFORM} x",
        "1: RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the"
        " default behavior",
    ),
    (
        f"{SCRATCH}ENV PASSWD=x",
        '2: SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "PASSWD")',
    ),
    (
        "FROM --platform=linux/amd64 x",
        '1: FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"',
    ),
    (
        f"{SCRATCH}EXPOSE 80/UDP",
        "2: ExposeProtoCasing: Defined protocol '80/UDP' in EXPOSE instruction should be lowercase",
    ),
    (
        f"{SCRATCH}EXPOSE 80:81",
        "2: ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '80:81'",
    ),
    (
        "ARG A\nFROM scratch",
        "1: UnusedArg: ARG A is never used: no FROM names it, and no stage repeats it",
    ),
    (
        f"{SCRATCH}ARG A",
        "2: UnusedArg: ARG A is never used: nothing below it in its stage names it, and no RUN follows",
    ),
    (
        f"{SCRATCH}COPY *.py *.txt /",
        '2: CopySourceNotFound: COPY: "*.txt" matches no file in the build context',
    ),
    (
        f"{SCRATCH}COPY *.txt /",
        '2: CopySourceNotFound: COPY: "*.txt" matches no file in the build context',
    ),
    (
        f"{SCRATCH}COPY ../x /",
        '2: !OutsideContext: COPY: "../x" is outside of the build context',
    ),
    (
        "FROM debian AS build\nFROM scratch\nCOPY --from=biuld a /",
        '3: UndefinedStage: "biuld" is no stage and is taken as an image (did you mean build?)',
    ),
    (
        "FROM debian AS build\nFROM biuld",
        '2: UndefinedStage: "biuld" is no stage and is taken as an image (did you mean build?)',
    ),
    (
        "FROM base\nFROM debian AS base",
        '1: UndefinedStage: "base" is taken as an image: the stage of this name comes later, in line 2',
    ),
    (
        f"{SCRATCH}RUM x",
        '2: !UnknownInstruction: "RUM" is not an instruction',
    ),
    (
        "# check=error=perhaps\nFROM scratch",
        '1: !InvalidCheckDirective: "error=perhaps" of the check options is neither true nor false',
    ),
]


@pytest.mark.parametrize(("text", "expected"), WORDING)
def test_a_finding_word_for_word(text: str, expected: str) -> None:
    assert [expected] == lines(text)


def test_default_args_that_make_no_image_name() -> None:
    found = lines("ARG TAG\nFROM busybox:$TAG", build_args={"TAG": "1"})

    assert [
        "2: InvalidDefaultArgInFrom: Default value for ARG busybox:$TAG results in empty or invalid base image name"
    ] == found


def test_descriptions_are_asked_for() -> None:
    text = "# a stage\nFROM scratch AS base\n# something\nARG A=1 B=2\nLABEL a=$A$B"
    expected = [
        "2: InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>`",
        "4: InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
    ]

    assert [] == lines(text)
    assert expected == lines(text, options="experimental=all")


LANGUAGE = [
    # here-documents
    f"{SCRATCH}COPY <<EOF /a\nit's $A\n\nEOF",
    f"{SCRATCH}RUN <<EOF\n\necho $A\nEOF",
    f"{SCRATCH}COPY <<'EOF' /a\n$A\nEOF",
    f"{SCRATCH}ARG A\nCOPY <<EOF /a\n$A\nEOF",
    f"{DEBIAN}COPY <<EOF /a\n${{A:?is needed}} isn't $B\nEOF",
    f"{SCRATCH}COPY <<EOF /a\n${{A:?is needed}}\nEOF",
    # mounts
    f"{SCRATCH}RUN --mount=type=cache,target=/a$A true",
    "FROM debian AS build\nFROM scratch\nRUN --mount=type=bind,from=biuld,target=/a true",
    # triggers
    "FROM scratch AS a\nONBUILD ENV A=1\nONBUILD WORKDIR /a\nFROM a\nWORKDIR $A",
    "FROM scratch AS a\nONBUILD LABEL a=$A\nFROM a",
    # remote sources, and patterns for what is kept of paths
    f"{SCRATCH}ADD https://example.com/*.log git@example.com:a/b.git /",
    f"{SCRATCH}COPY --parents ./conf/./**/*.ini **/*.txt /",
]
LANGUAGE_FOUND = [
    ["2: UndefinedVar"],
    [],
    [],
    [],
    [],
    ["2: !InvalidSubstitution"],
    ["2: UndefinedVar"],
    ["3: UndefinedStage"],
    [],
    ["3: UndefinedVar"],
    [],
    ["2: CopySourceNotFound"],
]


@pytest.mark.parametrize(("text", "expected"), zip(LANGUAGE, LANGUAGE_FOUND))
def test_the_whole_language(text: str, expected: Sequence[str]) -> None:
    assert list(expected) == rules(text)


CLEAN = [
    # casing
    "from scratch as x\nexpose 80",
    "arg TAG=12\nFROM debian:$TAG",
    # what stands between lines
    f"{SCRATCH}EXPOSE \\\n# comment\n  80\n\nLABEL a=b",
    f"{SCRATCH}EXPOSE 80 \\\n\n",
    # stages
    "FROM debian AS node\nFROM node:20",
    "FROM node AS nodes\nFROM node",
    "FROM python AS python-base\nFROM scratch\nCOPY --from=python a /",
    "FROM debian AS a\nFROM scratch\nCOPY --from=0 a /\nCOPY --from=A a /",
    # platforms
    "FROM --platform=$BUILDPLATFORM debian",
    "FROM --platform=linux/amd64 debian AS for-linux",
    # FROM
    "ARG A=debian B=12\nFROM ${A}:${B}",
    "FROM debian:${TAG:-12}",
    # commands
    f'{SCRATCH}SHELL ["/bin/bash", "-c"]\nCMD x',
    'FROM scratch AS a\nSHELL ["/bin/bash", "-c"]\nFROM a\nENTRYPOINT x',
    f"{SCRATCH}HEALTHCHECK CMD x",
    'FROM scratch\nCMD ["a"]\nFROM scratch\nCMD ["a"]',
    # directories
    f"{DEBIAN}WORKDIR /a\nWORKDIR b",
    "FROM debian AS a\nWORKDIR /a\nFROM a\nWORKDIR b",
    f"{DEBIAN}WORKDIR $HOME_OF_BASE",
    f"{SCRATCH}ENV A=/a\nWORKDIR $A/b",
    # variables
    f"{SCRATCH}LABEL a=${{B:-1}} c=${{D:+1}} e='$F' g=\\$H path=$PATH",
    f"{SCRATCH}ARG B\nLABEL a=$B",
    "FROM scratch AS a\nARG B=1\nENV C=2\nFROM a\nLABEL b=$B c=$C",
    f"{DEBIAN}LABEL a=$DEFINED_BY_BASE",
    "ARG PYTHON_VERSION=3\nFROM python:$PYTHON_VERSION\nLABEL a=$PYTHON_VERSION",
    f"{DEBIAN}ENV NODE_OPTIONS=1\nLABEL a=$NODE_VERSION",
    f"{SCRATCH}RUN echo $A",
    f'{SCRATCH}CMD ["$A"]\nENTRYPOINT ["$B"]',
    # unknown values
    f"{DEBIAN}COPY $BASE/a /",
    f"{DEBIAN}ENV A=$BASE/a\nCOPY $A /\nUSER $A\nEXPOSE $A",
    f"{DEBIAN}ENV A=x:$PATH\nENV B=$A\nCOPY $B /",
    f'{DEBIAN}LABEL a="${{BASE:?is needed}}"',
    # secrets
    f"{SCRATCH}ENV KEYBOARD=1 MONKEY=1 PUBLIC_KEY=1 AUTH_FILE=1 TOKEN_VERSION=1",
    "ARG TOKEN=12\nFROM debian:$TOKEN",
    # ports
    f"{SCRATCH}EXPOSE 80 81-83/udp 84/tcp",
    # files
    f"{SCRATCH}COPY . /\nCOPY app.py conf/*.ini /\nCOPY conf/ /conf/\nADD app.py /",
    "FROM scratch AS a\nCOPY missing /\nFROM scratch",
    f"{SCRATCH}COPY --from=debian:12 /missing /",
]


@pytest.mark.parametrize("text", CLEAN)
def test_nothing_is_found(text: str) -> None:
    assert [] == lines(text)


USED_ARGS = [
    f"{SCRATCH}ARG A=1\nLABEL a=$A",
    f"{SCRATCH}ARG A=1\nLABEL a=1\\\n${{A}}",
    f"{SCRATCH}ARG A=1 B=$A\nLABEL b=$B",
    f"{SCRATCH}ARG A=1\nARG B=$A\nLABEL b=$B",
    f"{SCRATCH}ARG DEBIAN_FRONTEND=noninteractive\nRUN apt-get update",
    "FROM scratch AS a\nARG A=1\nFROM a\nRUN x",
    "FROM scratch AS a\nARG A=1\nFROM a AS b\nFROM b\nLABEL a=$A",
    "ARG A=debian\nARG B=$A\nFROM $B",
    "ARG A\nFROM scratch\nARG A\nRUN x",
    "ARG A=linux\nFROM --platform=$A/amd64 debian",
    f"{SCRATCH}ARG BUILDKIT_SBOM_SCAN_STAGE=true",
    f"{SCRATCH}ARG SOURCE_DATE_EPOCH",
]


@pytest.mark.parametrize("text", USED_ARGS)
def test_an_arg_that_may_be_used(text: str) -> None:
    assert [] == lines(text)


UNUSED_ARGS = [
    ("FROM scratch AS a\nARG A=1\nFROM scratch\nRUN x", [2]),
    (f"{SCRATCH}RUN x\nARG A=1", [3]),
    (f"{SCRATCH}ARG A=1\nLABEL a=$AB b=$B_A", [2]),
    (f"{SCRATCH}ARG A=1\n# A is here\nLABEL a=b", [2]),
    ("ARG A=1\nFROM debian\nRUN echo $A", [1]),
]


@pytest.mark.parametrize(("text", "expected"), UNUSED_ARGS)
def test_an_arg_that_is_not_used(text: str, expected: Sequence[int]) -> None:
    found = [finding for finding in report(text).findings if finding.rule == "UnusedArg"]

    assert list(expected) == [finding.source.start_line for finding in found]


def test_an_arg_that_is_used_outside() -> None:
    text = "ARG A=1\nFROM scratch\nARG B=1"

    assert ["1: UnusedArg", "3: UnusedArg"] == rules(text)
    assert [] == rules(text, used_args={"A", "B"})


BUILD_ARGS: List[Tuple[str, List[str]]] = [
    (SCRATCH, ["1: UndeclaredBuildArg"]),
    (f"{SCRATCH}ARG NAME\nRUN x", []),
    ("ARG NAME=x\nFROM $NAME", []),
    ("FROM scratch\nRUM x", ["2: !UnknownInstruction"]),
]


@pytest.mark.parametrize(("text", "expected"), BUILD_ARGS)
def test_a_build_arg_is_declared(text: str, expected: Sequence[str]) -> None:
    args = {
        "NAME": "debian",
        "HTTP_PROXY": "x",
        "TARGETARCH": "arm64",
        "BUILDKIT_X": "1",
        "ALL": "1",
    }

    assert list(expected) == rules(text, build_args=args, shared_args={"ALL"})


def test_what_is_missing_beside_something_unknown() -> None:
    text = f"{DEBIAN}COPY $BASE/a missing app.py *.txt ../x $DEST/"
    expected = ["2: !CopySourceNotFound", "2: !OutsideContext", "2: CopySourceNotFound"]

    assert sorted(expected) == sorted(rules(text))


def test_many_stages_and_arguments() -> None:
    """Nothing in a check is as deep as a Dockerfile is long, or takes much longer than that."""
    stages = (f"FROM s{number} AS s{number + 1}\nARG A{number}" for number in range(1100))
    text = "\n".join(["FROM scratch AS s0", *stages])

    assert 1100 == len(rules(text))


def test_a_build_arg_gives_a_value() -> None:
    text = f"{SCRATCH}ARG FILE=missing\nCOPY $FILE /"

    assert ["3: !CopySourceNotFound"] == rules(text)
    assert [] == rules(text, build_args={"FILE": "app.py"})


def test_arguments_of_the_platform_are_none_of_the_base_image() -> None:
    (found,) = report(f"{DEBIAN}COPY app.py /$TARGETARCH/").findings

    assert ("UndefinedVar", 2) == (found.rule, found.source.start_line)
    assert "add `ARG TARGETARCH` to this stage, above this line" == found.hint


IGNORED = [
    ("COPY secret.log /", "*.log\n", True),
    ("COPY logs/today /", "logs\n", True),
    ("ADD --chown=1 ./secret.log /", "**/*.log\n", True),
    ("COPY *.log app.py /", "*.log\n", True),
    ("COPY app.py /", "*.log\n", False),
    ("COPY secret.log app.py /", "*.log\n!secret.log\n", False),
    ("COPY . /", "*\n", False),
    ("COPY --from=debian secret.log /", "*.log\n", False),
]


@pytest.mark.parametrize(("copy", "ignore", "expected"), IGNORED)
def test_files_that_are_ignored(copy: str, ignore: str, expected: bool) -> None:
    found = rules(f"{SCRATCH}{copy}", ignore=ignore)

    assert expected == ("2: CopyIgnoredFile" in found)


def test_only_the_stages_of_the_target_need_their_files() -> None:
    text = "FROM scratch AS debug\nCOPY missing /\nFROM scratch\nCOPY app.py /"

    assert [] == rules(text)
    assert ["2: !CopySourceNotFound"] == rules(text, target="debug")
    assert ["1: !UndefinedStage"] == rules(text, target="debg")


def test_all_that_is_wrong_is_found_at_once() -> None:
    """Rules about the text need no Dockerfile that parses."""
    text = "from scratch AS Base\nRUM x\nCOPY a\nMAINTAINER x\nEXPOSE \\\n\n 80"
    expected = [
        "1: ConsistentInstructionCasing",
        "1: FromAsCasing",
        "1: StageNameCasing",
        "2: !UnknownInstruction",
        "3: !SyntaxError",
        "4: MaintainerDeprecated",
        "6: NoEmptyContinuation",
    ]

    assert expected == rules(text)


def test_what_a_terminal_would_act_on_is_not_printed() -> None:
    said = str(report(f"{SCRATCH}COPY missing\x1bc /"))

    assert said.startswith(
        'Dockerfile:2: CopySourceNotFound: error: COPY: "missing\\x1bc" matches no file'
    )
    assert said.replace("\n", "").isprintable()
