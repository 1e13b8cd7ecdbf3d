"""The client against a real registry: what is pushed comes back, by tag, by digest, over TLS and with a password."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Callable, List

import pytest

from imagebuild.errors import AuthenticationError, MalformedError, NotFoundError, UnreachableError
from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import RegistryOptions
from imagebuild.registry.upload import MAX_UNASKED
from support.blobs import Driver, blob, known_user, noise, push_image
from support.registry import RealRegistry, TestCA, free_port, methods, running_registry

MIB = 1 << 20
Drive = Callable[..., Driver]


@pytest.mark.parametrize("size", [0, 1, 70_000, 4 * MIB, 4 * MIB + 1, 40 * MIB], ids=str)
def test_blob_comes_back(size: int, registry: RealRegistry, fresh_path: str, drive: Drive) -> None:
    client, repo, content = drive().client, Repository(registry.address, fresh_path), noise(size)

    how = client.push_blob(repo, blob(content), lambda: io.BytesIO(content))

    sink = io.BytesIO()
    client.get_blob(repo, blob(content), sink)
    assert "uploaded" == how
    assert content == sink.getvalue()
    assert client.has_blob(repo, blob(content).digest)
    assert not client.has_blob(repo, Hash.of(b"another"))


def test_blob_that_is_there_is_not_sent(
    registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive().client, Repository(registry.address, fresh_path)
    client.push_blob(repo, blob(b"twice"), lambda: io.BytesIO(b"twice"))
    before = len(registry.accesses())

    def unused() -> io.BytesIO:
        raise AssertionError("the blob was opened")

    assert "exists" == client.push_blob(repo, blob(b"twice"), unused)
    assert ["HEAD"] == methods(registry.accesses(before))


@pytest.mark.parametrize(
    ("size", "expected"),
    [(MAX_UNASKED, ["POST", "PUT", "HEAD"]), (MAX_UNASKED + 1, ["HEAD", "POST", "PUT", "HEAD"])],
)
def test_what_is_new_is_asked_for_only_where_it_is_large(
    size: int, expected: List[str], registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive().client, Repository(registry.address, fresh_path)
    content = noise(size, fresh_path.encode())
    before = len(registry.accesses())

    how = client.push_blob(repo, blob(content), lambda: io.BytesIO(content), new=True)

    assert "uploaded" == how
    assert expected == methods(registry.accesses(before))


def test_blob_of_a_neighbour_is_mounted(
    registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    client, source = drive().client, Repository(registry.address, fresh_path)
    target = Repository(registry.address, fresh_path + "-target")
    elsewhere = Repository("elsewhere.example", fresh_path)
    content = noise(100_000, fresh_path.encode())
    client.push_blob(source, blob(content), lambda: io.BytesIO(content))

    how = client.push_blob(
        target, blob(content), lambda: io.BytesIO(content), mount_from=(elsewhere, source)
    )

    assert "mounted" == how
    assert client.has_blob(target, blob(content).digest)


def test_mount_that_is_refused_becomes_an_upload(
    registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    client, repo, content = (
        drive().client,
        Repository(registry.address, fresh_path),
        noise(100, fresh_path.encode()),
    )
    empty = [Repository(registry.address, f"{fresh_path}/empty{number}") for number in (1, 2)]

    assert "uploaded" == client.push_blob(
        repo, blob(content), lambda: io.BytesIO(content), mount_from=empty
    )
    assert content == client.get_small_blob(repo, blob(content), max_bytes=100)


def test_manifest_by_tag_and_digest(registry: RealRegistry, fresh_path: str, drive: Drive) -> None:
    client, repo = drive().client, Repository(registry.address, fresh_path)
    raw = push_image(client, repo, "v1")
    expected = Descriptor(media_types.OCI_MANIFEST, Hash.of(raw), len(raw))

    for reference in ("v1", str(Hash.of(raw))):
        assert raw == client.get_manifest(repo, reference).raw
        assert expected == client.get_manifest(repo, reference).descriptor
        assert expected == client.head_manifest(repo, reference)
    assert client.head_manifest(repo, "v2") is None


def test_tags(registry: RealRegistry, fresh_path: str, drive: Drive) -> None:
    client, repo = drive().client, Repository(registry.address, fresh_path)
    for tag in ("v2", "v1", "latest"):
        push_image(client, repo, tag)

    assert ("latest", "v1", "v2") == client.list_tags(repo)


def test_connections_are_reused(registry: RealRegistry, fresh_path: str, drive: Drive) -> None:
    import urllib3

    client, repo = drive().client, Repository(registry.address, fresh_path)
    made: List[object] = []
    connect = urllib3.connection.HTTPConnection.connect

    def counting(connection: urllib3.connection.HTTPConnection) -> None:
        made.append(connection)
        connect(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib3.connection.HTTPConnection, "connect", counting)
        push_image(client, repo, "v1")
        client.get_manifest(repo, "v1")
        for _ in range(3):
            assert client.head_manifest(repo, "none") is None

    assert 1 == len(made)


def test_small_blob_is_bounded_before_anything_is_fetched(
    registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    before = len(registry.accesses())

    with pytest.raises(MalformedError, match="5 bytes long"):
        drive().client.get_small_blob(
            Repository(registry.address, fresh_path), blob(b"12345"), max_bytes=4
        )
    assert () == registry.accesses(before)


def test_password(tmp_path: Path, drive: Drive) -> None:
    with running_registry(tmp_path, password=True) as guarded:
        repo = Repository(guarded.address, "app")
        raw = push_image(drive(credentials=known_user(guarded.address)).client, repo, "v1")
        assert (
            raw
            == drive(credentials=known_user(guarded.address)).client.get_manifest(repo, "v1").raw
        )

        with pytest.raises(AuthenticationError) as none:
            drive().client.get_manifest(repo, "v1")
        with pytest.raises(AuthenticationError) as wrong:
            drive(credentials=_wrong_user(guarded.address)).client.get_manifest(repo, "v1")

    assert (
        f'pulling "{repo}:v1": http://{guarded.address} asks for credentials, and there are none for it'
        == none.value.message
    )
    assert f"check the name, or log in: docker login {guarded.address}" == none.value.hint
    assert (
        f'pulling "{repo}:v1": http://{guarded.address} does not accept the credentials of "canary-user"'
        == wrong.value.message
    )
    assert 401 == wrong.value.status
    assert "wrong" not in str(wrong.value)


def _wrong_user(address: str) -> object:
    from imagebuild.registry.client import Credential, CredentialStore

    return CredentialStore.of({address: Credential("canary-user", "wrong")})


def test_tls_with_a_ca_of_its_own(tmp_path: Path, ca: TestCA, drive: Drive) -> None:
    with running_registry(tmp_path, tls=ca, password=True) as secure:
        options = RegistryOptions(secure.address, ca_file=str(ca.ca_file))
        repo = Repository(secure.address, "app")
        who = known_user(secure.address)

        raw = push_image(drive(options, credentials=who).client, repo, "v1")

        assert raw == drive(options, credentials=who).client.get_manifest(repo, "v1").raw
        insecure = drive(RegistryOptions(secure.address, insecure=True), credentials=who)
        assert raw == insecure.client.get_manifest(repo, "v1").raw
        with pytest.raises(UnreachableError) as error:
            drive(credentials=who).client.get_manifest(repo, "v1")

    assert "certificate" == error.value.kind
    assert "set `ca_file` for it" in error.value.hint


def test_unknown_tag(registry: RealRegistry, fresh_path: str, drive: Drive) -> None:
    repo = Repository(registry.address, fresh_path)

    with pytest.raises(NotFoundError) as error:
        drive().client.get_manifest(repo, "nope")

    assert (
        f'pulling "{repo}:nope": http://{registry.address} does not have it: MANIFEST_UNKNOWN manifest unknown'
        == error.value.message
    )
    assert ("MANIFEST_UNKNOWN",) == error.value.codes
    assert "check the name and the tag or digest" == error.value.hint


def test_registry_that_is_not_there(drive: Drive) -> None:
    driver, repo = drive(), Repository(f"127.0.0.1:{free_port()}", "app")

    with pytest.raises(UnreachableError) as error:
        driver.client.get_manifest(repo, "v1")

    assert (
        f'pulling "{repo}:v1": http://{repo.registry} can\'t be reached: connection refused'
        == error.value.message
    )
    assert "check that the registry is running and that the port is right" == error.value.hint
    assert 69 == error.value.exit_code
    assert 4 == len(driver.waits)


def test_registry_that_comes_back(tmp_path: Path, drive: Drive) -> None:
    """F35: it is restarted between two requests, and the kept connection is dead."""
    with running_registry(tmp_path) as first:
        repo, port = Repository(first.address, "app"), int(first.address.rpartition(":")[2])
        driver = drive()
        push_image(driver.client, repo, "v1")
    with running_registry(tmp_path, port=port):
        assert driver.client.head_manifest(repo, "v1") is not None
