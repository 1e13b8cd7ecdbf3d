"""ADD: as COPY, and archives are unpacked, URLs and git repositories fetched."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any, List, Optional, Tuple

from imagebuild.dockerfile.flags import Flag, FlagTexts, FlagValues
from imagebuild.dockerfile.instructions.base import ContextPath, Doc, Expansion
from imagebuild.dockerfile.instructions.transfer import (
    Transfer,
    chmod_flag,
    chown_flag,
    exclude_flag,
    link_flag,
)
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.patterns import escaped
from imagebuild.dockerfile.remotes import is_remote, parse_remote
from imagebuild.dockerfile.selection import Selection, select_from_context
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.plan import HttpSource
from imagebuild.llb.state import StageState


@dataclass(frozen=True)
class Add(Transfer):
    """:param checksum: of the one source, with variables still in it.
    :param keep_git_dir: and `unpack`: None where they are not given.
    """

    KEYWORD = "ADD"
    DOC = Doc(
        "a layer",
        "as COPY; besides, tar archives of the context are unpacked, and URLs and git repositories "
        "(`git://`, `ssh://`, `user@host:path`, `https://….git#REF:DIRECTORY`) are fetched",
        "ADD rootfs.tar.gz https://example.org/tool /opt/",
    )
    FLAGS = (
        chown_flag("ADD"),
        chmod_flag("ADD"),
        link_flag("ADD"),
        exclude_flag("ADD"),
        Flag(
            "keep-git-dir",
            "a git repository keeps its `.git`",
            "ADD --keep-git-dir=true https://example.org/app.git#v1.0 /src/",
            "bool",
        ),
        Flag(
            "checksum",
            "what a URL must give (`sha256:...`), or the commit that a git repository must be at",
            "ADD --checksum=sha256:" + "0" * 64 + " https://example.org/app.bin /srv/",
        ),
        Flag(
            "unpack",
            "whether tar archives are unpacked, compressed or not; those of the context are by default, those of URLs "
            "are not",
            "ADD --unpack=true https://example.org/app.tar.gz /srv/",
            "bool",
        ),
    )

    checksum: Optional[str] = None
    keep_git_dir: Optional[bool] = None
    unpack: Optional[bool] = None

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        return {
            **super().fields(raw, flags),
            "checksum": flags.text("checksum"),
            "keep_git_dir": flags.choice("keep-git-dir"),
            "unpack": flags.choice("unpack"),
        }

    def flag_texts(self) -> FlagTexts:
        choices = (("keep-git-dir", self.keep_git_dir), ("unpack", self.unpack))
        return (
            *super().flag_texts(),
            ("checksum", self.checksum),
            *((name, None if value is None else str(value).lower()) for name, value in choices),
        )

    def context_paths(self) -> Tuple[ContextPath, ...]:
        return tuple(ContextPath(source) for source in self.sources if not is_remote(source))

    def _select(
        self,
        state: StageState,
        expands: Expansion,
        sources: Tuple[str, ...],
        exclude: Tuple[str, ...],
    ) -> Tuple[Selection, ...]:
        checksum = expands(self.checksum or "")
        if checksum and (len(sources) != 1 or not is_remote(sources[0])):
            raise DockerfileSyntaxError(
                "--checksum is for one URL or git repository",
                expected="ADD --checksum=... URL DESTINATION",
                hint="remove the flag, or write an ADD for each source",
            )
        selections: List[Selection] = []
        for remote, group in groupby(sources, is_remote):
            if remote:
                selections.extend(self._fetched(source, checksum) for source in group)
                continue
            unpack = self.unpack is not False
            selections.append(
                select_from_context(state.build.context, tuple(group), exclude, unpack=unpack)
            )
        return tuple(selections)

    def _fetched(self, text: str, checksum: str) -> Selection:
        source = parse_remote(text, checksum, self.keep_git_dir)
        if isinstance(source, HttpSource):
            return Selection((escaped(source.name),), source, unpack=bool(self.unpack))
        return Selection((".",), source)
