"""Sources of ADD that are not files of the context: URLs and git repositories (Dockerfile reference, "ADD").

A git repository is ``git://``, ``ssh://`` or ``user@host:path``, or an http(s) URL whose path ends in ``.git``; behind it may
stand ``#REF:SUBDIR``, or a query (``?ref=``, ``tag=``, ``branch=``, ``commit=``, ``checksum=``, ``subdir=``, ``keep-git-dir=``,
``submodules=``).
"""

from __future__ import annotations

import posixpath
import re
from typing import Dict, Mapping, Optional
from urllib.parse import parse_qs, unquote, urlsplit

from imagebuild.dockerfile.source import did_you_mean
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.plan import GitSource, HttpSource, RemoteSource

UNNAMED = "__unnamed__"
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_SCP = re.compile(r"([\w-]+@[\w.-]+:[^?#]*)(?:\?([^#]*))?(?:#(.*))?\Z", re.DOTALL | re.ASCII)
_SCHEMES = ("http", "https", "git", "ssh")
_QUERIES = ("ref", "tag", "branch", "commit", "checksum", "subdir", "keep-git-dir", "submodules")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}\Z")
_COMMIT = re.compile(r"[0-9a-f]{4,64}\Z")
_ODD = re.compile(r"[\x00-\x20\x7f]")
_USER = re.compile(r"://[^/?#]*@")
_TRUE, _FALSE = ("", "1", "t", "true"), ("0", "f", "false")


def is_remote(text: str) -> bool:
    """Whether a source is none of the context's."""
    return bool(_SCHEME.match(text) or _SCP.match(text))


def parse_remote(text: str, checksum: str, keep_git_dir: Optional[bool]) -> RemoteSource:
    """What a source that `is_remote` names.

    :param checksum: of the flag, "" for none; :param keep_git_dir: of the flag, None where it is not given.
    :raises DockerfileSyntaxError: for one that nothing can be fetched from.
    """
    scheme = _SCHEME.match(text)
    if _ODD.search(text):
        raise _bad(text, "it holds blanks or control characters", "a URL with them percent-encoded")
    if scheme is None:
        url, query, fragment = _SCP.match(text).groups(default="")  # type: ignore[union-attr]
        return _git(text, url, query, fragment, checksum, keep_git_dir)
    if scheme[1].lower() not in _SCHEMES:
        raise _bad(text, f"{scheme[1]} is not fetched from", f"one of {', '.join(_SCHEMES)}")
    try:
        parts = urlsplit(text)
        path, host, _ = parts.path, parts.hostname, parts.port
    except ValueError as error:
        raise _bad(text, str(error), "SCHEME://HOST/PATH") from None
    if not host or host.startswith("-"):
        raise _bad(text, "it names no host", "SCHEME://HOST/PATH")
    if parts.password is not None or (parts.username is not None and scheme[1].lower() != "ssh"):
        raise _holds_credentials(text)
    if parts.scheme in ("http", "https") and not path.endswith(".git"):
        return _http(text, parts._replace(fragment="").geturl(), path, checksum)
    url = parts._replace(query="", fragment="").geturl()
    return _git(text, url, parts.query, parts.fragment, checksum, keep_git_dir)


def redacted(text: str) -> str:
    """`text` without the password of a URL."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:xxxxx@", text)


def _http(text: str, url: str, path: str, checksum: str) -> HttpSource:
    if checksum and not _SHA256.match(checksum):
        raise DockerfileSyntaxError(
            f'--checksum has the value "{checksum}"',
            expected="sha256:, and 64 digits in lower case hex",
        )
    name = posixpath.basename(unquote(path).rstrip("/")) or UNNAMED
    if name in (".", "..") or "\0" in name:
        raise _bad(text, "its last part is no file name", "a URL that ends in one")
    return HttpSource(url, name, checksum)


def _git(
    text: str, url: str, query: str, fragment: str, checksum: str, keep: Optional[bool]
) -> GitSource:
    ref, _, subdir = unquote(fragment).partition(":")
    asked = _queries(text, query)
    for name, value in (("ref", ref), ("subdir", subdir)):
        if value and asked.get(name, value) != value:
            raise _bad(text, f"its query and its fragment name two {name}s", f"one {name}")
    ref, given = _ref(text, asked.get("ref", ref), asked), asked.get(
        "checksum", asked.get("commit")
    )
    if given and checksum and given != checksum:
        raise _bad(text, "--checksum and its query name two commits", "one commit")
    checksum = checksum or given or ""
    if checksum and not _COMMIT.match(checksum):
        raise DockerfileSyntaxError(
            f'"{checksum}" is not a commit', expected="at least four digits in lower case hex"
        )
    kept = _boolean(text, asked, "keep-git-dir")
    if kept is not None and keep not in (None, kept):
        raise _bad(text, "--keep-git-dir and its query disagree", "one of them")
    return GitSource(
        url,
        ref or given or "",
        _subdir(text, asked.get("subdir", subdir)),
        bool(keep if kept is None else kept),
        checksum,
        _boolean(text, asked, "submodules") is not False,
    )


def _holds_credentials(text: str) -> DockerfileSyntaxError:
    shown = _USER.sub("://", text)
    return DockerfileSyntaxError(
        f'"{shown}" has credentials in it, which would be in the plan, in caches and in logs',
        expected="a URL without user name and password",
        hint="fetch it in a RUN that mounts the token as a secret; a repository can be had by ssh:// with an agent",
    )


def _queries(text: str, query: str) -> Dict[str, str]:
    asked: Dict[str, str] = {}
    for name, values in parse_qs(query, keep_blank_values=True).items():
        if name not in _QUERIES:
            close = did_you_mean(name, _QUERIES)
            hint = f"did you mean {close}?" if close else "remove it"
            raise _bad(text, f'"{name}" of its query means nothing', ", ".join(_QUERIES), hint)
        if len(values) > 1 or (not values[0] and name not in ("keep-git-dir", "submodules")):
            raise _bad(text, f'"{name}" of its query has no value, or several', f"{name}=VALUE")
        asked[name] = values[0]
    return asked


def _ref(text: str, ref: str, asked: Mapping[str, str]) -> str:
    for name, folder in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if name in asked:
            full = asked[name] if asked[name].startswith(folder) else folder + asked[name]
            if ref not in ("", full):
                raise _bad(text, "it names more than one ref", "one of ref, tag and branch")
            ref = full
    if ref.startswith("-") or _ODD.search(ref):
        raise _bad(text, f'"{ref}" is not a ref', "a branch, a tag or a commit")
    return ref


def _subdir(text: str, subdir: str) -> str:
    if "\0" in subdir or ".." in subdir.split("/"):
        raise _bad(text, f'its directory "{subdir}" leads out of the repository', "a path in it")
    cleaned = posixpath.normpath(subdir.strip("/") or ".")
    return "" if cleaned == "." else cleaned


def _boolean(text: str, asked: Mapping[str, str], name: str) -> Optional[bool]:
    value = asked.get(name)
    if value is None or value.lower() in (*_TRUE, *_FALSE):
        return None if value is None else value.lower() in _TRUE
    raise _bad(text, f'{name} of its query is "{value}"', "true or false")


def _bad(text: str, why: str, expected: str, hint: str = "correct it") -> DockerfileSyntaxError:
    return DockerfileSyntaxError(
        f'"{redacted(text)}" cannot be fetched: {why}', expected=expected, hint=hint
    )
