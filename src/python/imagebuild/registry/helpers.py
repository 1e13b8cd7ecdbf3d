"""Credential helpers: programs named ``docker-credential-NAME`` that read a server from stdin and print JSON.

The name comes from a config file and the program from ``PATH``, so both are bounded: no separators in the name, and only
absolute directories that aren't the build's own (CVE-2026-28406's chain ended in a hijacked helper).
"""

from __future__ import annotations

import json
import os
import re
from typing import Mapping, Optional, Sequence, Tuple

from imagebuild.errors import AuthenticationError
from imagebuild.registry.credential import Credential

_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")
_TIMEOUT_SECONDS = 60
_MAX_OUTPUT = 1 << 20
# The protocol's text for "I have nothing for this server", printed with exit code 1.
_NOT_FOUND = b"credentials not found in native keychain"
_TOKEN_USER = "<token>"


class HelperPrograms:
    """The helpers on a search path.

    :param env: the environment that helpers run in.
    :param directories: absolute directories, in order.
    """

    def __init__(self, env: Mapping[str, str], directories: Sequence[str]) -> None:
        self._env, self._directories = dict(env), tuple(directories)

    @staticmethod
    def from_environment(env: Mapping[str, str], untrusted: Sequence[str] = ()) -> HelperPrograms:
        """``PATH`` without its relative entries and without anything below `untrusted`."""
        walls = tuple(os.path.realpath(directory) for directory in untrusted)
        entries = (entry for entry in env.get("PATH", "").split(os.pathsep) if os.path.isabs(entry))
        return HelperPrograms(env, [entry for entry in entries if not _is_below(entry, walls)])

    def get(self, name: str, server: str) -> Optional[Credential]:
        """What the helper knows for `server`; None when it says it knows nothing.

        :raises AuthenticationError: when there is no such helper, or it fails or prints something else.
        """
        import subprocess

        program = self._find(name)
        try:
            done = subprocess.run(
                [program, "get"],
                input=server.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it may talk about secrets
                env=self._env,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _failed(name, server, f"gave no answer in {_TIMEOUT_SECONDS} s") from None
        except OSError as error:
            raise _failed(name, server, f"can't be run: {error.strerror}") from None
        if done.returncode != 0:
            if _NOT_FOUND in done.stdout:
                return None
            raise _failed(name, server, f"exited {done.returncode}")
        return _parse(name, server, done.stdout)

    def _find(self, name: str) -> str:
        if not _NAME.match(name):
            raise AuthenticationError(
                f"the credential helper {name[:80]!r} is refused",
                expected="letters, digits, '.', '_' and '-'",
            )
        for directory in self._directories:
            program = os.path.join(directory, f"docker-credential-{name}")
            if os.path.isfile(program) and os.access(program, os.X_OK):
                return program
        raise AuthenticationError(
            f'the credential helper "docker-credential-{name}" is not in any absolute directory of PATH',
            hint="install it, put its directory on PATH, or take it out of credsStore/credHelpers",
        )


def _is_below(entry: str, walls: Tuple[str, ...]) -> bool:
    real = os.path.realpath(entry)
    return any(real == wall or real.startswith(wall.rstrip("/") + "/") for wall in walls)


def _parse(name: str, server: str, output: bytes) -> Optional[Credential]:
    try:
        document = json.loads(output[:_MAX_OUTPUT])
        username, secret = document["Username"], document["Secret"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise _failed(
            name, server, 'printed something else than {"Username": ..., "Secret": ...}'
        ) from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _failed(name, server, "printed a Username or Secret that is not a string")
    if username == _TOKEN_USER:
        return Credential(identity_token=secret)
    return Credential(username, secret) if username or secret else None


def _failed(name: str, server: str, how: str) -> AuthenticationError:
    return AuthenticationError(
        f'the credential helper "docker-credential-{name}" {how}, asked for "{server}"',
        hint=f"see what it says: echo {server} | docker-credential-{name} get",
    )
