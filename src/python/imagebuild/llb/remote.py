"""What ADD fetches, pinned: a source that says by itself which bytes it means, and the key that stands for them.

A key knows a remote file by its sha256 and its name, and a repository by its commit and what is taken of it. Where they were
fetched from, and when, is in no key: a mirror of the same bytes gives the same layers. The exception is a repository that
keeps its `.git`, for its remote and its branch are written there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Optional

from imagebuild import canonical
from imagebuild.llb.plan import GitSource, Plan, RemoteSource, ResolvedBase, State, TreeInput
from imagebuild.oci import media_types
from imagebuild.oci.config import ConfigFile
from imagebuild.oci.descriptor import Descriptor, Platform
from imagebuild.oci.hash import Hash

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")


def is_commit(text: str) -> bool:
    """The whole name of a commit: sha1 or sha256 in hex."""
    return _COMMIT.match(text) is not None


def pinned(source: RemoteSource) -> Optional[RemoteSource]:
    """`source` with its digest or commit as its `checksum`, None where only its server can tell.

    A commit whose name does not begin with the `checksum` asked for is left to whoever fetches it: it is an error there.
    """
    if not isinstance(source, GitSource):
        return source if source.checksum else None
    if is_commit(source.ref) and source.ref.startswith(source.checksum.lower()):
        return replace(source, checksum=source.ref)
    return None


def identity(source: RemoteSource) -> Hash:
    """What keys know of a pinned source: all that its tree depends on, but for times."""
    if not isinstance(source, GitSource):
        return canonical.fingerprint(["remote file", source.checksum, source.name])
    kept = [source.url, source.ref] if keeps_git_dir(source) else None
    return canonical.fingerprint(
        ["remote repository", source.checksum, source.subdir, source.submodules, kept]
    )


def keeps_git_dir(source: GitSource) -> bool:
    """`.git` lies at the root of a repository, so that a part of one has none (as for BuildKit)."""
    return source.keep_git_dir and not source.subdir


def uses_ssh(source: RemoteSource) -> bool:
    """Is it fetched over ssh, where an agent may be needed? ``user@host:path`` is too."""
    return isinstance(source, GitSource) and (
        source.url.startswith("ssh://") or "://" not in source.url
    )


def remote_base(source: RemoteSource, platform: Platform) -> ResolvedBase:
    """The tree of a pinned source as a plan knows it. Its layer is not named: the store says what it is, once it is fetched."""
    manifest = Descriptor(media_types.REMOTE, identity(source), 0)
    return ResolvedBase(shown(source), "", manifest, ConfigFile(platform), (), source)


def shown(source: RemoteSource) -> str:
    """The URL as messages show it: without user, query (tokens stand there) and fragment, and not for ever."""
    text = source.url.split("?", 1)[0].split("#", 1)[0]
    scheme, mark, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    text = f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
    return "".join(char if char.isprintable() else "?" for char in text[:300])


def first_user(plan: Plan, source: RemoteSource) -> Optional[int]:
    """The step that reads one of `plan.remotes` first."""
    images = sum(base.remote is None for base in plan.bases)
    wanted = TreeInput(State(base=images + plan.remotes.index(source)))
    return next((number for number, step in enumerate(plan.steps) if wanted in step.inputs), None)


def step_of(plan: Plan, message: str) -> Optional[int]:
    """The step that wants the source which `message` quotes, or the only source there is."""
    named = [source for source in plan.remotes if f'"{shown(source)}"' in message]
    if not named and len(plan.remotes) == 1:
        named = list(plan.remotes)
    return first_user(plan, named[0]) if named else None
