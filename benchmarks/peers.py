"""The builders that this one is compared with: buildah, and of docker, BuildKit and kaniko those that are on PATH.

A daemon of theirs is started for each machine, with all its data in the machine's directory, in a mount namespace with a /dev
of its own; yours is not asked for anything. kaniko unpacks images over the root directory: it gets one that is thrown away.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import processes
from builders import Files, Sample, downloaded
from machines import set_aside, write_changed
from processes import Peak

from support.registry import RealRegistry

Command = List[str]

# sh -c PRIVATE - DIRECTORY COMMAND...: the command with a /dev of what no program can do without, and no containerd but its own.
PRIVATE = """
set -e
dev=$1/dev && shift && mkdir -p "$dev"
mount -t tmpfs -o mode=755 dev "$dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$dev"
ln -s /proc/self/fd "$dev/fd"
mkdir "$dev/pts" "$dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$dev/pts" && ln -s pts/ptmx "$dev/ptmx"
mount --rbind "$dev" /dev
[ ! -d /run/containerd ] || mount -t tmpfs containerd /run/containerd
exec "$@"
"""
READY = 30.0
"""Seconds that a daemon may take to start, or to end."""


class Peer:
    """A `Builder` that is a command line; a machine of it is a directory.

    :cvar programs: what has to be on PATH.
    """

    name = ""
    remembers = False
    programs: Sequence[str] = ()

    def __init__(self, directory: Path, registry: RealRegistry) -> None:
        self.directory, self.registry = directory / self.name, registry

    @classmethod
    def is_here(cls) -> bool:
        return all(map(shutil.which, cls.programs))

    def commands(self, project: Path, machine: str, *, cached: bool) -> List[Command]:
        """What builds the project, one after the other."""
        raise NotImplementedError

    def write(self, project: str, dockerfile: str, files: Files) -> None:
        for path, text in {"Dockerfile": dockerfile, **files}.items():
            write_changed(self.directory / "projects" / project / path, text)

    def build(self, project: str, machine: str = "A", *, cached: bool = True) -> Sample:
        self.start(machine)
        commands = self.commands(self.directory / "projects" / project, machine, cached=cached)
        seen = len(self.registry.accesses())
        with Peak(self.roots) as peak:
            seconds, cpu = self._timed(commands)
        return Sample(seconds, cpu, downloaded(self.registry, seen), peak.bytes)

    def build_again(self, project: str) -> Sample:
        """The quickest way is not to ask the registry, which has nothing that the machine has not."""
        return self.build(project, cached=False)

    def forget(self, machine: str) -> None:
        set_aside(self.directory / machine)

    def start(self, machine: str) -> None:
        """Have the machine ready; what that takes is not timed."""
        (self.directory / machine).mkdir(parents=True, exist_ok=True)

    def stop(self) -> None:
        """End what runs for it."""

    def roots(self) -> List[int]:
        """Processes that all of its work is below."""
        return [os.getpid()]

    def environment(self) -> Dict[str, str]:
        return {**os.environ}

    def reference(self, project: Path, tag: str) -> str:
        return f"{self.registry.address}/{self.name}/{project.name}:{tag}"

    def _timed(self, commands: Sequence[Command]) -> Tuple[float, float]:
        """Wall and processor seconds of them all."""
        log = self.directory / "output"
        for attempt in range(5):
            os.sync()
            before, started = self._cpu(), time.perf_counter()
            with log.open("wb") as output:
                done = [self._call(command, output.fileno()) for command in commands]
            seconds, cpu = time.perf_counter() - started, self._cpu() - before
            if not any(done):
                return seconds, cpu
            # Now and then buildah fails at its very start, with "sealing memfd copy: Device or resource busy".
            if b"sealing memfd copy" not in log.read_bytes() or attempt == 4:
                break
        raise SystemExit(f"{self.name} failed: {commands}\n{log.read_text()[-4000:]}")

    def _call(self, command: Command, output: int) -> int:
        return subprocess.call(
            command,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def _cpu(self) -> float:
        daemons = [pid for pid in self.roots() if pid != os.getpid()]
        return sum(os.times()[2:4]) + processes.seconds(daemons)


class Buildah(Peer):
    """`buildah bud --layers`; its cache in the registry is that of `--cache-to`."""

    name = "buildah"
    programs = ("buildah",)

    def commands(self, project: Path, machine: str, *, cached: bool) -> List[Command]:
        storage = self.directory / machine
        options = ["--layers", "--isolation=chroot", "--network=host", "--tls-verify=false"]
        options += ["--format=oci", "--jobs=4", "--tag", f"{project.name}:image"]
        if cached:
            cache = f"{self.registry.address}/buildah/cache"
            options += ["--cache-from", cache, "--cache-to", cache]
        command = ["unshare", "--mount", "buildah", "--storage-driver=overlay"]
        command += ["--root", str(storage / "root"), "--runroot", str(storage / "run")]
        return [[*command, "bud", *options, str(project)]]


class Daemons(Peer):
    """A peer with a daemon for each machine."""

    def __init__(self, directory: Path, registry: RealRegistry) -> None:
        super().__init__(directory, registry)
        self._daemons: Dict[str, subprocess.Popen[bytes]] = {}

    def daemon(self, directory: Path) -> Command:
        """What keeps all that it has in `directory`, and listens at `socket`."""
        raise NotImplementedError

    def probe(self, machine: str) -> Command:
        """What succeeds when the daemon listens."""
        raise NotImplementedError

    def socket(self, machine: str) -> str:
        return f"unix://{self.directory / machine / 'socket'}"

    def start(self, machine: str) -> None:
        super().start(machine)
        if machine in self._daemons:
            return
        directory = self.directory / machine
        command = ["unshare", "--mount", "sh", "-c", PRIVATE, "-", str(directory)]
        log = directory / "log"
        with log.open("wb") as output:
            self._daemons[machine] = subprocess.Popen(
                [*command, *self.daemon(directory)],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + READY
        with open(os.devnull, "wb") as nowhere:
            while self._call(self.probe(machine), nowhere.fileno()):
                if time.monotonic() > end or self._daemons[machine].poll() is not None:
                    raise SystemExit(f"{self.name} does not start:\n{log.read_text()[-4000:]}")
                time.sleep(0.1)

    def forget(self, machine: str) -> None:
        self._end(machine)
        super().forget(machine)

    def stop(self) -> None:
        for machine in list(self._daemons):
            self._end(machine)

    def _end(self, machine: str) -> None:
        daemon = self._daemons.pop(machine, None)
        if daemon is not None:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(READY)

    def roots(self) -> List[int]:
        return [os.getpid(), *(daemon.pid for daemon in self._daemons.values())]


class Docker(Daemons):
    """`docker build` with BuildKit, and where there is a cache, `docker push` of an image that has its cache in it."""

    name = "docker"
    programs = ("docker", "dockerd")

    def daemon(self, directory: Path) -> Command:
        config = directory / "daemon.json"
        config.write_text("{}")
        options = [f"--data-root={directory}/data", f"--exec-root={directory}/exec"]
        options += [
            f"--config-file={config}",
            f"--pidfile={directory}/pid",
            f"--host={self.socket(directory.name)}",
        ]
        options += ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"]
        return ["dockerd", *options]

    def probe(self, machine: str) -> Command:
        return ["docker", "--host", self.socket(machine), "version"]

    def environment(self) -> Dict[str, str]:
        return {**os.environ, "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(self.directory)}

    def commands(self, project: Path, machine: str, *, cached: bool) -> List[Command]:
        docker, image = ["docker", "--host", self.socket(machine)], self.reference(project, "image")
        build = [*docker, "build", "--network=host", "--tag", image, str(project)]
        if not cached:
            return [build]
        build += ["--cache-from", image, "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
        return [build, [*docker, "push", image]]


class BuildKit(Daemons):
    """`buildctl build` with a cache of all steps in the registry."""

    name = "buildkit"
    programs = ("buildctl", "buildkitd")

    def daemon(self, directory: Path) -> Command:
        config = directory / "buildkitd.toml"
        config.write_text(f'[registry."{self.registry.address}"]\n  http = true\n')
        options = [f"--root={directory}/root", f"--config={config}"]
        options += [f"--addr={self.socket(directory.name)}", "--oci-worker-net=host"]
        return ["buildkitd", *options]

    def probe(self, machine: str) -> Command:
        return ["buildctl", "--addr", self.socket(machine), "debug", "workers"]

    def commands(self, project: Path, machine: str, *, cached: bool) -> List[Command]:
        command = ["buildctl", "--addr", self.socket(machine), "build", "--progress=plain"]
        command += ["--frontend=dockerfile.v0", f"--local=context={project}"]
        command += [f"--local=dockerfile={project}"]
        image = self.reference(project, "image")
        command += [f"--output=type=image,name={image},push={_flag(cached)}"]
        if cached:
            cache = f"type=registry,ref={self.reference(project, 'cache')}"
            command += [f"--import-cache={cache}", f"--export-cache={cache},mode=max"]
        return [command]


class Kaniko(Peer):
    """kaniko's executor. It has no store: a machine that has built before knows no more than a fresh one."""

    name = "kaniko"
    programs = ("executor",)

    @classmethod
    def is_here(cls) -> bool:
        if not super().is_here():
            return False
        said = subprocess.run(["executor", "version"], capture_output=True, check=False).stdout
        return b"kaniko" in said.lower()

    def commands(self, project: Path, machine: str, *, cached: bool) -> List[Command]:
        root = self.directory / machine / "root"
        set_aside(root)
        for name in ("dev", "etc", "kaniko", "proc", "tmp", "workspace"):
            (root / name).mkdir(parents=True)
        shutil.copy(str(shutil.which("executor")), root / "kaniko" / "executor")
        shutil.copytree(project, root / "workspace", dirs_exist_ok=True)
        options = ["--context=dir:///workspace", "--dockerfile=/workspace/Dockerfile", "--force"]
        options += ["--insecure", "--insecure-pull", "--no-push", f"--cache={_flag(cached)}"]
        options += [f"--cache-repo={self.registry.address}/kaniko/cache", "--cache-copy-layers"]
        mounts = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev"'
        inside = ["sh", "-c", f'{mounts} && exec chroot "$0" "$@"', str(root), "/kaniko/executor"]
        machine_directory = str(self.directory / machine)
        command = ["unshare", "--mount", "sh", "-c", PRIVATE, "-", machine_directory]
        return [[*command, *inside, *options]]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def peers(directory: Path, registry: RealRegistry) -> List[Peer]:
    """Buildah, which is always among them, and the others that are on PATH."""
    others = [kind for kind in (Docker, BuildKit, Kaniko) if kind.is_here()]
    return [kind(directory, registry) for kind in (Buildah, *others)]
