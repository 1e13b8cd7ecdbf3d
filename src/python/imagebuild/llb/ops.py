"""What a step does: the only things that are hashed and executed. No op knows the Dockerfile it came from.

Adding a kind of op is one class here, one executor in ``execute/step.py`` and its lowering; keys follow by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, Union

EnvVars = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class BindMount:
    """Files of an input, seen by one RUN (``--mount=type=bind``).

    :param target: absolute; so in all mounts.
    :param input: index into the step's inputs.
    :param source: a path in that input; links in it are resolved inside the input.
    :param writable: writes are allowed, and thrown away.
    """

    KIND = "bind"

    target: str
    input: int
    source: str = "/"
    writable: bool = False


@dataclass(frozen=True)
class CacheMount:
    """A directory of this machine that outlives the build (``--mount=type=cache``); what is in it is in no key.

    :param sharing: "shared", "private" or "locked".
    :param input: what a new one begins with, None for an empty directory; `source` is a path in it.
    """

    KIND = "cache"

    target: str
    id: str
    sharing: str = "shared"
    readonly: bool = False
    input: Optional[int] = None
    source: str = "/"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class TmpfsMount:
    """:param size: in bytes, 0 for no limit of its own."""

    KIND = "tmpfs"

    target: str
    size: int = 0


@dataclass(frozen=True)
class SecretMount:
    """A secret as a file, as a variable, or both; its value is in no key.

    :param target: "" for no file.
    :param env: the variable, "" for none.
    """

    KIND = "secret"

    id: str
    target: str = ""
    env: str = ""
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class SshMount:
    """The socket of an ssh agent; SSH_AUTH_SOCK of the RUN names the first one."""

    KIND = "ssh"

    target: str
    id: str = "default"
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class ScriptMount:
    """An executable file of the Dockerfile's own text (a here-document of RUN that begins with ``#!``)."""

    KIND = "script"

    target: str
    content: str


Mount = Union[BindMount, CacheMount, TmpfsMount, SecretMount, SshMount, ScriptMount]


@dataclass(frozen=True)
class ExecOp:
    """Run a command over a filesystem (RUN).

    :param args: the argv; a shell form is already wrapped in its SHELL.
    :param env: exactly what the process sees, sorted by name: the image's ENV and the ARGs in scope.
    :param cwd: absolute.
    :param user: as written in USER ("app", "1000:staff"), "" for root; resolved against the tree when it runs.
    :param network: "host" or "none".
    :param mounts: in the order of the text; a later one may lie inside an earlier one.
    """

    KIND = "exec"

    args: Tuple[str, ...]
    env: EnvVars
    cwd: str
    user: str
    network: str
    mounts: Tuple[Mount, ...] = ()


@dataclass(frozen=True)
class InlineFile:
    """A file that the Dockerfile itself holds (a here-document); bytes that are not UTF-8 are lone surrogates."""

    name: str
    content: str


@dataclass(frozen=True)
class CopyAction:
    """Copy files of one input into the tree (COPY and ADD).

    :param input: index into the step's inputs.
    :param sources: patterns of Go's filepath.Match, slash-separated, relative to the input's root, cleaned; () where only
        `files` are copied, and then `input` names nothing.
    :param dest: absolute and cleaned, without trailing slash (but for "/").
    :param dest_is_dir: the destination ended in a slash, or there are several sources.
    :param owner: as written in --chown ("app:staff", "1000"), None for 0:0.
    :param mode: --chmod in octal, None to keep the source's.
    :param symbolic_mode: --chmod as in chmod(1) ("u=rwX,go=rX"), "" for none; relative to the source's mode.
    :param keep_owner: sources keep their own uid and gid (COPY --from without --chown).
    :param unpack: ADD: a source that is a tar archive, compressed or not, is unpacked rather than copied.
    :param files: copied as further sources, behind `sources`.
    :param exclude: patterns of .dockerignore; what they match under a source is left out (--exclude).
    :param parents: a source's own directories are made under `dest` too, from its pivot "/./" on (--parents).
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
    symbolic_mode: str = ""
    files: Tuple[InlineFile, ...] = ()
    exclude: Tuple[str, ...] = ()
    parents: bool = False


@dataclass(frozen=True)
class MkdirAction:
    """Make a directory and its parents where they are missing (WORKDIR)."""

    KIND = "mkdir"

    path: str
    mode: int
    owner: Optional[str] = None


@dataclass(frozen=True)
class FileOp:
    """Change files without running anything; all actions together make one layer.

    :param link: made over nothing, and laid on top of whatever is below (COPY --link): neither key knows a parent.
    """

    KIND = "file"

    actions: Tuple[Union[CopyAction, MkdirAction], ...]
    link: bool = False


Op = Union[ExecOp, FileOp]
