"""A repository of its own, with Pants run in it as a user runs it: as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional

# What reaches Pants of the environment that the test runs in. PANTS_*: how the Pex CLI is found, see ./pants.
_INHERITED = ("HOME", "LANG", "PATH", "PYENV_ROOT", "SSL_CERT_FILE", "XDG_CACHE_HOME")
_INHERITED_OPTIONS = (
    "PANTS_CA_CERTS_PATH",
    "PANTS_PEX_CLI_KNOWN_VERSIONS",
    "PANTS_PEX_CLI_URL_TEMPLATE",
    "PANTS_SUBPROCESS_ENVIRONMENT_ENV_VARS",
)


@dataclass(frozen=True)
class Repository:
    """The directory ``root`` as a Pants repository. ``env`` is added to what Pants gets of our own environment."""

    root: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: str, text: str) -> Path:
        """Writes a file, and the directories that it needs."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        return file

    def run(
        self, *args: str, exit_code: Optional[int] = 0, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """``./pants ARGS``, without the daemon. Fails, with all that Pants said, on another exit code."""
        inherited = {
            name: os.environ[name]
            for name in (*_INHERITED, *_INHERITED_OPTIONS)
            if name in os.environ
        }
        result = subprocess.run(
            [sys.executable, "-m", "pants", "--no-pantsd", "--no-dynamic-ui", *args],
            cwd=self.root,
            env={**inherited, "NO_SCIE_WARNING": "1", **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if exit_code is not None:
            assert exit_code == result.returncode, f"{result.stdout}\n{result.stderr}"
        return result
