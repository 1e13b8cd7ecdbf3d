"""What RUN mounts find in a build: the fields `secrets` and `ssh`, and the paths that they come to. Never a value."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from pants.base.build_environment import get_buildroot
from pants.engine.addresses import Address
from pants.engine.target import (
    DictStringToStringField,
    InvalidFieldException,
    StringSequenceField,
    Target,
)
from pants.util.frozendict import FrozenDict
from pants.util.strutil import help_text

from imagebuild.execute.pure_requests import SecretSource, SshSource

HOME, SSH_AUTH_SOCK = "HOME", "SSH_AUTH_SOCK"


class KanikoSecretsField(DictStringToStringField):
    alias = "secrets"
    help = help_text(
        """
        Files with secrets, by the id that `RUN --mount=type=secret,id=...` names them by.

        A path is absolute, below your home directory (`~/...`), relative to the build root, or relative to the BUILD file
        where it begins with `./`.

        Only a `RUN` that mounts a secret sees it, as a file in memory or as a variable (`env=NAME`). Its value is in no
        key, layer, cache, argument or log: where a `RUN` prints it, the log has `***`, if it has at least 4 bytes. Another
        value runs no step again. A secret that is not here is not mounted, and an error where the mount says `required`.

        Example:

            kaniko_image(
                secrets={
                    "npmrc": "~/.npmrc",
                    "token": "/var/secrets/token",
                    "dev-token": "./secrets/token",
                }
            )
        """
    )

    @classmethod
    def compute_value(
        cls, raw_value: Optional[Dict[str, str]], address: Address
    ) -> Optional[FrozenDict[str, str]]:
        value = super().compute_value(raw_value, address)
        for name, path in (value or {}).items():
            if not name or not path:
                raise InvalidFieldException(
                    f"The `{cls.alias}` field in target {address} must be a dictionary of ids to files, but has "
                    f'{name!r}: {path!r}. Use for example {{"token": "./secrets/token"}}.'
                )
        return value


class KanikoSshField(StringSequenceField):
    alias = "ssh"
    default = ()
    help = help_text(
        """
        ssh agents and keys for `RUN --mount=type=ssh`: `default` for your own agent (`SSH_AUTH_SOCK`), `ID` for the same
        under another id, or `ID=PATH[,PATH...]` for the socket of an agent, or for private keys without a passphrase.

        Paths are as in `secrets`. A `RUN` that mounts one may list its keys and have things signed; it never sees a
        private key, and cannot change the agent.

        Example:

            kaniko_image(ssh=["default", "deploy=~/.ssh/deploy_ed25519"])
        """
    )

    @classmethod
    def compute_value(cls, raw_value: Any, address: Address) -> Optional[Tuple[str, ...]]:
        value = super().compute_value(raw_value, address)
        seen = set()
        for entry in value or ():
            name, equals, paths = entry.partition("=")
            if not name or (equals and not all(paths.split(","))) or name in seen:
                raise InvalidFieldException(
                    f"The `{cls.alias}` field in target {address} has the entry {entry!r}, which "
                    f"{'names an id twice' if name in seen else 'is not one'}. Use `default`, `ID`, or "
                    "`ID=PATH[,PATH...]`, each id once."
                )
            seen.add(name)
        return value


@dataclass(frozen=True)
class Credentials:
    """Where values are; all paths are absolute."""

    secrets: Tuple[SecretSource, ...] = ()
    ssh: Tuple[SshSource, ...] = ()


def variables(target: Target) -> Tuple[str, ...]:
    """The variables of the environment that the fields stand on."""
    ssh = target[KanikoSshField].value or ()
    paths = (target[KanikoSecretsField].value or {}).values()
    home = any(path.startswith("~") for path in paths) or any("~" in entry for entry in ssh)
    agent = any("=" not in entry for entry in ssh)
    return ((HOME,) if home else ()) + ((SSH_AUTH_SOCK,) if agent else ())


def credentials(target: Target, environ: Mapping[str, str]) -> Credentials:
    """:raises InvalidFieldException: for a path below a home directory that nobody knows."""
    secrets: Mapping[str, str] = target[KanikoSecretsField].value or {}
    return Credentials(
        tuple(
            SecretSource(name, _path(path, target.address, environ))
            for name, path in sorted(secrets.items())
        ),
        tuple(
            _ssh(entry, target.address, environ)
            for entry in sorted(target[KanikoSshField].value or ())
        ),
    )


def _ssh(entry: str, address: Address, environ: Mapping[str, str]) -> SshSource:
    name, equals, paths = entry.partition("=")
    if equals:
        return SshSource(name, tuple(_path(path, address, environ) for path in paths.split(",")))
    agent = environ.get(SSH_AUTH_SOCK)
    return SshSource(name, (agent,) if agent else ())


def _path(path: str, address: Address, environ: Mapping[str, str]) -> str:
    """The rules of `docker_image`, and ``~/``."""
    if path.startswith("~/"):
        home = environ.get(HOME)
        if not home:
            raise InvalidFieldException(
                f"{address} names the file {path!r}, and HOME is not set. Use an absolute path."
            )
        return os.path.normpath(os.path.join(home, path[2:]))
    directory = address.spec_path if re.match(r"\.{1,2}/", path) else ""
    return os.path.normpath(os.path.join(get_buildroot(), directory, path))
