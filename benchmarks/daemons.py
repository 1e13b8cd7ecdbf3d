"""Peers with a daemon. The benchmark starts one for each machine, with all its data there; yours is not asked for anything."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Dict, List

from peer import Command, Peer, flag, private

from support.registry import RealRegistry

READY = 30.0
"""Seconds that a daemon may take to start, or to end."""


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
        log = directory / "log"
        with log.open("wb") as output:
            self._daemons[machine] = subprocess.Popen(
                private(directory, self.daemon(directory)),
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
            daemon.terminate()
            try:
                daemon.wait(READY)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

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
        options += [f"--config-file={config}", f"--pidfile={directory}/pid"]
        options += [f"--host={self.socket(directory.name)}"]
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
        command += [f"--output=type=image,name={image},push={flag(cached)}"]
        if cached:
            cache = f"type=registry,ref={self.reference(project, 'cache')}"
            command += [f"--import-cache={cache}", f"--export-cache={cache},mode=max"]
        return [command]
