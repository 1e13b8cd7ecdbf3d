"""What a mount of RUN may be told: one table, and how values are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Sequence, Tuple

from imagebuild.dockerfile.source import did_you_mean
from imagebuild.errors import DockerfileSyntaxError

KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
_MAX_ID = 2**32 - 2
_MAX_MODE = 0o7777
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([kmgtp]?)i?b?\Z", re.IGNORECASE)
_MAX_SIZE = 2**63 - 1


@dataclass(frozen=True)
class MountOption:
    """One option.

    :param kinds: of mounts that know it; :param idle: kinds where it means nothing and does no harm.
    :param help: what it does, for docs/reference.md; :param example: a RUN that uses it and is accepted.
    :param bare: the name alone stands for "true".
    """

    name: str
    kinds: Tuple[str, ...]
    help: str
    example: str
    aliases: Tuple[str, ...] = ()
    idle: Tuple[str, ...] = ()
    bare: bool = False


OPTIONS = (
    MountOption(
        "type",
        KINDS,
        "`bind` (files of the context, a stage or an image), `cache` (a directory that outlives the build), `tmpfs`, "
        "`secret` or `ssh`; `bind` where it is left out",
        "RUN --mount=type=tmpfs,target=/tmp make",
    ),
    MountOption(
        "target",
        KINDS,
        "where it is seen; relative to WORKDIR. A secret is at `/run/secrets/ID` by default, an agent's socket at "
        "`/run/buildkit/ssh_agent.N`",
        "RUN --mount=type=bind,target=/src make -C /src",
        aliases=("dst", "destination"),
    ),
    MountOption(
        "source",
        ("bind", "cache", "secret"),
        "the path in the context, or in what `from` names; for a secret another word for `id`",
        "RUN --mount=type=bind,source=.,target=/src make -C /src",
        aliases=("src",),
        idle=("tmpfs",),
    ),
    MountOption(
        "from",
        ("bind", "cache"),
        "a stage by name or number, or an image; for a cache, what a new one begins with. Variables are not replaced",
        "RUN --mount=type=bind,from=debian:12,source=/etc,target=/old cp /old/issue /etc/",
        idle=("tmpfs", "ssh"),
    ),
    MountOption(
        "readonly",
        ("bind", "cache"),
        "writes fail; the default of `bind`",
        "RUN --mount=type=cache,target=/root/.cache,readonly make",
        aliases=("ro",),
        idle=("tmpfs", "secret", "ssh"),
        bare=True,
    ),
    MountOption(
        "readwrite",
        ("bind", "cache"),
        "writes are allowed; those to a `bind` are thrown away",
        "RUN --mount=type=bind,target=/src,readwrite make -C /src",
        aliases=("rw",),
        idle=("tmpfs", "secret", "ssh"),
        bare=True,
    ),
    MountOption(
        "id",
        ("cache", "secret", "ssh"),
        "which one; a cache's is its target by default, an agent's is `default`",
        "RUN --mount=type=ssh,id=deploy ssh git@example.org",
        idle=("bind", "tmpfs"),
    ),
    MountOption(
        "sharing",
        ("cache",),
        "`shared` by all that run at once, `private` (each its own), or `locked` (one after the other)",
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update",
    ),
    MountOption(
        "mode",
        ("cache", "secret", "ssh"),
        "permissions in octal: 0755 for a new cache, 0400 for a secret, 0600 for a socket",
        "RUN --mount=type=secret,id=token,mode=0444 cat /run/secrets/token",
    ),
    MountOption(
        "uid",
        ("cache", "secret", "ssh"),
        "the owner's number, 0 by default",
        "RUN --mount=type=cache,target=/cache,uid=1000 make",
    ),
    MountOption(
        "gid",
        ("cache", "secret", "ssh"),
        "the group's number, 0 by default",
        "RUN --mount=type=cache,target=/cache,gid=1000 make",
    ),
    MountOption(
        "size",
        ("tmpfs",),
        "the most it may hold, in bytes or with k, m, g or t behind it",
        "RUN --mount=type=tmpfs,target=/tmp,size=64m make",
    ),
    MountOption(
        "required",
        ("secret", "ssh"),
        "the build fails where it is not given; otherwise the RUN does without",
        "RUN --mount=type=secret,id=token,required cat /run/secrets/token",
        bare=True,
    ),
    MountOption(
        "env",
        ("secret",),
        "the variable that holds the secret, in place of a file or, with `target`, besides it",
        "RUN --mount=type=secret,id=token,env=TOKEN make publish",
        idle=("bind", "cache", "tmpfs", "ssh"),
    ),
)
BY_NAME: Mapping[str, MountOption] = {
    name: option for option in OPTIONS for name in (option.name, *option.aliases)
}


@dataclass(frozen=True)
class MountValues:
    """Options of one mount with their variables replaced, by the name that the table has."""

    texts: Mapping[str, str]

    @property
    def kind(self) -> str:
        """:raises DockerfileSyntaxError: for a kind that there is not."""
        kind = self.texts.get("type", "bind").lower()
        if kind not in KINDS:
            close = did_you_mean(kind, KINDS)
            raise DockerfileSyntaxError(
                f'--mount has the type "{self.texts["type"]}"',
                expected=" or ".join(KINDS),
                hint=f"did you mean {close}?" if close else "choose one of them",
            )
        return kind

    def text(self, name: str) -> str:
        return self.texts.get(name, "")

    def flag(self, name: str, default: bool) -> bool:
        text = self.texts.get(name)
        if text is None:
            return default
        if text not in _BOOLEANS:
            raise self._bad(name, "true or false, or the name alone for true")
        return _BOOLEANS[text]

    def number(self, name: str) -> int:
        """A uid or gid, 0 where there is none."""
        text = self.texts.get(name, "0")
        if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= _MAX_ID):
            raise self._bad(name, f"a number from 0 to {_MAX_ID}")
        return int(text)

    def mode(self, default: int) -> int:
        text = self.texts.get("mode")
        if text is None:
            return default
        if not re.fullmatch(r"[0-7]{1,5}", text) or int(text, 8) > _MAX_MODE:
            raise self._bad("mode", "a mode in octal, from 0 to 7777")
        return int(text, 8)

    def size(self) -> int:
        """Bytes, 0 where nothing is said."""
        text = self.texts.get("size", "0")
        match = _SIZE.match(text)
        size = (
            int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " ")) if match else -1
        )
        if not 0 <= size <= _MAX_SIZE:
            raise self._bad("size", "a number of bytes, or one with k, m, g, t or p behind it")
        return size

    def choice(self, name: str, choices: Tuple[str, ...]) -> str:
        """One of `choices`, the first by default."""
        text = self.texts.get(name, choices[0]).lower()
        if text not in choices:
            raise self._bad(name, " or ".join(choices))
        return text

    def _bad(self, name: str, expected: str) -> DockerfileSyntaxError:
        return DockerfileSyntaxError(
            f'{name} of --mount has the value "{self.texts[name]}"', expected=expected
        )


def check_kinds(kind: str, names: Sequence[str]) -> Tuple[str, ...]:
    """Warnings for options that mean nothing to a mount of `kind`.

    :raises DockerfileSyntaxError: for those that it does not have.
    """
    idle = []
    for name in names:
        option = BY_NAME[name]
        if kind in option.idle:
            idle.append(f'"{name}" means nothing to a mount of type {kind}')
        elif kind not in option.kinds:
            known = ", ".join(other.name for other in OPTIONS if kind in other.kinds)
            raise DockerfileSyntaxError(
                f'a mount of type {kind} has no "{name}"',
                expected=known,
                hint="remove it, or correct the type",
            )
    return tuple(idle)
