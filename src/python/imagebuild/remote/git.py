"""The git of this machine, run so that neither a repository nor this machine's settings have a say in what it does.

No configuration of the system or the user is read, no hook, filter or pager is run, nobody is asked for a password, and
only transports that fetch are allowed, for submodules too (CVE-2022-39253 and its family came through others).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import List, Mapping, Optional

from imagebuild.errors import RemoteError
from imagebuild.remote.urls import GIT_SCHEMES

ANSWER_SECONDS = 300
FETCH_SECONDS = 7200
"""Nothing that git is asked to do may take longer. What stalls over HTTP ends after a minute by itself."""

MAX_ANSWER = 8 << 20
_MAX_SAID = 600

_CONFIG = """\
[core]
\thooksPath = /dev/null
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tfsmonitor = false
\tautocrlf = false
\tsymlinks = true
\tlogAllRefUpdates = false
[credential]
\thelper =
[init]
\tdefaultBranch = master
\ttemplateDir =
[gc]
\tauto = 0
[maintenance]
\tauto = false
[index]
\tversion = 2
\tthreads = 1
[pack]
\tthreads = 1
\twriteReverseIndex = false
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
\tuserAgent = pants-kaniko
[advice]
\tdetachedHead = false
[protocol]
\tversion = 2
"""

_SSH = (
    "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=20 -o ServerAliveCountMax=3"
    " -o IdentityFile=none -o ForwardAgent=no"
)
"""An agent's keys and no others; the user's known_hosts decides who is talked to."""

_PASSED_ON = (
    "PATH",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
)

_TEMPORARY = re.compile(
    r"could not resolve host|connection (timed out|reset|refused)|failed to connect|error: (429|50[0234])"
    r"|early EOF|unexpected disconnect|RPC failed|gnutls_handshake|operation too slow|HTTP/2 stream",
    re.IGNORECASE,
)
_AUTHENTICATION = re.compile(
    r"authentication failed|could not read username|permission denied|terminal prompts disabled"
    r"|error: 40[13]|host key verification failed",
    re.IGNORECASE,
)


class GitError(Exception):
    """git ended with an error. `said` is what it wrote, on one line."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said

    @property
    def temporary(self) -> bool:
        return _TEMPORARY.search(self.said) is not None

    @property
    def is_authentication(self) -> bool:
        return _AUTHENTICATION.search(self.said) is not None


class Git:
    """Runs git.

    :param scratch: a directory of our own, for its configuration and what it writes about its work.
    :param environ: where the program, proxies and an ssh agent are looked up.
    """

    def __init__(self, scratch: str, environ: Mapping[str, str]) -> None:
        """:raises RemoteError: where there is no git."""
        found = shutil.which("git", path=environ.get("PATH", os.defpath))
        if found is None:
            raise RemoteError(
                "an ADD of a git repository needs the program git, which is not on this machine's PATH",
                hint="install git, or pass PATH on to the executor",
            )
        self._program, self._scratch = found, scratch
        home = os.path.join(scratch, "home")
        os.makedirs(home, exist_ok=True)
        config = os.path.join(home, ".gitconfig")
        with open(config, "w", encoding="ascii") as file:
            file.write(_CONFIG)
        self._environment = {
            **{name: environ[name] for name in _PASSED_ON if environ.get(name)},
            **_certificates(environ),
            "LC_ALL": "C",
            # Old versions know HOME only, new ones GIT_CONFIG_GLOBAL too.
            "HOME": home,
            "XDG_CONFIG_HOME": home,
            "GIT_CONFIG_GLOBAL": config,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": ":".join(GIT_SCHEMES),
            "GIT_SSH_COMMAND": _SSH + _known_hosts(environ),
            "GIT_SSH_VARIANT": "ssh",
            "GIT_CEILING_DIRECTORIES": scratch,
            "GIT_OPTIONAL_LOCKS": "0",
        }

    def run(
        self, *arguments: str, directory: Optional[str] = None, seconds: int = ANSWER_SECONDS
    ) -> bytes:
        """What git writes; :raises GitError: when it fails, or is not done in time."""
        said = os.path.join(self._scratch, "said")
        with open(said, "w+b") as errors, open(f"{said}.out", "w+b") as output:
            try:
                done = subprocess.run(
                    [self._program, *arguments],
                    cwd=directory or self._scratch,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    timeout=seconds,
                    check=False,
                    umask=0o022,
                )
            except subprocess.TimeoutExpired:
                raise GitError(f"git {arguments[0]} was not done after {seconds} seconds") from None
            if done.returncode:
                raise GitError(_tail(errors.fileno()) or f"git ended with {done.returncode}")
            if os.fstat(output.fileno()).st_size > MAX_ANSWER:
                raise GitError(f"git {arguments[0]} wrote more than {MAX_ANSWER} bytes")
            output.seek(0)
            return output.read()


def _certificates(environ: Mapping[str, str]) -> Mapping[str, str]:
    """git has names of its own for where trusted certificates are."""
    names = (("SSL_CERT_FILE", "GIT_SSL_CAINFO"), ("SSL_CERT_DIR", "GIT_SSL_CAPATH"))
    return {own: environ[name] for name, own in names if environ.get(name)}


def _known_hosts(environ: Mapping[str, str]) -> str:
    """The caller's, for HOME is another one here."""
    file = os.path.join(environ.get("HOME", ""), ".ssh", "known_hosts")
    plain = re.fullmatch(r"[\w./+@=-]+", file) is not None
    return f" -o UserKnownHostsFile={file}" if file.startswith("/") and plain else ""


def _tail(fd: int) -> str:
    """The last of what git wrote, one line, nothing but printable characters: servers write there too."""
    size = os.fstat(fd).st_size
    text = os.pread(fd, 4096, max(0, size - 4096)).decode("utf-8", "replace")
    lines: List[str] = [line.rpartition("\r")[2].strip() for line in text.split("\n")]
    return _printable("; ".join(filter(None, lines)))[-_MAX_SAID:]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
