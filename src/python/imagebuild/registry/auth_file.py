"""Files that hold registry credentials: Docker's config.json and Podman's auth.json (containers-auth.json(5))."""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from imagebuild.errors import UsageError
from imagebuild.oci.reference import canonical_registry
from imagebuild.registry.credential import Credential

_MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class AuthFile:
    """One file, with its keys made canonical.

    :param auths: credential by ``host[:port][/path]``; entries without a secret (left by a credsStore) are not here.
    :param helpers: by host, the key as it was written and the helper's name.
    :param store: the helper for every other host, or "".
    """

    path: str
    auths: Mapping[str, Credential] = field(default_factory=dict)
    helpers: Mapping[str, Tuple[str, str]] = field(default_factory=dict)
    store: str = ""


def read_auth_files(env: Mapping[str, str]) -> List[AuthFile]:
    """Those that exist, most preferred first.

    :raises UsageError: for a file that isn't readable JSON of the right shape. Its content is never quoted.
    """
    files = []
    if env.get("DOCKER_AUTH_CONFIG"):
        files.append(parse_auth_file("$DOCKER_AUTH_CONFIG", env["DOCKER_AUTH_CONFIG"].encode()))
    for path in _places(env):
        try:
            with open(path, "rb") as stream:
                content = stream.read(_MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _bad(path, f"can't be read: {error.strerror}") from None
        files.append(parse_auth_file(path, content))
    return files


def parse_auth_file(path: str, content: bytes) -> AuthFile:
    """:raises UsageError: naming `path` and the member that is wrong, never a value."""
    try:
        document = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        raise _bad(path, "is not JSON") from None
    document = _object(path, "the file", document)
    auths: Dict[str, Credential] = {}
    for key, entry in _object(path, "auths", document.get("auths")).items():
        credential = _credential(path, key, _object(path, f'auths["{key}"]', entry))
        if credential is not None and (_is_canonical(key) or _canonical(key) not in auths):
            auths[_canonical(key)] = credential
    helpers = _object(path, "credHelpers", document.get("credHelpers"))
    return AuthFile(
        path,
        auths,
        {_canonical(key): (key, _text(path, "credHelpers", name)) for key, name in helpers.items()},
        _text(path, "credsStore", document.get("credsStore")),
    )


def _places(env: Mapping[str, str]) -> Iterator[str]:
    home = env.get("HOME", "")
    docker = env.get("DOCKER_CONFIG") or (os.path.join(home, ".docker") if home else "")
    candidates = (
        env.get("REGISTRY_AUTH_FILE", ""),
        docker and os.path.join(docker, "config.json"),
        _under(env.get("XDG_RUNTIME_DIR", "")),
        _under(env.get("XDG_CONFIG_HOME") or (os.path.join(home, ".config") if home else "")),
    )
    # A relative path would be looked up in whatever directory we happen to run in.
    return (path for path in candidates if path and os.path.isabs(path))


def _under(directory: str) -> str:
    return os.path.join(directory, "containers", "auth.json") if directory else ""


def _credential(path: str, key: str, entry: Mapping[str, Any]) -> Optional[Credential]:
    fields = {name: _text(path, f'auths["{key}"]', entry.get(name)) for name in _FIELDS}
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        try:
            decoded = base64.b64decode(fields["auth"], validate=True).decode()
        except (binascii.Error, ValueError):
            raise _bad(path, f'auths["{key}"].auth is not base64 of NAME:PASSWORD') from None
        username, _, password = decoded.partition(":")
        password = password.strip("\0")
    credential = Credential(username, password, fields["identitytoken"], fields["registrytoken"])
    return credential if credential.secrets else None


_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")


def _is_canonical(key: str) -> bool:
    return _canonical(key) == key


def _canonical(key: str) -> str:
    """Old keys are URLs (``https://index.docker.io/v1/``) and mean their host; new ones may name a path."""
    _, mark, rest = key.partition("://")
    if mark:
        return canonical_registry(rest.partition("/")[0])
    host, slash, path = key.rstrip("/").partition("/")
    if path in ("v1", "v2"):
        slash = path = ""
    return canonical_registry(host) + slash + path


def _object(path: str, name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad(path, f"{name} is not an object")
    return value


def _text(path: str, name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _bad(path, f"{name} holds something else than a string")
    return value


def _bad(path: str, why: str) -> UsageError:
    return UsageError(
        f'registry credentials in "{path}": {why}',
        expected='{"auths": {"HOST": {"auth": "..."}}, "credHelpers": {...}, "credsStore": "..."}',
        hint="repair it, or make it anew with `docker login`",
    )
