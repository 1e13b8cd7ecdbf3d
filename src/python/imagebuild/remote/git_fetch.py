"""One commit of a remote repository, checked out: no history, no hooks, submodules where they are wanted.

With `.git` kept, two machines get the same bytes for the same commit, as far as git allows: objects are packed anew without
deltas, the index holds no times, and logs and leftovers are removed. Another version of git or zlib may still pack otherwise.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from functools import partial
from typing import Callable, Iterator, List, Tuple

from imagebuild.errors import RemoteError
from imagebuild.layer.removal import remove_path
from imagebuild.llb.plan import GitSource
from imagebuild.llb.remote import is_commit, keeps_git_dir, shown
from imagebuild.remote.git import ANSWER_SECONDS, FETCH_SECONDS, Git, GitError
from imagebuild.remote.git_refs import check_source, failed, patiently

_GIT_DIR = ".git"
_OWN_NAMES = ("refs/heads/", "refs/tags/")
_LEFTOVERS = ("logs", "hooks", "FETCH_HEAD", "ORIG_HEAD", "description", "COMMIT_EDITMSG", "index")
# A server that cannot give one commit alone, or gives only what its refs lead to (and any server of plain files).
_ASK_OTHERWISE = re.compile(
    r"shallow|--depth|not our ref|unadvertised|does not (support|allow)|couldn't find remote ref",
    re.IGNORECASE,
)


class GitCheckout:
    """A pinned repository in a directory.

    :param directory: an empty one.
    """

    def __init__(self, git: Git, source: GitSource, directory: str) -> None:
        check_source(source)
        self._git, self._source, self._directory = git, source, directory

    def make(self) -> str:
        """Fetch and check out; gives the directory that holds what the source names.

        :raises RemoteError: when it cannot be had, or has no such directory.
        """
        source = self._source
        long = ("--object-format=sha256",) if len(source.checksum) == 64 else ()
        try:
            self._run("init", "-q", *long)
            self._run("remote", "add", "--", "origin", source.url)
            self._fetch()
            self._run(
                "checkout", "-q", "--force", "--detach", source.checksum, seconds=FETCH_SECONDS
            )
        except GitError as error:
            raise failed(source, error) from None
        if source.submodules and os.path.lexists(os.path.join(self._directory, ".gitmodules")):
            self._submodules()
        if keeps_git_dir(source):
            self._settle()
            return self._directory
        self._strip()
        return _subdirectory(self._directory, source)

    def _fetch(self) -> None:
        """Ask for as little as the server can give alone: the commit, its ref, all of its history, or everything."""
        source = self._source
        commit, ref = source.checksum, f"+{source.ref}:{_kept(source.ref)}"
        asked: List[Tuple[str, ...]] = [("--depth=1", commit), (commit,)]
        if not is_commit(source.ref):
            asked = [("--depth=1", commit), ("--depth=1", ref), (ref,)]
            if keeps_git_dir(source):  # it has the branch or tag that it was asked for
                asked[:2] = reversed(asked[:2])
        asked.append(("+refs/*:refs/remotes/origin/*",))
        for number, words in enumerate(asked):
            options = [word for word in words if word.startswith("--")]
            refs = [word for word in words if not word.startswith("--")]
            if not options and os.path.exists(os.path.join(self._directory, _GIT_DIR, "shallow")):
                options = ["--unshallow"]
            arguments = (
                "fetch",
                "-q",
                "--no-tags",
                "--force",
                "-u",
                *options,
                "--",
                "origin",
                *refs,
            )
            try:
                patiently(partial(self._run, *arguments, seconds=FETCH_SECONDS))
            except GitError as error:
                if number + 1 == len(asked) or not _ASK_OTHERWISE.search(error.said):
                    raise
            if self._has(f"{commit}^{{commit}}", commit):
                return
        raise RemoteError(
            f'"{shown(source)}" does not have the commit {commit} any more',
            hint="the ref was moved while it was fetched (build again), or the history was rewritten (name another commit)",
        )

    def _has(self, name: str, commit: str) -> bool:
        """Does `name` lead to `commit` here?"""
        try:
            return self._run("rev-parse", "-q", "--verify", name).decode().strip() == commit
        except GitError:
            return False

    def _submodules(self) -> None:
        update = ("submodule", "--quiet", "update", "--init", "--recursive", "--force")
        try:
            patiently(partial(self._run, *update, "--depth=1", seconds=FETCH_SECONDS))
        except GitError as error:
            if not _ASK_OTHERWISE.search(error.said):
                raise failed(self._source, error, "its submodules cannot be had") from None
            try:
                patiently(partial(self._run, *update, seconds=FETCH_SECONDS))
            except GitError as again:
                raise failed(self._source, again, "its submodules cannot be had") from None

    def _strip(self) -> None:
        """Remove `.git` of the repository and of its submodules; git itself refuses to track anything of that name."""
        for directory, names, files in os.walk(self._directory):
            if _GIT_DIR in names:
                names.remove(_GIT_DIR)
                remove_path(os.path.join(directory, _GIT_DIR))
            if _GIT_DIR in files:
                os.unlink(os.path.join(directory, _GIT_DIR))

    def _settle(self) -> None:
        """Take out of `.git` what tells times, this machine, or where the branches of the remote are today."""
        top = os.path.join(self._directory, _GIT_DIR)
        for path in list(_git_dirs(top)):
            refs = ("refs/remotes",) if path == top else ("refs/remotes", "refs/heads", "refs/tags")
            _remove(path, *refs, "packed-refs", *_LEFTOVERS)
            os.makedirs(os.path.join(path, "refs"), exist_ok=True)
            git = partial(self._git.run, f"--git-dir={path}", seconds=FETCH_SECONDS)
            try:
                if path == top:
                    self._narrow(git)
                git("repack", "-q", "-a", "-d", "-f", "-n", "--window=0")
                git("prune", "--expire=now")
                git("read-tree", "HEAD")
            except GitError as error:
                raise failed(self._source, error, "its .git cannot be kept") from None

    def _narrow(self, git: Callable[..., bytes]) -> None:
        """Have the ref be the commit, though its remote may have moved it since, and the commit be without history, though
        the server may have sent it. An annotated tag stays one."""
        ref, commit = self._source.ref, self._source.checksum
        if ref.startswith(_OWN_NAMES) and not self._has(f"{ref}^{{commit}}", commit):
            git("update-ref", ref, commit)
        if b"\nparent " in git("cat-file", "commit", commit):
            with open(os.path.join(self._directory, _GIT_DIR, "shallow"), "w") as file:
                file.write(f"{commit}\n")

    def _run(self, *arguments: str, seconds: int = ANSWER_SECONDS) -> bytes:
        return self._git.run(*arguments, directory=self._directory, seconds=seconds)


def _remove(directory: str, *names: str) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            remove_path(os.path.join(directory, name))


def _kept(ref: str) -> str:
    """Where a fetched ref lies: a branch and a tag under their own names."""
    return ref if ref.startswith(_OWN_NAMES) else "refs/remotes/origin/fetched"


def _git_dirs(path: str) -> Iterator[str]:
    """The repository at `path`, and those of its submodules, which lie in it."""
    for directory, names, files in os.walk(path):
        if "HEAD" in files and {"objects", "refs"} <= set(names):
            yield directory
        names[:] = [name for name in names if name not in ("objects", "refs")]


def _subdirectory(directory: str, source: GitSource) -> str:
    """:raises RemoteError: unless every part of `subdir` is a real directory: a link may lead out of the repository
    (CVE-2026-33748)."""
    path = directory
    for part in source.subdir.split("/"):
        if part in ("", "."):
            continue
        path = os.path.join(path, part)
        if part == ".." or not _is_directory(path):
            raise RemoteError(
                f'"{shown(source)}" has no directory "{source.subdir}"',
                expected="a path whose every part is a directory of that commit, and no link",
            )
    return path


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False
