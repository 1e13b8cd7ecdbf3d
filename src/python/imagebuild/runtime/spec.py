"""What to run inside a root, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Optional, Protocol, Sequence, Tuple, Union

#: Docker's and BuildKit's default for an image that sets no PATH.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Bind:
    """A file, directory or socket of the host, seen inside the root.

    :param target: path inside the root, as in all mounts; symbolic links on the way resolve inside the root. Made where
        missing, and then never part of the layer.
    :param source: a host path, or an open descriptor (O_PATH will do) that pins what is mounted.
    :param readonly: writes fail with EROFS.
    :param alone: nobody else uses the source meanwhile, so that a runtime without mounts may move it away and back.
    """

    target: str
    source: Union[str, int]
    readonly: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Tmpfs:
    """An empty directory in memory.

    :param size: in bytes; 0 leaves it to the kernel (half of the memory).
    :param mode: of its root directory.
    """

    target: str
    size: int = 0
    mode: int = 0o1777


@dataclass(frozen=True)
class Merged:
    """A file or directory out of the merged view of some directories, as overlayfs shows it.

    :param lower: host directories, lowest first.
    :param source: a path in the merged view; links in it resolve inside the view.
    :param scratch: a host directory with the empty directories ``upper`` and ``work``, which take what is written; ""
        makes writes fail with EROFS.
    :param readonly: writes fail with EROFS, but `settled` was done before.
    :param settled: paths of regular files in the view, and the mode that each gets; with `mtime` in nanoseconds, and root
        as their owner. The files themselves are not touched.
    """

    target: str
    lower: Tuple[str, ...]
    source: str = "/"
    scratch: str = ""
    readonly: bool = True
    settled: Tuple[Tuple[bytes, int], ...] = ()
    mtime: Optional[int] = None


@dataclass(frozen=True)
class Inline:
    """A file in memory. The RUN may write it; what it writes is gone afterwards.

    :param private: a secret: never on a disk, nor in swap where the kernel can help it. Nothing of it can be executed.
    """

    target: str
    content: bytes = field(repr=False)
    mode: int = 0o400
    uid: int = 0
    gid: int = 0
    private: bool = True


Mount = Union[Bind, Tmpfs, Merged, Inline]
"""A further mount of one RUN (``RUN --mount``). It is never part of the step's layer."""


@dataclass(frozen=True)
class ProcessSpec:
    """One process inside a root. Users come in as numbers: nothing is looked up in the image.

    :param args: argv; ``args[0]`` without a slash is searched in the PATH of ``env``, inside the root.
    :param env: the whole environment, in order; nothing of the caller's own environment is added.
    :param cwd: working directory inside the root; it has to exist.
    :param groups: the supplementary groups, exactly.
    :param network: "host" (the caller's network) or "none" (a loopback interface and nothing else).
    :param terminal: leave the process in the caller's session and foreground process group, for interactive use.
    :param mounts: in any order: one inside another is mounted after it.
    :param no_new_privileges: None takes the runtime's default (namespace: off as in Docker, chroot: on).
    :param masked: texts that never reach a log file; "***" stands there for them.
    """

    args: Tuple[str, ...]
    env: Tuple[Tuple[str, str], ...] = field(default=(), repr=False)
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: Tuple[int, ...] = ()
    network: str = "host"
    hostname: str = "buildsandbox"
    mounts: Tuple[Mount, ...] = ()
    terminal: bool = False
    no_new_privileges: Optional[bool] = None
    masked: Tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class ExitStatus:
    """How the process ended.

    :param code: as a shell counts: the exit code, or 128 + signal; 126 could not be executed, 127 was not found.
    :param signal: the signal that killed it, or 0.
    :param interrupted_by: the first signal that the caller received and passed on, or 0.
    :param message: why ``args`` could not be started, or what its end means where that is not plain (also written to
        its stderr), or "".
    """

    code: int
    signal: int = 0
    interrupted_by: int = 0
    message: str = ""


class Runtime(Protocol):
    """Runs a process on a stack of layers and leaves its changes in a directory."""

    name: str

    def run(
        self,
        lower: Sequence[str],
        upper: str,
        work: str,
        spec: ProcessSpec,
        *,
        stdout: int,
        stderr: int,
        stdin: Optional[int] = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> ExitStatus:
        """Run ``spec`` on the merged view of ``lower`` and wait for it and everything that it started.

        :param lower: extracted layers in overlayfs format, lowest first; may be empty, and may repeat a layer.
        :param upper: an existing empty directory; afterwards it holds the changes in overlayfs format (whiteouts are
            0:0 character devices, opaque directories carry ``trusted.overlay.opaque``), and its own mode, owner, times
            and attributes are those of the merged root.
        :param work: an existing empty directory on the same filesystem as ``upper``; scratch, for the caller to delete.
        :param stdin: None gives /dev/null.
        :param meanwhile: called once the command is being started: what the caller can do while it runs.
        :raises HostError: where this host cannot do it; says what is missing.
        :raises StepError: where the step cannot be started on this image (no such working directory, ...).
        :raises UnsafePathError: where the image tries to redirect a mount.
        """
        ...
