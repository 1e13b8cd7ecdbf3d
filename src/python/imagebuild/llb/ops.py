"""What a step does: the only things that are hashed and executed. No op knows the Dockerfile it came from.

Adding a kind of op is one class here, one executor in ``execute/step.py`` and its lowering; keys follow by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, Union

EnvVars = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class ExecOp:
    """Run a command over a filesystem (RUN).

    :param args: the argv; a shell form is already wrapped in its SHELL.
    :param env: exactly what the process sees, sorted by name: the image's ENV and the ARGs in scope.
    :param cwd: absolute.
    :param user: as written in USER ("app", "1000:staff"), "" for root; resolved against the tree when it runs.
    :param network: "host" or "none".
    """

    KIND = "exec"

    args: Tuple[str, ...]
    env: EnvVars
    cwd: str
    user: str
    network: str


@dataclass(frozen=True)
class CopyAction:
    """Copy files of one input into the tree (COPY and ADD).

    :param input: index into the step's inputs.
    :param sources: patterns of Go's filepath.Match, slash-separated, relative to the input's root, cleaned.
    :param dest: absolute and cleaned, without trailing slash (but for "/").
    :param dest_is_dir: the destination ended in a slash, or there are several sources.
    :param owner: as written in --chown ("app:staff", "1000"), None for 0:0.
    :param mode: --chmod in octal, None to keep the source's.
    :param keep_owner: sources keep their own uid and gid (COPY --from without --chown).
    :param unpack: ADD: a source that is a tar archive, compressed or not, is unpacked rather than copied.
    """

    KIND = "copy"

    input: int
    sources: Tuple[str, ...]
    dest: str
    dest_is_dir: bool
    owner: Optional[str] = None
    mode: Optional[int] = None
    keep_owner: bool = False
    unpack: bool = False


@dataclass(frozen=True)
class MkdirAction:
    """Make a directory and its parents where they are missing (WORKDIR)."""

    KIND = "mkdir"

    path: str
    mode: int
    owner: Optional[str] = None


@dataclass(frozen=True)
class FileOp:
    """Change files without running anything; all actions together make one layer."""

    KIND = "file"

    actions: Tuple[Union[CopyAction, MkdirAction], ...]


Op = Union[ExecOp, FileOp]
