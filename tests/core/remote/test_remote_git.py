"""Git repositories of ADD, from real servers."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict

import pytest

from imagebuild.errors import ChecksumError, RemoteError, UsageError
from imagebuild.execute.effects import Effects
from imagebuild.execute.pure_requests import SshSource
from imagebuild.execute.remotes import fetched_tree, pin_remotes
from imagebuild.execute.requests import RemotesRequest
from imagebuild.llb.plan import GitSource
from imagebuild.llb.remote import identity, pinned
from imagebuild.oci.descriptor import Layer
from support.git_server import GitServer, Repository, git_server
from support.remote_trees import Member, members

Machines = Callable[..., Effects]


def pin(source: GitSource, effects: Effects) -> GitSource:
    made = pin_remotes(RemotesRequest((source,), 0), effects).sources[0]
    assert isinstance(made, GitSource)
    return made


def fetch(source: GitSource, effects: Effects) -> Dict[str, Member]:
    return members(effects.store, fetched_tree(pin(source, effects), 0, effects))


TREE = {"a.txt": "1", "bin/run*": "#!/bin/sh\n", "link": "->../outside", "deep/er/file": "x"}


def test_a_repository_is_its_files_and_nothing_else(
    git: GitServer, repository: Repository, machine: Machines
) -> None:
    repository.commit(TREE)
    url = git.publish(repository, "r.git")

    assert {
        "a.txt": ("f", 0o644, b"1"),
        "bin": ("d", 0o755, None),
        "bin/run": ("f", 0o755, b"#!/bin/sh\n"),
        "deep": ("d", 0o755, None),
        "deep/er": ("d", 0o755, None),
        "deep/er/file": ("f", 0o644, b"x"),
        "link": ("l", 0o777, "../outside"),
    } == fetch(GitSource(url), machine())


def test_every_way_to_name_a_commit(
    git: GitServer, repository: Repository, machine: Machines
) -> None:
    old = repository.commit({"f": "old"})
    repository.git("tag", "plain")
    repository.git("tag", "-a", "-m", "an annotated one", "annotated")
    repository.git("update-ref", "refs/pull/7/head", old)
    repository.git("branch", "feature/x")
    new = repository.commit({"f": "new"})
    url, here = git.publish(repository, "r.git"), machine()
    meant = {
        "": ("refs/heads/main", new),
        "main": ("refs/heads/main", new),
        "refs/heads/main": ("refs/heads/main", new),
        "feature/x": ("refs/heads/feature/x", old),
        "plain": ("refs/tags/plain", old),
        "annotated": ("refs/tags/annotated", old),
        "refs/pull/7/head": ("refs/pull/7/head", old),
        "heads/main": ("refs/heads/main", new),
        old: (old, old),
    }

    for ref, expected in meant.items():
        made = pin(GitSource(url, ref), here)
        assert expected == (made.ref, made.checksum), ref
        content = fetch(GitSource(url, ref), machine(f"for {ref}".replace("/", "-")))
        assert {"f": ("f", 0o644, b"new" if expected[1] == new else b"old")} == content, ref


def test_a_branch_comes_before_a_tag_of_the_same_name(
    git: GitServer, repository: Repository, machine: Machines
) -> None:
    repository.commit({"f": "old"})
    repository.git("tag", "both")
    new = repository.commit({"f": "new"})
    repository.git("branch", "both")

    assert new == pin(GitSource(git.publish(repository, "r.git"), "both"), machine()).checksum


def test_the_end_of_a_name_is_not_the_name(
    git: GitServer, repository: Repository, machine: Machines
) -> None:
    """``git ls-remote`` takes "x" for a pattern that refs/heads/feature/x matches."""
    repository.commit({"f": "1"})
    repository.git("branch", "feature/x")

    with pytest.raises(RemoteError, match='has no ref "x"'):
        pin(GitSource(git.publish(repository, "r.git"), "x"), machine())


def test_a_whole_commit_is_asked_nothing_until_it_is_fetched(
    git: GitServer, repository: Repository, machine: Machines
) -> None:
    commit = repository.commit({"f": "1"})
    source = GitSource(git.publish(repository, "r.git"), commit)
    here = machine()

    assert commit == pin(source, here).checksum
    assert [] == git.seen
    first = fetched_tree(pin(source, here), 0, here)
    asked = len(git.seen)
    assert asked > 0
    assert first == fetched_tree(pin(source, here), 0, here)
    assert asked == len(git.seen), "the store has it"


def test_only_one_commit_is_fetched(
    git: GitServer, repository: Repository, machine: Machines, tmp_path: Path
) -> None:
    """A history of 2 MB that nobody asked for stays where it is."""

    for _ in range(4):
        repository.commit({"big": os.urandom(1 << 19)})
    last = repository.commit({"big": None, "f": "1"})
    url = git.publish(repository, "r.git")

    kept = fetch(GitSource(url, last, keep_git_dir=True), machine())

    size = sum(len(content) for _, _, content in kept.values() if isinstance(content, bytes))
    assert size < 1 << 17


CHECKSUMS: Dict[str, Callable[[str, str], str]] = {
    "the whole commit": lambda commit, tag: commit,
    "its beginning": lambda commit, tag: commit[:7],
    "the annotated tag": lambda commit, tag: tag,
}


@pytest.mark.parametrize("checksum", CHECKSUMS.values(), ids=CHECKSUMS.keys())
def test_a_checksum_that_is_right(
    checksum: Callable[[str, str], str],
    git: GitServer,
    repository: Repository,
    machine: Machines,
) -> None:
    commit = repository.commit({"f": "1"})
    repository.git("tag", "-a", "-m", "x", "v1")
    tag = repository.git("rev-parse", "v1")
    url = git.publish(repository, "r.git")

    made = pin(GitSource(url, "v1", checksum=checksum(commit, tag)), machine())

    assert commit == made.checksum


@pytest.mark.parametrize("ref", ["main", "", "COMMIT"])
def test_a_checksum_that_is_wrong(
    ref: str, git: GitServer, repository: Repository, machine: Machines
) -> None:
    old = repository.commit({"f": "1"})
    new = repository.commit({"f": "2"})
    url = git.publish(repository, "r.git")

    with pytest.raises(ChecksumError) as caught:
        pin(GitSource(url, ref.replace("COMMIT", new), checksum=old), machine())
    assert old in str(caught.value)
    assert new in str(caught.value)


def test_a_subdirectory(git: GitServer, repository: Repository, machine: Machines) -> None:
    repository.commit({"a/b/c": "1", "a/d": "2", "e": "3"})
    url = git.publish(repository, "r.git")

    part = GitSource(url, subdir="a", keep_git_dir=True)

    assert {"b": ("d", 0o755, None), "b/c": ("f", 0o644, b"1"), "d": ("f", 0o644, b"2")} == fetch(
        part, machine()
    )


@pytest.mark.parametrize("subdir", ["link", "link/etc", "absent", "file", "real/../..", "dirlink"])
def test_18_a_subdirectory_never_leads_out(
    subdir: str, git: GitServer, repository: Repository, machine: Machines
) -> None:
    """CVE-2026-33748: a link, or dots, in the place of a directory. SECURITY row 18."""
    files = {"real/f": "1", "file": "2", "link": "->/", "dirlink": "->real"}
    repository.commit(files)
    url = git.publish(repository, "r.git")

    with pytest.raises(RemoteError, match="has no directory"):
        fetch(GitSource(url, subdir=subdir), machine())


def test_submodules(
    git: GitServer, repository: Repository, machine: Machines, tmp_path: Path
) -> None:
    inner = Repository.make(tmp_path / "inner")
    inner.commit({"inner.txt": "i"})
    middle = Repository.make(tmp_path / "middle")
    middle.git("submodule", "add", "-q", git.publish(inner, "inner.git"), "in")
    middle.commit({"middle.txt": "m"})
    middle_url = git.publish(middle, "middle.git")
    repository.git("submodule", "add", "-q", middle_url, "lib")
    repository.commit({"top.txt": "t"})
    inner.commit({"inner.txt": "newer, and not what the commit names"})
    git.publish(inner, "inner.git")
    url = git.publish(repository, "r.git")

    with_them = fetch(GitSource(url), machine())
    without = fetch(GitSource(url, submodules=False), machine())

    files = {name: entry[2] for name, entry in with_them.items() if entry[0] == "f"}
    modules = {name: files.pop(name) for name in list(files) if name.endswith(".gitmodules")}
    assert {"top.txt": b"t", "lib/middle.txt": b"m", "lib/in/inner.txt": b"i"} == files
    assert {".gitmodules", "lib/.gitmodules"} == set(modules)
    assert {".gitmodules", "top.txt", "lib"} == set(without)


@pytest.mark.parametrize("url", ["file:///etc", "/etc", "ext::sh -c touch% /tmp/never", "fd::7"])
def test_19_a_submodule_is_not_taken_from_this_machine(
    url: str, git: GitServer, repository: Repository, machine: Machines, tmp_path: Path
) -> None:
    """CVE-2022-39253, SECURITY row 19: only transports that fetch."""
    inner = Repository.make(tmp_path / "inner")
    commit = inner.commit({"secret": "s"})
    url = url.replace("file:///etc", f"file://{inner.path}").replace("/etc", str(inner.path))
    repository.commit({".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = {url}\n'})
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},x")
    repository.git("commit", "-q", "-m", "evil")
    source = GitSource(git.publish(repository, "r.git"))

    with pytest.raises(RemoteError, match="submodules cannot be had"):
        fetch(source, machine())


def test_nothing_of_a_repository_or_of_this_machine_runs(
    git: GitServer, repository: Repository, machine: Machines, tmp_path: Path
) -> None:
    """Hooks of a template, filters of an attribute, and a user's configuration are ways to run a program."""
    canary = tmp_path / "canary"
    home = tmp_path / "home"
    hooks = home / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {canary}\n")
    (hooks / "post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[init]\n\ttemplateDir = {home}/template\n[filter "evil"]\n\tsmudge = touch {canary}\n'
        f"[core]\n\tfsmonitor = touch {canary}\n\thooksPath = {hooks}\n"
    )
    repository.commit({"f": "1", ".gitattributes": "f filter=evil\n"})
    url = git.publish(repository, "r.git")
    environ = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
    }

    got = fetch(GitSource(url), machine(environ=environ))

    assert b"1" == got["f"][2]
    assert not canary.exists()


ODD_REFS = [
    "--upload-pack=touch x",
    "-x",
    "a b",
    "a..b",
    "a:b",
    "a^{}",
    "*",
    "a?",
    "[a]",
    "a\\b",
    "/a",
    "a/",
    "a.lock",
    "@",
    "@{1}",
    "a\x01",
]


@pytest.mark.parametrize("ref", ODD_REFS)
def test_19_an_odd_ref_is_never_given_to_git(ref: str, git: GitServer, machine: Machines) -> None:
    """CVE-2019-13139, SECURITY row 19."""
    with pytest.raises(RemoteError, match="is no name that a branch"):
        pin(GitSource(git.url("r.git"), ref), machine())
    assert [] == git.seen


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "ext::sh -c id",
        "/etc/repo.git",
        "--upload-pack=id",
        "ssh://-oProxyCommand=id/x.git",
        "-oProxyCommand=id@host:x.git",
        "git@-oProxyCommand=id:x.git",
        "git@host:-x.git",
        "ssh://-oProxyCommand@host/x.git",
        "ftp://host/x.git",
        "https://user:s3cret@host/x.git",
        "https://s3cret@host/x.git",
        "https://host/x y.git",
    ],
)
def test_an_odd_url_is_never_given_to_git(url: str, machine: Machines) -> None:
    with pytest.raises(RemoteError) as caught:
        pin(GitSource(url), machine())
    assert "s3cret" not in str(caught.value)


def test_no_git_on_this_machine(machine: Machines) -> None:
    with pytest.raises(RemoteError, match="needs the program git") as caught:
        pin(GitSource("https://127.0.0.1/r.git"), machine(environ={"PATH": "/nonexistent"}))
    assert "fix: install git" in str(caught.value)


def test_a_repository_that_is_not_there(git: GitServer, machine: Machines) -> None:
    with pytest.raises(RemoteError) as caught:
        pin(GitSource(git.url("absent.git")), machine())
    assert git.url("absent.git") in str(caught.value)


def test_a_commit_that_is_not_there(
    git: GitServer, repository: Repository, machine: Machines
) -> None:
    repository.commit({"f": "1"})
    url = git.publish(repository, "r.git")

    with pytest.raises(RemoteError, match="0123456789"):
        fetch(GitSource(url, "0123456789" * 4), machine())


def test_a_server_of_plain_files(repository: Repository, machine: Machines, tmp_path: Path) -> None:
    """It knows no shallow fetch, and gives what its refs lead to."""
    old = repository.commit({"f": "old"})
    repository.commit({"f": "new"})
    with git_server(tmp_path / "dumb", dumb=True) as dumb:
        url = dumb.publish(repository, "r.git")

        assert b"new" == fetch(GitSource(url), machine())["f"][2]
        assert b"old" == fetch(GitSource(url, old), machine())["f"][2]


def test_a_server_that_gives_no_single_commits(
    git: GitServer, repository: Repository, machine: Machines
) -> None:
    git.old = True
    old = repository.commit({"f": "old"})
    repository.commit({"f": "new"})
    url = git.publish(repository, "r.git")

    assert b"old" == fetch(GitSource(url, old), machine())["f"][2]


def test_a_commit_that_no_branch_holds_any_more(
    git: GitServer, repository: Repository, machine: Machines
) -> None:
    """Its branch was moved after it was pinned; the commit itself is asked for, and comes."""
    lost = repository.commit({"f": "old"})
    git.options["uploadpack.allowAnySHA1InWant"] = "true"
    source = pin(GitSource(git.publish(repository, "r.git"), "main"), machine())
    repository.git("commit", "-q", "--amend", "-m", "another", "--date=2021-01-01T00:00:00Z")
    repository.git("push", "-q", "--force", str(git.root / "r.git"), "main")

    assert lost == source.checksum
    tree = fetched_tree(source, 0, machine())
    assert {"f": ("f", 0o644, b"old")} == members(machine().store, tree)


def copied(got: Dict[str, Member], path: Path) -> Repository:
    """The fetched files, on disk."""
    path.mkdir()
    for name, (kind, mode, content) in got.items():
        if kind == "d":
            (path / name).mkdir(exist_ok=True)
        else:
            (path / name).write_bytes(content)
            (path / name).chmod(mode)
    return Repository(path)


@pytest.mark.parametrize("old_server", [False, True], ids=["today's server", "old server"])
@pytest.mark.parametrize("keep", [False, True], ids=["files", "with .git"])
def test_a_branch_that_moved_on_after_it_was_pinned(
    keep: bool,
    old_server: bool,
    git: GitServer,
    repository: Repository,
    machine: Machines,
    tmp_path: Path,
) -> None:
    """What was pinned is what is fetched, whether or not the server gives single commits."""
    git.old = old_server
    repository.commit({"f": "older"})
    old = repository.commit({"f": "old"})
    url = git.publish(repository, "r.git")
    source = pin(GitSource(url, "main", keep_git_dir=keep), machine())
    first = fetched_tree(source, 0, machine("first"))
    repository.commit({"f": "new"})
    git.publish(repository, "r.git")

    layer = fetched_tree(source, 0, machine("second"))

    got = members(machine("second").store, layer)
    assert b"old" == got["f"][2]
    assert first.diff_id == layer.diff_id
    if keep:
        copy = copied(got, tmp_path / "copy")
        assert [old, old] == copy.git("rev-parse", "HEAD", "main").split()
        assert "1" == copy.git("rev-list", "--count", "HEAD"), "no history"
        copy.git("fsck", "--strict")


def test_git_is_kept_and_is_a_repository(
    git: GitServer, repository: Repository, machine: Machines, tmp_path: Path
) -> None:
    commit = repository.commit({"f": "1", "d/g*": "2"})
    repository.git("tag", "-a", "-m", "first", "v1")
    url = git.publish(repository, "r.git")

    got = fetch(GitSource(url, "v1", keep_git_dir=True), machine())
    copy = copied(got, tmp_path / "copy")

    assert commit == copy.git("rev-parse", "HEAD")
    assert commit == copy.git("rev-parse", "v1^{commit}")
    assert "" == copy.git("status", "--porcelain")
    assert url == copy.git("remote", "get-url", "origin")
    assert "first" in copy.git("cat-file", "tag", "v1")
    copy.git("fsck", "--strict")


def test_a_kept_git_is_the_same_bytes_on_another_machine(
    git: GitServer, repository: Repository, machine: Machines, tmp_path: Path
) -> None:
    inner = Repository.make(tmp_path / "inner")
    inner.commit({"inner.txt": "i"})
    repository.git("submodule", "add", "-q", git.publish(inner, "inner.git"), "lib")
    for number in range(20):
        repository.commit({f"d{number}/f": "text " * number})
    source = GitSource(git.publish(repository, "r.git"), "main", keep_git_dir=True)

    def layer_on(name: str) -> Layer:
        effects = machine(name)
        return fetched_tree(pin(source, effects), 0, effects)

    first = layer_on("one")
    time.sleep(1.1)
    inner.commit({"inner.txt": "newer"})
    git.publish(inner, "inner.git")

    assert first.diff_id == layer_on("two").diff_id


SSH = """#!/bin/sh
echo "$SSH_AUTH_SOCK $@" >> {log}
for last; do :; done
exec sh -c "$last"
"""


@pytest.mark.parametrize("form", ["ssh://git@host{path}", "git@host:{path}"])
def test_a_repository_over_ssh(
    form: str, git: GitServer, repository: Repository, machine: Machines, tmp_path: Path
) -> None:
    """An ssh that runs the other side's command here, and tells how it was called."""
    repository.commit({"f": "1"})
    git.publish(repository, "r.git")
    log, programs = tmp_path / "log", tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(SSH.format(log=log))
    (programs / "ssh").chmod(0o755)
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    here = machine(
        environ={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "SSH_AUTH_SOCK": "/agent",
        }
    )

    assert b"1" == fetch(GitSource(form.format(path=git.root / "r.git")), here)["f"][2]
    for line in log.read_text().splitlines():
        socket, _, arguments = line.partition(" ")
        assert "/agent" == socket
        assert "-F /dev/null" in arguments, "nobody's ProxyCommand is run"
        assert "BatchMode=yes" in arguments, "nobody is asked for a password"
        assert "IdentityFile=none" in arguments, "no key but the agent's"
        assert f"UserKnownHostsFile={tmp_path}/home/.ssh/known_hosts" in arguments
        assert "StrictHostKeyChecking=no" not in arguments
        assert " git@host git-upload-pack" in arguments


def test_without_an_agent_the_error_says_what_to_do(machine: Machines) -> None:
    source = GitSource("ssh://git@127.0.0.1:1/r.git")

    with pytest.raises(RemoteError, match="127.0.0.1"):
        pin(source, machine())


def test_the_agent_of_the_field_ssh_is_lent_where_it_is_needed(
    git: GitServer, repository: Repository, machine: Machines, tmp_path: Path
) -> None:
    repository.commit({"f": "1"})
    url = git.publish(repository, "r.git")
    gone = (SshSource("default", ()),)
    here = machine()

    pin_remotes(RemotesRequest((GitSource(url),), 0, gone), here)
    with pytest.raises(UsageError, match="ssh agent, and none is running"):
        pin_remotes(RemotesRequest((GitSource("git@127.0.0.1:r.git"),), 0, gone), here)


def test_what_a_key_knows_of_a_repository() -> None:
    commit = "a" * 40
    source = GitSource("https://a/r.git", "refs/heads/main", checksum=commit)
    same = [
        replace(source, url="https://mirror/r.git"),
        replace(source, ref="refs/tags/v1"),
        replace(source, subdir="", keep_git_dir=False),
    ]
    other = [
        replace(source, checksum="b" * 40),
        replace(source, subdir="d"),
        replace(source, submodules=False),
        replace(source, keep_git_dir=True),
        replace(source, keep_git_dir=True, url="https://mirror/r.git"),
        replace(source, keep_git_dir=True, ref="refs/tags/v1"),
    ]

    assert {identity(source)} == {identity(one) for one in same}
    assert len(other) + 1 == len({identity(one) for one in [source, *other]})
    part = replace(source, subdir="d")
    assert identity(part) == identity(replace(part, keep_git_dir=True)), "a part has no .git"


def test_what_is_pinned_by_itself() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"

    assert pinned(GitSource("u", "main")) is None
    assert pinned(GitSource("u", "main", checksum=commit)) is None, "the ref has to be checked"
    assert pinned(GitSource("u", commit[:10])) is None
    assert pinned(GitSource("u", commit, checksum="0123")) == GitSource(
        "u", commit, checksum=commit
    )
    assert pinned(GitSource("u", commit, checksum="f")) is None
