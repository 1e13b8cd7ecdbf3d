"""A small root of busybox, and both runtimes to run on it. Needs root; every mount is in a namespace of a child."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import pytest

from imagebuild.runtime.chroot import ChrootRuntime
from imagebuild.runtime.namespaces import NamespaceRuntime
from imagebuild.runtime.spec import ExitStatus, ProcessSpec, Runtime

BUSYBOX = Path("/bin/busybox")
PATH = ("PATH", "/bin")
APPLETS = [
    "sh",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "dd",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "head",
    "id",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mknod",
    "mv",
    "nc",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "setsid",
    "sleep",
    "stat",
    "sync",
    "tail",
    "touch",
    "tr",
    "true",
    "umount",
    "mount",
    "unshare",
    "wc",
    "yes",
]


@pytest.fixture(scope="session", autouse=True)
def _host() -> None:
    assert os.geteuid() == 0, "these tests need root"
    assert BUSYBOX.exists(), "install busybox-static"


@pytest.fixture(autouse=True)
def _machine_is_left_alone() -> Iterator[None]:
    """No mount of a test is ever seen outside, and no process stays."""
    mounts = Path("/proc/self/mountinfo").read_text()
    devices = sorted(os.listdir("/dev"))
    yield
    assert mounts == Path("/proc/self/mountinfo").read_text()
    assert devices == sorted(os.listdir("/dev"))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer with /bin, /etc, /tmp and some files; never to be changed."""
    root = tmp_path_factory.mktemp("base")
    for name in ("bin", "etc", "tmp", "data/sub", "home"):
        (root / name).mkdir(parents=True)
    root.chmod(0o755)
    (root / "tmp").chmod(0o1777)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "data/file").write_text("lower\n")
    (root / "data/sub/deep").write_text("deep\n")
    (root / "links").mkdir()
    (root / "links/one").write_text("linked\n")
    os.link(root / "links/one", root / "links/two")
    for path in [root, *root.rglob("*")]:
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    return root


@dataclass(frozen=True)
class Ran:
    """What one run did: its end, its output, and the directory with its changes."""

    status: ExitStatus
    out: str
    err: str
    upper: Path

    def changes(self) -> Dict[str, str]:
        """path -> "dir", "file", "link" or "whiteout" for everything in the upper directory."""
        return {str(p.relative_to(self.upper)): kind(p) for p in sorted(self.upper.rglob("*"))}


def kind(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return "whiteout"
    names = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo"}
    return names.get(stat.S_IFMT(status.st_mode), "other")


Run = Callable[..., Ran]


class Runner:
    """Runs commands with one runtime, each in a fresh upper directory."""

    def __init__(self, runtime: Runtime, base: Path, tmp_path: Path) -> None:
        self.runtime, self.base, self.tmp_path = runtime, base, tmp_path
        self.count = 0

    def directories(self) -> Tuple[Path, Path]:
        self.count += 1
        here = self.tmp_path / f"{self.runtime.name}-{self.count}"
        for name in ("upper", "work"):
            (here / name).mkdir(parents=True)
        return here / "upper", here / "work"

    def __call__(
        self,
        *args: str,
        lower: Optional[Sequence[Path]] = None,
        stdin: Optional[int] = None,
        env: Tuple[Tuple[str, str], ...] = (PATH,),
        meanwhile: Callable[[], None] = lambda: None,
        **fields: Any,
    ) -> Ran:
        upper, work = self.directories()
        layers = [str(path) for path in (lower if lower is not None else [self.base])]
        out, err = upper.parent / "out", upper.parent / "err"
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            status = self.runtime.run(
                layers,
                str(upper),
                str(work),
                ProcessSpec(args=args, env=env, **fields),
                stdout=stdout.fileno(),
                stderr=stderr.fileno(),
                stdin=stdin,
                meanwhile=meanwhile,
            )
        return Ran(status, out.read_text(), err.read_text(), upper)

    def sh(self, script: str, **fields: Any) -> Ran:
        return self("sh", "-c", script, **fields)

    def background(self, script: str, **fields: Any) -> int:
        """Run a script in a forked copy of the test, as the executor would; the copy's process id."""
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                code = self.sh(script, **fields).status.code
            finally:
                os._exit(code)
        return pid


@pytest.fixture(params=["namespace", "chroot"])
def run(request: Any, base: Path, tmp_path: Path) -> Runner:
    runtime = NamespaceRuntime() if request.param == "namespace" else ChrootRuntime()
    return Runner(runtime, base, tmp_path)


@pytest.fixture
def namespace(base: Path, tmp_path: Path) -> Runner:
    return Runner(NamespaceRuntime(), base, tmp_path)


@pytest.fixture
def chroot(base: Path, tmp_path: Path) -> Runner:
    return Runner(ChrootRuntime(), base, tmp_path)


def processes_with(marker: str) -> List[int]:
    """The processes whose environment holds a text: those that a run started, seen from the host."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                environment = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if marker.encode() in environment:
                found.append(int(name))
    return found


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``, which has 10 seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen in 10 seconds")


def children_of(pid: int) -> List[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def read_status(pid: int) -> Dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
