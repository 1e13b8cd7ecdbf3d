"""What COPY and ADD share: sources, here-documents and a destination to one FileOp."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from imagebuild.dockerfile.copied_paths import Exclusion
from imagebuild.dockerfile.flags import Flag, FlagTexts, FlagValues
from imagebuild.dockerfile.heredoc import Heredoc, heredocs_of, joined
from imagebuild.dockerfile.instructions.base import Expansion, Instruction, needs_text
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.remotes import redacted
from imagebuild.dockerfile.selection import Selection
from imagebuild.dockerfile.words import json_list, split_blanks, to_json
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.ops import CopyAction, FileOp, InlineFile
from imagebuild.llb.state import Change, StageState, absolute
from imagebuild.symbolic_mode import parse_symbolic_mode

_DIGITS = re.compile(r"[0-9]+\Z")
_OCTAL = re.compile(r"[0-7]{1,5}\Z")
_MAX_MODE = 0o7777
_NUMERIC_OWNER = re.compile(r"[0-9]+(?::[0-9]+)?\Z")


def chown_flag(keyword: str) -> Flag:
    return Flag(
        "chown",
        "the owner, as `USER`, `USER:GROUP` or numbers; names are those of the image's own etc/passwd and etc/group",
        f"{keyword} --chown=1000:1000 conf/ /etc/app/",
    )


def chmod_flag(keyword: str) -> Flag:
    return Flag(
        "chmod",
        "permissions, in octal or as chmod(1) has them",
        f"{keyword} --chmod=u=rwX,go=rX conf/ /etc/app/",
    )


def link_flag(keyword: str) -> Flag:
    return Flag(
        "link",
        "the layer is made over nothing, so that it stays as it is whatever comes below it; links of the image are not "
        "followed, and `--chown` takes numbers only",
        f"{keyword} --link conf/ /etc/app/",
        "bool",
    )


def exclude_flag(keyword: str) -> Flag:
    return Flag(
        "exclude",
        "what is left out of each source, as a pattern of .dockerignore relative to it; may be given several times",
        f"{keyword} --exclude=*.md --exclude=**/test_* conf/ /etc/app/",
        "list",
    )


@dataclass(frozen=True)
class Transfer(Instruction):
    """What COPY and ADD share.

    :param sources: and `dest`, `chown`, `chmod`, `exclude`: with variables still in them; the flags None where not given.
    :param files: here-documents, copied behind the sources.
    """

    sources: Tuple[str, ...]
    dest: str
    files: Tuple[Heredoc, ...] = ()
    chown: Optional[str] = None
    chmod: Optional[str] = None
    link: bool = False
    exclude: Tuple[str, ...] = ()

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        rest = needs_text(raw, f"{cls.KEYWORD} SOURCE ... DESTINATION")
        words = json_list(rest)
        if words is None:
            words = split_blanks(joined(rest) if raw.heredocs else rest)
        if len(words) < 2:
            raise DockerfileSyntaxError(
                f"only one path is given: {words[0] if words else rest}",
                expected=f'{cls.KEYWORD} SOURCE ... DESTINATION, or {cls.KEYWORD} ["SOURCE", ..., "DESTINATION"]',
                hint="name the destination, for example ./",
            )
        sources = words[:-1]
        if raw.heredocs:
            sources = _without_heredocs(raw, words)
        return {
            "sources": sources,
            "dest": words[-1],
            "files": raw.heredocs,
            "chown": flags.text("chown"),
            "chmod": flags.text("chmod"),
            "link": flags.is_on("link"),
            "exclude": flags.all("exclude"),
        }

    def arguments(self) -> str:
        words = (*(document.opening for document in self.files), *self.sources, self.dest)
        listed = any(split_blanks(word) != (word,) for word in words) or words[0][0] == "["
        return to_json(words) if listed else " ".join(words)

    def documents(self) -> Tuple[Heredoc, ...]:
        return self.files

    def flag_texts(self) -> FlagTexts:
        return (
            ("chown", self.chown),
            ("chmod", self.chmod),
            ("link", "true" if self.link else None),
            *(("exclude", pattern) for pattern in self.exclude),
        )

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        sources = tuple(expands(source) for source in self.sources)
        dest, owner = expands(self.dest), expands(self.chown or "")
        mode = expands(self.chmod or "")
        exclude = tuple(expands(pattern) for pattern in self.exclude)
        Exclusion(exclude)
        self._check_owner(owner)
        selections = self._select(state, expands, sources, exclude)
        files = tuple(InlineFile(doc.file_name, expands.body(doc)) for doc in self.files)
        common = {
            "dest": absolute(dest, state.cwd),
            "dest_is_dir": len(sources) + len(files) > 1
            or any(selection.is_many for selection in selections)
            or dest in ("", ".")
            or dest.endswith(("/", "/.")),
            "owner": owner or None,
            **parse_mode(mode),
        }
        actions = [
            CopyAction(
                number,
                selection.patterns,
                keep_owner=selection.keep_owner and not owner,
                unpack=selection.unpack,
                exclude=exclude,
                parents=selection.parents,
                **common,
            )
            for number, selection in enumerate(selections)
        ]
        if files:
            actions.append(CopyAction(0, (), files=files, **common))
        notes = (note for selection in selections for note in selection.warnings)
        return Change(
            state,
            self._said(owner, mode, sources, dest),
            FileOp(tuple(actions), link=self.link),
            tuple(selection.input for selection in selections),
            (*notes, *expands.warnings),
        )

    def _check_owner(self, owner: str) -> None:
        if self.link and owner and not _NUMERIC_OWNER.match(owner):
            raise DockerfileSyntaxError(
                f"--chown={owner} has a name, and with --link there is no etc/passwd to look it up in",
                expected="--chown=UID:GID",
                hint="give the numbers, or leave --link away",
            )

    def _said(self, owner: str, mode: str, sources: Tuple[str, ...], dest: str) -> str:
        chown = f" --chown={owner}" if owner else ""
        chmod = f" --chmod={mode}" if mode else ""
        names = (*map(redacted, sources), *(f"<<{document.name}" for document in self.files))
        return f"{self.KEYWORD}{self._said_first()}{chown}{chmod} {' '.join(names)} {dest}"

    def _said_first(self) -> str:
        return ""

    def _select(
        self,
        state: StageState,
        expands: Expansion,
        sources: Tuple[str, ...],
        exclude: Tuple[str, ...],
    ) -> Tuple[Selection, ...]:
        """What the sources are, in an order that gives the same files as theirs.

        :raises ImageBuildError: for sources that this instruction does not take.
        """
        raise NotImplementedError


def _without_heredocs(raw: RawInstruction, words: Tuple[str, ...]) -> Tuple[str, ...]:
    """:raises DockerfileSyntaxError: where the here-documents of the line are no words of it, or its destination."""
    found = [document.name for word in words for document in heredocs_of(word)]
    if found != [document.name for document in raw.heredocs]:
        raise DockerfileSyntaxError(
            f'the name of a here-document holds blanks: "{raw.heredocs[0].name}"',
            expected="a name in one word",
            hint="rename it, there and at its end",
        )
    if heredocs_of(words[-1]):
        raise DockerfileSyntaxError(
            f'the here-document "{words[-1]}" stands where the destination belongs',
            expected=f"{raw.keyword} <<NAME ... DESTINATION",
            hint="name the destination, for example ./",
        )
    return tuple(word for word in words[:-1] if not heredocs_of(word))


def parse_mode(text: str) -> Dict[str, Any]:
    """The members of a CopyAction that ``--chmod`` sets.

    :raises DockerfileSyntaxError: when it is no mode.
    """
    if not text:
        return {}
    if not _DIGITS.match(text):
        parse_symbolic_mode(text)
        return {"symbolic_mode": text}
    if not _OCTAL.match(text) or int(text, 8) > _MAX_MODE:
        raise DockerfileSyntaxError(
            f'--chmod has the value "{text}"',
            expected="a mode in octal, from 0 to 7777",
            hint="for example --chmod=0755",
        )
    return {"mode": int(text, 8)}
