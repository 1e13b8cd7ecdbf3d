"""COPY: files of the context, or of another stage or image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

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
from imagebuild.dockerfile.remotes import is_remote, redacted
from imagebuild.dockerfile.selection import Selection, select_from_context, select_from_tree
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.state import StageState


@dataclass(frozen=True)
class Copy(Transfer):
    """:param from_: a stage's name or number, or an image, "" for the context.
    :param parents: sources keep their directories.
    """

    KEYWORD = "COPY"
    DOC = Doc(
        "a layer",
        "files of the context, of a stage or of an image: paths or Go globs (`*`, `?`, `[a-z]`), as words "
        "or as a JSON list; here-documents are files too",
        "COPY --from=debian:12 --chown=1000 --chmod=0755 /etc/issue /srv/",
    )
    FLAGS = (
        Flag(
            "from",
            "copy from a stage, by its name or number, or from an image; variables are not replaced",
            "COPY --from=debian:12 /etc/issue /etc/",
        ),
        chown_flag("COPY"),
        chmod_flag("COPY"),
        link_flag("COPY"),
        Flag(
            "parents",
            "sources keep their directories under the destination, from `/./` on where they have it; `**` matches any "
            "number of directories",
            "COPY --parents src/./app/**/*.py /srv/",
            "bool",
        ),
        exclude_flag("COPY"),
    )

    from_: str = ""
    parents: bool = False

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        from_ = flags.text("from") or ""
        if "$" in from_:
            raise DockerfileSyntaxError(
                f"--from={from_}: variables are not replaced here",
                expected="a stage's name or number, or an image",
                hint=f"add a stage `FROM {from_} AS NAME`, with an ARG before the first FROM, and use --from=NAME",
            )
        found = super().fields(raw, flags)
        return {**found, "from_": from_, "parents": flags.is_on("parents")}

    def flag_texts(self) -> FlagTexts:
        parents = ("parents", "true" if self.parents else None)
        return (("from", self.from_ or None), *super().flag_texts(), parents)

    def _said_first(self) -> str:
        return " --parents" if self.parents else ""

    def trees(self) -> Tuple[str, ...]:
        return (self.from_,) if self.from_ else ()

    def context_paths(self) -> Tuple[ContextPath, ...]:
        sources = () if self.from_ else self.sources
        return tuple(ContextPath(source, self.parents) for source in sources)

    def _select(
        self,
        state: StageState,
        expands: Expansion,
        sources: Tuple[str, ...],
        exclude: Tuple[str, ...],
    ) -> Tuple[Selection, ...]:
        for source in sources:
            if is_remote(source):
                raise DockerfileSyntaxError(
                    f'"{redacted(source)}" is not a path',
                    expected="a path of the context",
                    hint="COPY takes files only; ADD fetches what a URL names",
                )
        if not sources:
            return ()
        if self.from_:
            return (select_from_tree(state.sources, self.from_, sources, parents=self.parents),)
        return (select_from_context(state.build.context, sources, exclude, parents=self.parents),)
