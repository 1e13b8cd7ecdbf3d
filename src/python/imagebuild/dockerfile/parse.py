"""Text to model; everything that is wrong with a Dockerfile's own syntax is reported at once."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Union

from imagebuild.dockerfile.instructions import INSTRUCTIONS
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.from_ import From
from imagebuild.dockerfile.instructions.onbuild import NO_TRIGGERS, Onbuild
from imagebuild.dockerfile.instructions.variables import Arg
from imagebuild.dockerfile.lexer import LexedFile, RawInstruction, lex
from imagebuild.dockerfile.model import Dockerfile, Stage
from imagebuild.dockerfile.source import did_you_mean, printable, raise_all
from imagebuild.errors import (
    DockerfileSyntaxError,
    DuplicateStageNameError,
    ImageBuildError,
    SourceRange,
    UnknownInstructionError,
)

_START = "FROM IMAGE, after nothing but ARG and comments"


def parse(text: Union[bytes, str], file: str = "Dockerfile") -> Dockerfile:
    """The Dockerfile that `text` is.

    :param file: its path as the user knows it, for errors.
    :raises DockerfileError: for the one thing that is wrong; ManyErrors, in the order of lines, for several.
    """
    lexed = lex(text, file)
    parser = _Parser(lexed)
    for raw in lexed.instructions:
        parser.take(raw)
    return parser.finish()


class _Parser:
    """Instructions to stages, collecting errors."""

    def __init__(self, lexed: LexedFile) -> None:
        self._lexed, self._source = lexed, lexed.source
        self._errors: List[ImageBuildError] = list(lexed.errors)
        self._global_args: List[Arg] = []
        self._stages: List[Stage] = []
        self._body: List[Instruction] = []
        self._base: List[From] = []  # of the stage that is being read; one at most
        self._misplaced = False

    def take(self, raw: RawInstruction) -> None:
        try:
            instruction = _parse_instruction(raw)
            if isinstance(instruction, Onbuild):
                parse_trigger(instruction.trigger, raw.source)
            self._place(raw, instruction)
        except ImageBuildError as error:
            keyword = raw.keyword if raw.keyword in INSTRUCTIONS else ""
            self._errors.append(self._source.locate(error, raw.source, keyword))
            self._misplaced = self._misplaced or raw.keyword == "FROM"

    def _place(self, raw: RawInstruction, instruction: Instruction) -> None:
        if isinstance(instruction, From):
            self._end_stage()
            self._base = [instruction]
            self._check_name(instruction)
        elif self._base:
            self._body.append(instruction)
        elif isinstance(instruction, Arg):
            self._global_args.append(instruction)
        elif not self._misplaced:  # what follows is wrong for the same reason
            self._misplaced = True
            raise DockerfileSyntaxError(
                "it comes before the first FROM",
                expected=_START,
                hint="add a FROM above it, or move it below",
            )

    def _check_name(self, base: From) -> None:
        for stage in self._stages:
            if base.name and stage.name == base.name:
                raise DuplicateStageNameError(
                    f'the stage name "{base.name}" is taken by line {stage.base.source.start_line}',
                    expected="a name of its own for every stage (capitals make no difference)",
                    hint="rename one of them, and the FROM and COPY --from that mean it",
                )

    def _end_stage(self) -> None:
        if self._base:
            self._stages.append(Stage(len(self._stages), self._base[0], tuple(self._body)))
            self._base, self._body = [], []

    def finish(self) -> Dockerfile:
        self._end_stage()
        if not self._stages and not self._errors:
            self._errors.append(self._no_stage())
        raise_all(self._errors)
        return Dockerfile(
            self._source.name,
            tuple(self._stages),
            tuple(self._global_args),
            self._lexed.directives.escape,
            self._lexed.warnings,
            self._source,
        )

    def _no_stage(self) -> DockerfileSyntaxError:
        what = "there is no FROM" if self._global_args else "the file has no instructions"
        last = max(1, len(self._source.lines))
        error = DockerfileSyntaxError(
            what,
            expected=_START,
            hint="begin with FROM, for example `FROM debian:12` or `FROM scratch`",
        )
        return error.at(self._source.range(last, last))


def parse_trigger(text: str, source: SourceRange) -> Instruction:
    """The instruction that ONBUILD has left in an image.

    :param source: the lines that it acts for.
    :raises DockerfileError: for what is no instruction, or none for later.
    """
    lexed = lex(text, source.file)
    for error in lexed.errors:
        error.origin, error.excerpt = (
            None,
            (),
        )  # a line of the trigger says nothing to who reads the Dockerfile
        raise error
    if len(lexed.instructions) != 1:
        raise DockerfileSyntaxError(
            "a trigger is not one instruction", expected="ONBUILD INSTRUCTION"
        )
    (raw,) = lexed.instructions
    if raw.keyword in NO_TRIGGERS:
        raise DockerfileSyntaxError(
            f"{raw.keyword} cannot be a trigger",
            expected=f"any instruction but {', '.join(NO_TRIGGERS)}",
            hint="write it into the Dockerfile that builds on the image",
        )
    return _parse_instruction(replace(raw, source=source))


def _parse_instruction(raw: RawInstruction) -> Instruction:
    cls = INSTRUCTIONS.get(raw.keyword)
    if cls is None:
        close = did_you_mean(raw.keyword, INSTRUCTIONS)
        raise UnknownInstructionError(
            f'"{printable(raw.text.split()[0][:60])}" is not an instruction',
            expected=", ".join(sorted(INSTRUCTIONS)),
            hint=f"did you mean {close}?"
            if close
            else "a line that continues the one before needs a "
            f'"{raw.escape}" at the end of that one',
        )
    return cls.parse(raw)
