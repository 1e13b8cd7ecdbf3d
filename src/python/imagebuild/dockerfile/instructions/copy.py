"""COPY and ADD of files: of the context, or of another stage or image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

from imagebuild.dockerfile.context import Context
from imagebuild.dockerfile.flags import Flag, FlagTexts, FlagValues
from imagebuild.dockerfile.instructions.base import Expansion, Instruction, needs_text
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.patterns import clean, has_wildcards, parse_pattern
from imagebuild.dockerfile.words import json_list, split_blanks, to_json
from imagebuild.errors import DockerfileSyntaxError, NotSupportedYetError
from imagebuild.llb.ops import CopyAction, FileOp
from imagebuild.llb.plan import StepInput, TreeInput
from imagebuild.llb.state import Change, StageState, absolute

_URL = re.compile(r"https?://|git://|ssh://|git@", re.IGNORECASE)
_ARCHIVE = re.compile(
    r"\.(?:tar(?:\.(?:gz|bz2|xz|zst|Z|lzma))?|tgz|tbz2?|txz|tzst|tlz)\Z", re.IGNORECASE
)
_OCTAL = re.compile(r"[0-7]{1,5}\Z")
_MAX_MODE = 0o7777


@dataclass(frozen=True)
class _Transfer(Instruction):
    """:param sources: and `dest`, `chown`, `chmod`: with variables still in them; the flags None where not given."""

    sources: Tuple[str, ...]
    dest: str
    chown: Optional[str] = None
    chmod: Optional[str] = None

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        rest = needs_text(raw, f"{cls.KEYWORD} SOURCE ... DESTINATION")
        words = json_list(rest)
        if words is None:
            words = split_blanks(rest)
        if len(words) < 2:
            raise DockerfileSyntaxError(
                f"only one path is given: {words[0] if words else rest}",
                expected=f'{cls.KEYWORD} SOURCE ... DESTINATION, or {cls.KEYWORD} ["SOURCE", ..., "DESTINATION"]',
                hint="name the destination, for example ./",
            )
        return {
            "sources": words[:-1],
            "dest": words[-1],
            "chown": flags.text("chown"),
            "chmod": flags.text("chmod"),
        }

    def arguments(self) -> str:
        words = (*self.sources, self.dest)
        listed = any(split_blanks(word) != (word,) for word in words) or words[0][0] == "["
        return to_json(words) if listed else " ".join(words)

    def flag_texts(self) -> FlagTexts:
        return (("chown", self.chown), ("chmod", self.chmod))

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        sources = tuple(expands(source) for source in self.sources)
        dest, owner = expands(self.dest), expands(self.chown or "")
        mode_text = expands(self.chmod or "")
        self._refuse(sources)
        patterns, source_input, is_many, warnings = self._select(state, sources)
        action = CopyAction(
            input=0,
            sources=patterns,
            dest=absolute(dest, state.cwd),
            dest_is_dir=is_many or dest in ("", ".") or dest.endswith(("/", "/.")),
            owner=owner or None,
            mode=parse_mode(mode_text),
            keep_owner=isinstance(source_input, TreeInput) and not owner,
            unpack=self.KEYWORD == "ADD",
        )
        chown = f" --chown={owner}" if owner else ""
        chmod = f" --chmod={mode_text}" if mode_text else ""
        said = f"{self.KEYWORD}{chown}{chmod} {' '.join(sources)} {dest}"
        return Change(
            state, said, FileOp((action,)), (source_input,), (*warnings, *expands.warnings)
        )

    def _refuse(self, sources: Tuple[str, ...]) -> None:
        """:raises ImageBuildError: for sources that this instruction does not take."""
        raise NotImplementedError

    def _select(
        self, state: StageState, sources: Tuple[str, ...]
    ) -> Tuple[Tuple[str, ...], StepInput, bool, Tuple[str, ...]]:
        """Patterns for the op, what they select from, whether they are many files, and warnings."""
        return _select_from_context(state.build.context, sources)


def _select_from_context(
    context: Context, sources: Tuple[str, ...]
) -> Tuple[Tuple[str, ...], StepInput, bool, Tuple[str, ...]]:
    """A wildcard may match nothing as long as another source matches something (BuildKit's AllowEmptyWildcard)."""
    patterns: List[str] = []
    matched: List[str] = []
    idle: List[str] = []
    for source in sources:
        found = context.matches(source)
        if found:
            patterns.append(clean(source))
            matched.extend(found)
        elif has_wildcards(source):
            idle.append(source)
        else:
            raise context.not_found(source)
    if not matched:
        raise context.not_found(sources[0])
    warnings = [f'"{source}" matches no file in the build context' for source in idle]
    if not len(context):
        warnings.append("the build context is empty, so nothing is copied")
    is_many = len(sources) > 1 or len(matched) > 1
    return tuple(patterns), context.select(matched), is_many, tuple(warnings)


def parse_mode(text: str) -> Optional[int]:
    """``--chmod`` in octal. :raises DockerfileSyntaxError: when it is none; NotSupportedYetError: for a symbolic one."""
    if not text:
        return None
    if _OCTAL.match(text) and int(text, 8) <= _MAX_MODE:
        return int(text, 8)
    if re.match(r"[ugoa]*[-+=]", text):
        raise NotSupportedYetError(
            f"the symbolic mode --chmod={text} is not supported yet",
            hint="give the mode in octal, as in 0755",
        )
    raise DockerfileSyntaxError(
        f'--chmod has the value "{text}"',
        expected="a mode in octal, from 0 to 7777",
        hint="for example --chmod=0755",
    )


@dataclass(frozen=True)
class Copy(_Transfer):
    """:param from_: a stage's name or number, or an image, "" for the context."""

    KEYWORD = "COPY"
    FLAGS = (
        Flag("from"),
        Flag("chown"),
        Flag("chmod"),
        Flag("link", "bool", later=True),
        Flag("parents", "bool", later=True),
        Flag("exclude", "list", later=True),
    )

    from_: str = ""

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        from_ = flags.text("from") or ""
        if "$" in from_:
            raise DockerfileSyntaxError(
                f"--from={from_}: variables are not replaced here",
                expected="a stage's name or number, or an image",
                hint=f"add a stage `FROM {from_} AS NAME`, with an ARG before the first FROM, and use --from=NAME",
            )
        return {**super().fields(raw, flags), "from_": from_}

    def flag_texts(self) -> FlagTexts:
        return (("from", self.from_ or None), *super().flag_texts())

    def _refuse(self, sources: Tuple[str, ...]) -> None:
        for source in sources:
            if _URL.match(source):
                raise DockerfileSyntaxError(
                    f'"{source}" is not a path',
                    expected="a path of the context",
                    hint="COPY takes files only",
                )

    def _select(
        self, state: StageState, sources: Tuple[str, ...]
    ) -> Tuple[Tuple[str, ...], StepInput, bool, Tuple[str, ...]]:
        if not self.from_:
            return super()._select(state, sources)
        patterns = tuple(clean(source) for source in sources)
        for pattern in patterns:
            parse_pattern(pattern)
        return patterns, TreeInput(state.sources[self.from_]), len(sources) > 1, ()


@dataclass(frozen=True)
class Add(_Transfer):
    KEYWORD = "ADD"
    FLAGS = (
        Flag("chown"),
        Flag("chmod"),
        Flag("link", "bool", later=True),
        Flag("exclude", "list", later=True),
        Flag("keep-git-dir", "bool", later=True),
        Flag("checksum", later=True),
        Flag("unpack", "bool", later=True),
    )

    def _refuse(self, sources: Tuple[str, ...]) -> None:
        for source in sources:
            if _URL.match(source):
                raise NotSupportedYetError(
                    f'"{source}": ADD of URLs and git repositories is not supported yet',
                    hint="download it in a RUN, or with a target that Pants knows, and COPY it",
                )

    def _select(
        self, state: StageState, sources: Tuple[str, ...]
    ) -> Tuple[Tuple[str, ...], StepInput, bool, Tuple[str, ...]]:
        context: Context = state.build.context
        for source in sources:
            for path in context.matches(source):
                if _ARCHIVE.search(path) and not context.is_directory(path):
                    raise NotSupportedYetError(
                        f'"{path}" is an archive, and unpacking is not supported yet',
                        hint="COPY it and unpack it in a RUN",
                    )
        return super()._select(state, sources)
