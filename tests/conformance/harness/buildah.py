"""The oracle: `buildah bud`, with a storage of its own, in a mount namespace of its own."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

from conformance.harness.cases import Case
from conformance.harness.flatten import Flat, flatten_dir

# It makes itself a sealed copy in memory at its start, and now and then the kernel still holds a page of it.
_TRY_AGAIN = "sealing memfd copy: Device or resource busy"
_TRIES = 5

SECONDS = 120


class OracleError(AssertionError):
    """buildah failed, or is not there."""


@dataclass(frozen=True)
class Buildah:
    """buildah with its storage below `directory`. It takes a base from the registry when a case first names it."""

    directory: Path

    def build(self, case: Case, context: Path) -> List[Flat]:
        """Build the case and flatten its images, one for each platform that it is for.

        :raises OracleError: with what buildah said.
        """
        return [self._build(case, context, platform) for platform in case.platforms or ("",)]

    def _build(self, case: Case, context: Path, platform: str) -> Flat:
        out = self.directory / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        self._run("bud", *_FLAGS, *self._arguments(case, context, out, platform), str(context))
        image = (out / "id").read_text().strip()
        self._run("push", "--quiet", "--disable-compression", image, f"dir:{out / 'image'}")
        return flatten_dir(out / "image")

    def _arguments(self, case: Case, context: Path, out: Path, platform: str) -> List[str]:
        arguments = ["--iidfile", str(out / "id"), "--file", str(context / case.dockerfile)]
        for name, value in case.build_args:
            arguments += ["--build-arg", f"{name}={value}"]
        arguments += ["--target", case.target] if case.target else []
        arguments += ["--platform", platform] if platform else []
        for label in case.labels:
            arguments += ["--label", label]
        for name, value in case.secrets:
            (out / f"secret-{name}").write_text(value)
            arguments += ["--secret", f"id={name},src={out / f'secret-{name}'}"]
        return arguments

    def _run(self, *arguments: str) -> None:
        storage = ["--root", str(self.directory / "root"), "--runroot", str(self.directory / "run")]
        command = ["unshare", "--mount", "buildah", "--storage-driver", "overlay", *storage]
        said, code = "", 0
        for _ in range(_TRIES):
            said, code = _output(command + list(arguments))
            if code == 0 or _TRY_AGAIN not in said:
                break
        if code:
            raise OracleError(f"buildah {arguments[0]} exited {code}:\n{said[-4000:]}")


_FLAGS = (
    "--quiet",
    "--isolation=chroot",
    "--network=host",
    "--layers=false",
    "--tls-verify=false",
    "--format=docker",
    "--identity-label=false",
    "--http-proxy=false",
    # In Docker's default set, and not in buildah's.
    "--cap-add=CAP_MKNOD",
)


def _output(command: List[str]) -> Tuple[str, int]:
    if not shutil.which("buildah"):
        raise OracleError("the conformance suite needs the program buildah (Debian: buildah)")
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace"), done.returncode
