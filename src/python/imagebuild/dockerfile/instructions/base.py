"""What every instruction is: fields from its text, its text from its fields, and what it does to a stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, List, NamedTuple, Set, Tuple, Type, TypeVar

from imagebuild.dockerfile.expand import expand, expand_words
from imagebuild.dockerfile.flags import Flag, FlagTexts, FlagValues, format_flags, parse_flags
from imagebuild.dockerfile.heredoc import Heredoc
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.source import did_you_mean
from imagebuild.errors import DockerfileSyntaxError, SourceRange
from imagebuild.llb.state import Change, StageState

_I = TypeVar("_I", bound="Instruction")


@dataclass(frozen=True)
class Doc:
    """What docs/reference.md says of an instruction.

    :param makes: "a layer", "config", or what else comes of it; :param example: one that is accepted.
    """

    makes: str
    help: str
    example: str


class ContextPath(NamedTuple):
    """:param path: as written, or with wildcards; :param parents: as a source of COPY --parents is."""

    path: str
    parents: bool = False


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile. A new one is a subclass with its line in the table of this package.

    Two instructions are equal when they mean the same, wherever they stand.

    :param source: its lines; :param text: its logical line. Both are for people.
    """

    KEYWORD: ClassVar[str]
    DOC: ClassVar[Doc]
    FLAGS: ClassVar[Tuple[Flag, ...]] = ()

    source: SourceRange = field(compare=False, repr=False)
    text: str = field(compare=False, repr=False)

    @classmethod
    def parse(cls: Type[_I], raw: RawInstruction) -> _I:
        """:raises DockerfileError: for what breaks the instruction's own syntax."""
        flags = parse_flags(cls.KEYWORD, raw.flags, cls.FLAGS)
        return cls(raw.source, raw.text, **cls.fields(raw, flags))

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        """The fields of this class by name, from the text behind the keyword and the flags."""
        raise NotImplementedError

    def arguments(self) -> str:
        """The text behind the keyword and the flags."""
        raise NotImplementedError

    def flag_texts(self) -> FlagTexts:
        """Flags by name, None for those that are not given."""
        return ()

    def documents(self) -> Tuple[Heredoc, ...]:
        """The here-documents below it."""
        return ()

    def trees(self) -> Tuple[str, ...]:
        """The stages and images whose files it reads, as it names them."""
        return ()

    def context_paths(self) -> Tuple[ContextPath, ...]:
        """The files of the context that it reads, as it names them."""
        return ()

    def __str__(self) -> str:
        """The text that `parse` reads as an equal instruction."""
        flags, rest = format_flags(self.flag_texts()), self.arguments()
        line = f"{self.KEYWORD}{flags}{' --' if rest.startswith('--') else ''} {rest}"
        return "\n".join((line, *(document.lines for document in self.documents())))

    def apply(self, state: StageState) -> Change:
        """What it does to a stage. :raises ImageBuildError: for what only shows now: variables, files, users."""
        raise NotImplementedError


class Expansion:
    """Substitution with a stage's variables; remembers what was used and never set."""

    def __init__(self, state: StageState) -> None:
        self._state = state
        self._unset: Set[str] = set()

    def __call__(self, word: str) -> str:
        return expand(word, self._state.env, self._state.build.escape, unset=self._unset)

    def body(self, document: Heredoc) -> str:
        """What a here-document becomes as a file: its quotes stay, and "\\" always escapes."""
        if not document.expand:
            return document.body
        return expand(document.body, self._state.env, unset=self._unset, quotes=False)

    def words(self, word: str) -> Tuple[str, ...]:
        return expand_words(word, self._state.env, self._state.build.escape, unset=self._unset)

    @property
    def warnings(self) -> Tuple[str, ...]:
        found: List[str] = []
        for name in sorted(self._unset - self._state.args.keys()):
            close = did_you_mean(name, self._state.env)
            found.append(
                f'"${name}" is used and never set' + (f" (did you mean ${close}?)" if close else "")
            )
        return tuple(found)


def needs_text(raw: RawInstruction, what: str) -> str:
    """The text behind the flags. :raises DockerfileSyntaxError: when there is none."""
    if not raw.rest:
        raise DockerfileSyntaxError(
            "nothing follows it", expected=what, hint="complete the instruction or remove it"
        )
    return raw.rest
