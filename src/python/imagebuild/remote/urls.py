"""URLs as they may be fetched: of schemes that fetch, and without passwords in them."""

from __future__ import annotations

import re
from typing import Tuple
from urllib.parse import quote, urlsplit

from imagebuild.errors import RemoteError
from imagebuild.registry.origin import redact

HTTP_SCHEMES = ("http", "https")
GIT_SCHEMES = ("https", "http", "ssh", "git")
MAX_NAME = 255
_RESERVED = ".wh."
_SCP = re.compile(r"\w[\w-]*@\w[\w.-]*:[^-\x00-\x20\x7f][^\x00-\x20\x7f]*\Z", re.ASCII)

_MEANING = "!#$%&'()*+,/:;=?@[]~"
"""Characters that mean something in a URL, and the percent sign of what is quoted already."""


def sendable(url: str) -> str:
    """The URL of a file, with what is not ASCII quoted and without its fragment.

    :raises RemoteError: for another scheme, no host, a user or a password.
    """
    check(url, HTTP_SCHEMES)
    return quote(url.partition("#")[0], safe=_MEANING)


def check_name(url: str, name: str) -> None:
    """:raises RemoteError: for a file's name that no file system, or no layer, can hold."""
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME or name.startswith(_RESERVED):
        raise RemoteError(
            f'"{redact(url)}" ends in a name that no file of an image can have',
            expected=f'at most {MAX_NAME} bytes, and not "{_RESERVED}" at its start',
            hint="fetch it in a RUN, under another name",
        )


def check_repository(url: str) -> None:
    """:raises RemoteError: for a URL (or ``user@host:path``) that git is never given."""
    if not _SCP.match(url):
        check(url, GIT_SCHEMES)


def check(url: str, schemes: Tuple[str, ...]) -> None:
    """:raises RemoteError: for a URL that is not fetched; what may be secret in it is not repeated."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    odd = any(char <= " " or char in "\x7f\\" for char in url)
    if parts.scheme not in schemes or not host or not host.isascii() or host[0] == "-" or odd:
        raise RemoteError(
            f'"{_guarded(url)}" is not a URL that can be fetched',
            expected=f"one that begins with {', '.join(f'{scheme}://' for scheme in schemes)} and has a host",
        )
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise RemoteError(
            f'"{redact(url)}" has credentials in it, which would stay in the Dockerfile, in logs and in the image',
            expected="a URL without user name and password",
            hint="fetch it in a RUN that has the token as a secret mount; a repository can be had by ssh:// and an agent",
        )
    if (parts.username or "").startswith("-"):
        raise RemoteError(f'"{redact(url)}" has a user name that looks like an option')


def _guarded(url: str) -> str:
    """What may be shown of a URL that cannot be taken apart: where its password ends is anybody's guess."""
    scheme, mark, rest = redact(url).partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
