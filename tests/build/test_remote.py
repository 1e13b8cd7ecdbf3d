"""ADD of URLs and git repositories in whole builds: what lands in the image, and what is asked of whom."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Iterator

import pytest

from imagebuild.errors import ChecksumError, ImageBuildError, RemoteError
from support.builds import Machine, tree_of
from support.fault_proxy import FaultProxy, fault_proxy
from support.faults import status
from support.git_server import GitServer, Repository, git_server

ALWAYS = 1 << 30
DATA = b"#!/bin/sh\necho hello\n"
CHECKSUM = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture()
def web() -> Iterator[FaultProxy]:
    with fault_proxy() as running:
        headers = {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        running.on("GET", r"/tool(\?.*)?$", status(200, headers, DATA), times=ALWAYS)
        yield running


@pytest.fixture()
def git(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as running:
        yield running


@pytest.fixture()
def repository(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path / "repository")


def test_files_land_as_the_reference_says(here: Machine, web: FaultProxy) -> None:
    """Mode 0600 and root, under the name of the URL in a directory; --chmod and --chown as for local files."""
    url = f"{web.url}/d/tool?token=1#part"
    dockerfile = f"""FROM scratch
ADD {url} /bin/
ADD {url} /named
ADD --checksum={CHECKSUM} --chmod=755 --chown=7:8 {url} /srv/run
ADD {url} local.txt /both/
"""

    tree = tree_of(here.unpack(here.build(dockerfile, {"local.txt": "local"})))

    assert ("0o100600", (0, 0), DATA) == tree["bin/tool"]
    assert ("0o100600", (0, 0), DATA) == tree["named"]
    assert ("0o100755", (7, 8), DATA) == tree["srv/run"]
    assert ("0o100600", (0, 0), DATA) == tree["both/tool"]
    assert ("0o100644", (0, 0), b"local") == tree["both/local.txt"]


def _archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        entry = tarfile.TarInfo("inside/file")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"in"))
    return out.getvalue()


def test_an_archive_is_unpacked_only_when_told(here: Machine, web: FaultProxy) -> None:
    archive = _archive()
    web.on("GET", "/a.tar.gz$", status(200, {}, archive), times=ALWAYS)
    dockerfile = f"""FROM scratch
ADD {web.url}/a.tar.gz /as-it-is/
ADD --unpack=true {web.url}/a.tar.gz /unpacked/
ADD --unpack=false {web.url}/a.tar.gz /not/
"""

    tree = tree_of(here.unpack(here.build(dockerfile)))

    assert archive == tree["as-it-is/a.tar.gz"][2]
    assert archive == tree["not/a.tar.gz"][2]
    assert b"in" == tree["unpacked/inside/file"][2]
    assert "unpacked/a.tar.gz" not in tree


def test_a_cached_build_with_a_checksum_asks_for_nothing(here: Machine, web: FaultProxy) -> None:
    dockerfile = f"FROM BASE\nADD --checksum={CHECKSUM} {web.url}/tool /tool\nRUN sh /tool > /out\n"
    first = here.build(dockerfile)
    asked = len(web.seen)

    again, elsewhere = here.build(dockerfile), here.fresh("other").build(dockerfile)

    assert 1 == asked == len(web.seen)
    assert ("local", "local") == again.origins
    assert ("registry", "registry") == elsewhere.origins
    assert first.image.digest == again.image.digest == elsewhere.image.digest


def test_without_a_checksum_another_machine_fetches_and_builds_nothing(
    here: Machine, web: FaultProxy
) -> None:
    dockerfile = f"FROM BASE\nADD {web.url}/tool /tool\nRUN sh /tool > /out\n"
    first = here.build(dockerfile)

    elsewhere = here.fresh("other").build(dockerfile)

    assert ("registry", "registry") == elsewhere.origins
    assert first.image.digest == elsewhere.image.digest
    assert 2 == len(web.seen)


def test_the_same_bytes_from_elsewhere_rebuild_nothing(here: Machine, web: FaultProxy) -> None:
    here.build(f"FROM BASE\nADD {web.url}/one/tool /tool\nRUN sh /tool > /out\n")
    same = f"FROM BASE\nADD --checksum={CHECKSUM} {web.url}/two/tool /tool\nRUN sh /tool > /out\n"

    assert ("local", "local") == here.build(same).origins


def test_other_bytes_rebuild_what_follows(here: Machine, web: FaultProxy) -> None:
    dockerfile = f"FROM BASE\nADD {web.url}/tool /tool\nRUN sh /tool > /out\n"
    here.build(dockerfile)
    web.rules.clear()
    web.on("GET", r"/tool(\?.*)?$", status(200, {}, DATA + b"# more\n"), times=ALWAYS)

    assert ("built", "built") == here.build(dockerfile).origins


def test_a_linked_one_outlives_a_change_below_it(here: Machine, web: FaultProxy) -> None:
    dockerfile = f"FROM BASE\nRUN echo {{}} > /below\nADD --link --checksum={CHECKSUM} {web.url}/tool /tool\n"
    here.build(dockerfile.format(1))

    again = here.build(dockerfile.format(2))

    assert ("built", "local") == again.origins
    assert 1 == len(web.seen)


def test_a_fetched_file_that_the_store_lost_is_fetched_again(
    here: Machine, web: FaultProxy
) -> None:
    text = f"FROM BASE\nADD --checksum={CHECKSUM} {web.url}/tool /tool-{{}}\n"
    here.build(text.format(1))
    for blob in Path(here.store.root, "blobs", "sha256").iterdir():
        blob.unlink()

    built = here.build(text.format(2))

    assert ("built",) == built.origins
    assert 2 == len(web.seen)


def test_with_the_cache_off_it_is_copied_anew(here: Machine, web: FaultProxy) -> None:
    dockerfile = f"FROM BASE\nADD {web.url}/tool /tool\n"
    first = here.build(dockerfile)

    again = here.build(dockerfile, use_cache=False)

    assert ("built",) == again.origins
    assert first.image.digest == again.image.digest


def test_a_url_of_a_stage_that_is_not_needed_is_not_fetched(here: Machine, web: FaultProxy) -> None:
    dockerfile = f"FROM BASE AS other\nADD {web.url}/absent /x\nFROM BASE\nRUN true\n"

    here.build(dockerfile)

    assert [] == web.seen


REPOSITORY = {"README": "r", "src/main.sh*": "#!/bin/sh\n", "src/link": "->main.sh"}


def test_a_repository_lands_as_its_files(
    here: Machine, git: GitServer, repository: Repository
) -> None:
    commit = repository.commit(REPOSITORY)
    url = git.publish(repository, "r.git")
    dockerfile = f"""FROM scratch
ADD {url} /all
ADD --checksum={commit} {url}#main:src /part/
ADD --keep-git-dir=true {url}?branch=main /kept
ADD --chown=7:8 {url}?commit={commit}&subdir=src /mine
"""

    tree = tree_of(here.unpack(here.build(dockerfile)))

    assert ("0o100644", (0, 0), b"r") == tree["all/README"]
    assert ("0o100755", (0, 0), b"#!/bin/sh\n") == tree["all/src/main.sh"]
    assert ("0o120777", (0, 0), "main.sh") == tree["all/src/link"]
    assert "all/.git" not in tree
    assert {"part", "part/main.sh", "part/link"} == {one for one in tree if one.startswith("part")}
    assert ("0o100755", (7, 8), b"#!/bin/sh\n") == tree["mine/main.sh"]
    assert f"{commit}\n".encode() == tree["kept/.git/HEAD"][2]


def test_a_cached_build_of_a_commit_asks_for_nothing(
    here: Machine, git: GitServer, repository: Repository
) -> None:
    commit = repository.commit(REPOSITORY)
    dockerfile = f"FROM BASE\nADD {git.publish(repository, 'r.git')}#{commit} /src\nRUN sh /src/src/main.sh\n"
    first = here.build(dockerfile)
    asked = len(git.seen)

    elsewhere = here.fresh("other").build(dockerfile)

    assert asked == len(git.seen)
    assert {"registry"} == set(elsewhere.origins)
    assert first.image.digest == elsewhere.image.digest


def test_a_cached_build_of_a_branch_only_asks_which_commit_it_is(
    here: Machine, git: GitServer, repository: Repository
) -> None:
    repository.commit(REPOSITORY)
    dockerfile = f"FROM BASE\nADD {git.publish(repository, 'r.git')}#main /src\n"
    here.build(dockerfile)
    before = len(git.seen)

    elsewhere = here.fresh("other").build(dockerfile)

    assert ("registry",) == elsewhere.origins
    asked = [line.partition("?")[0] for line in git.seen[before:]]
    assert ["GET /r.git/info/refs", "POST /r.git/git-upload-pack"] == asked, "one ls-remote"


def test_a_branch_that_moved_rebuilds(
    here: Machine, git: GitServer, repository: Repository
) -> None:
    repository.commit(REPOSITORY)
    dockerfile = f"FROM BASE\nADD {git.publish(repository, 'r.git')} /src\nRUN cat /src/README\n"
    here.build(dockerfile)
    repository.commit({"README": "new"})
    git.publish(repository, "r.git")

    assert ("built", "built") == here.build(dockerfile).origins


def test_a_commit_with_the_same_files_rebuilds_nothing(
    here: Machine, git: GitServer, repository: Repository
) -> None:
    """Early cut-off: the commit is another, what it holds is the same."""
    repository.commit(REPOSITORY)
    dockerfile = f"FROM BASE\nADD {git.publish(repository, 'r.git')} /src\nRUN cat /src/README\n"
    here.build(dockerfile)
    repository.commit({}, "an empty one")
    git.publish(repository, "r.git")

    assert ("local", "local") == here.build(dockerfile).origins


def test_errors_name_the_line(here: Machine, web: FaultProxy, git: GitServer) -> None:
    start = "FROM BASE\nRUN true\n"
    wrong = "sha256:" + "0" * 64
    cases = {
        f"ADD {web.url}/absent /x": (RemoteError, "does not have it"),
        f"ADD --checksum={wrong} {web.url}/tool /x": (ChecksumError, CHECKSUM),
        f"ADD {git.url('absent.git')} /x": (RemoteError, "git cannot read it"),
    }

    for line, (kind, said) in cases.items():
        with pytest.raises(kind) as caught:
            here.build(f"{start}{line}\n")
        assert str(caught.value).startswith("Dockerfile:3: "), line
        assert said in str(caught.value)


def test_the_right_one_of_several_is_to_blame(here: Machine, web: FaultProxy) -> None:
    dockerfile = f"FROM BASE\nADD {web.url}/tool /a\nADD {web.url}/absent /b\n"

    with pytest.raises(ImageBuildError, match="^Dockerfile:3: "):
        here.build(dockerfile)


def test_real_times_are_kept_where_they_are_wanted(here: Machine, web: FaultProxy) -> None:
    built = here.build(f"FROM scratch\nADD {web.url}/tool /tool\n", epoch=None)

    assert 1445412480 == os.stat(here.unpack(built) / "tool").st_mtime


def test_two_steps_of_one_repository_fetch_it_once(
    here: Machine, git: GitServer, repository: Repository
) -> None:
    commit = repository.commit(REPOSITORY)
    url = git.publish(repository, "r.git")
    here.build(f"FROM BASE\nADD {url}#{commit} /one\n")
    asked = len(git.seen)

    here.build(f"FROM BASE\nADD {url}#{commit} /two\n")

    assert asked == len(git.seen)
