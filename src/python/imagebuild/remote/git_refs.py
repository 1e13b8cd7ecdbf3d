"""Which commit a branch, a tag or nothing at all means in a remote repository: one `git ls-remote`."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Callable, Dict, List, Optional, Tuple

from imagebuild.errors import ChecksumError, RemoteError
from imagebuild.llb.plan import GitSource
from imagebuild.llb.remote import is_commit, shown
from imagebuild.remote.git import Git, GitError
from imagebuild.remote.urls import check_repository

ATTEMPTS = 4
_FIRST_WAIT = 0.25
_HEADS, _TAGS, _PEELED = "refs/heads/", "refs/tags/", "^{}"

# git-check-ref-format(1), and what ls-remote takes for a pattern.
_NO_REF = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|[/.]\Z|\A[-/.]|\A@\Z"
)


def resolve_ref(git: Git, source: GitSource) -> GitSource:
    """`source` with its ref by its full name ("refs/heads/main") and the commit as its `checksum`.

    :raises RemoteError: when the repository or the ref cannot be had.
    :raises ChecksumError: when it is another commit than the `checksum` asked for.
    """
    check_source(source)
    ref, commits = _commits(git, source)
    wanted = source.checksum.lower()
    if not any(commit.startswith(wanted) for commit in commits):
        raise ChecksumError(
            f'"{shown(source)}": {_named(source)} is another commit than its checksum names',
            expected=f"{source.checksum}, got {' or '.join(commits)}",
            hint="if the ref has moved for a reason, write the new commit into --checksum; else do not use it",
        )
    return replace(source, ref=ref, checksum=commits[-1])


def check_source(source: GitSource) -> None:
    """:raises RemoteError: for a URL or a ref that is never handed to git."""
    check_repository(source.url)
    if source.ref and _NO_REF.search(source.ref):
        raise RemoteError(
            f'"{shown(source)}": "{_printable(source.ref)}" is no name that a branch, a tag or a commit can have',
            expected="a branch, a tag, a full ref such as refs/pull/1/head, or a commit",
        )


def patiently(action: Callable[[], bytes], wait: Callable[[float], None] = time.sleep) -> bytes:
    """What `action` gives; what may only be a passing trouble of the network is tried again.

    :raises GitError: with what git said.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except GitError as error:
            if attempt == ATTEMPTS or not error.temporary:
                raise
        wait(_FIRST_WAIT * 2**attempt)
    raise AssertionError("there is at least one attempt")


def failed(source: GitSource, error: GitError, what: str = "git cannot read it") -> RemoteError:
    """What git complains of, as an error of this build."""
    hint = ""
    if error.is_authentication:
        hint = (
            'ADD has no credentials but those of an ssh agent: use an ssh:// URL, name "default" in the field `ssh`, and '
            "have the host in ~/.ssh/known_hosts; or clone it in a RUN that has a secret mount"
        )
    elif error.temporary:
        hint = "check the network and proxy settings, then try again"
    return RemoteError(f'"{shown(source)}": {what}: {error.said}', hint=hint)


def _list(git: Git, source: GitSource) -> Dict[str, str]:
    """The refs that may be meant, by their full names. What HEAD stands for goes by its own name, where that is told."""
    name = source.ref or "HEAD"
    call = ("ls-remote", "--symref", "--", source.url, name, name + _PEELED)
    try:
        raw = patiently(lambda: git.run(*call))
    except GitError as error:
        raise failed(source, error) from None
    found: Dict[str, str] = {}
    branch = ""
    for line in raw.decode("utf-8", "surrogateescape").splitlines():
        commit, _, ref = line.partition("\t")
        if is_commit(commit):
            found.setdefault(branch if ref == "HEAD" and branch else ref, commit)
        elif ref == "HEAD" and commit.startswith(f"ref: {_HEADS}"):
            branch = commit[len("ref: ") :]
    return found


def _commits(git: Git, source: GitSource) -> Tuple[str, Tuple[str, ...]]:
    """The full name of the ref that is meant, and what it means: an annotated tag's own name comes before its commit's.

    A full name comes first, then a branch, then a tag, as for `git checkout` (and BuildKit).
    """
    if is_commit(source.ref):
        return source.ref, (source.ref,)
    found = _list(git, source)
    ref = _meant(found, source.ref) if source.ref else next(iter(found), None)
    if ref is None:
        raise RemoteError(
            f'"{shown(source)}" has no {_named(source)}',
            expected="a branch, a tag, a full ref such as refs/pull/1/head, or a whole commit (40 digits)",
            hint="check its spelling, and whether it was pushed",
        )
    peeled = found.get(ref + _PEELED)
    commits: List[str] = [found[ref]]
    if peeled is not None and peeled != found[ref]:
        commits.append(peeled)
    return ref, tuple(commits)


def _meant(found: Dict[str, str], name: str) -> Optional[str]:
    candidates = (name, _HEADS + name, _TAGS + name, f"refs/{name}")
    return next((ref for ref in candidates if ref in found), None)


def _named(source: GitSource) -> str:
    return f'ref "{source.ref}"' if source.ref else "its HEAD"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:200])
