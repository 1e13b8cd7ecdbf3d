"""Faults while pushing (SECURITY section 2, F17, F19, F20): the blob gets there whole, or an error says why not."""

from __future__ import annotations

import io
import json
from typing import Callable

import pytest

from imagebuild.errors import (
    RegistryError,
)
from imagebuild.oci import media_types
from imagebuild.oci.reference import Repository
from support.blobs import Driver, blob, noise, store_blob
from support.fault_proxy import Fault, FaultProxy
from support.faults import reset, reset_after, status, with_headers
from support.registry import RealRegistry

MIB = 1 << 20
Drive = Callable[..., Driver]


def push(driver: Driver, proxy: FaultProxy, path: str, content: bytes) -> str:
    return driver.client.push_blob(
        Repository(proxy.address, path), blob(content), lambda: io.BytesIO(content)
    )


UPLOAD_FAULTS = {
    "reset at the first byte": ("PATCH", reset_after(0), 1),
    "reset in the middle, nothing arrived": ("PATCH", reset_after(5 * MIB), 1),
    "reset in the middle, a part arrived": ("PATCH", reset_after(5 * MIB, deliver=True), 1),
    "reset twice": ("PATCH", reset_after(MIB), 2),
    "reset after the last byte": ("PATCH", reset(), 1),
    "503": ("PATCH", status(503), 1),
    "503 twice": ("PATCH", status(503), 2),
    "429": ("PATCH", status(429), 1),
    "forgotten": ("PATCH", status(404, {}, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'), 1),
    "start fails": ("POST", status(500), 3),
    "start is reset": ("POST", reset(), 2),
    "end fails": ("PUT", status(500), 1),
    "end is reset": ("PUT", reset(), 1),
    "check fails": ("HEAD", status(502), 2),
}


@pytest.mark.parametrize("size", [1000, 6 * MIB], ids=["one request", "chunk"])
@pytest.mark.parametrize(("method", "fault", "times"), UPLOAD_FAULTS.values(), ids=UPLOAD_FAULTS)
def test_upload_survives(
    method: str,
    fault: Fault,
    times: int,
    size: int,
    registry: RealRegistry,
    proxy: FaultProxy,
    fresh_path: str,
    drive: Drive,
) -> None:
    content = noise(size, fresh_path.encode())
    proxy.on(method, "/blobs/", fault, times=times)

    assert "uploaded" == push(drive(), proxy, fresh_path, content)
    assert content == registry.blob_path(str(blob(content).digest)).read_bytes()


def test_upload_goes_on_where_it_broke(
    registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """Two chunks of 32 MiB: only the second, which was reset, is sent again."""
    content = noise(50 * MIB, fresh_path.encode())
    proxy.on("PATCH", "/blobs/", reset(), after=1)

    assert "uploaded" == push(drive(), proxy, fresh_path, content)
    ranges = [seen.headers["content-range"] for seen in proxy.requests("PATCH")]
    assert [f"0-{32 * MIB - 1}", f"{32 * MIB}-{50 * MIB - 1}"] == ranges[:2]
    assert f"{32 * MIB}-{50 * MIB - 1}" == ranges[2]
    assert content == registry.blob_path(str(blob(content).digest)).read_bytes()


def test_chunks_grow_to_what_the_registry_asks(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    content = noise(50 * MIB, fresh_path.encode())
    proxy.on("POST", "/blobs/uploads/", with_headers(OCI_Chunk_Min_Length=str(48 * MIB)))

    assert "uploaded" == push(drive(), proxy, fresh_path, content)
    assert [48 * MIB, 2 * MIB] == [len(seen.body) for seen in proxy.requests("PATCH")]


def test_upload_that_never_gets_through(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    proxy.on("PATCH", "/blobs/", status(500), times=1000)

    with pytest.raises(RegistryError, match="does not get beyond byte 0"):
        push(drive(), proxy, fresh_path, noise(5 * MIB))


def test_upload_whose_source_changed(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    """The file shrank, or holds other bytes: an error, and no blob under a wrong name."""
    client, repo, wanted = drive().client, Repository(proxy.address, fresh_path), blob(noise(2000))

    with pytest.raises(Exception, match="shorter than its descriptor"):
        client.push_blob(repo, wanted, lambda: io.BytesIO(b"short"))
    with pytest.raises(RegistryError, match="DIGEST_INVALID"):
        client.push_blob(repo, wanted, lambda: io.BytesIO(b"x" * 2000))
    assert not client.has_blob(repo, wanted.digest)


def test_blob_that_the_registry_loses_is_sent_again(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """F19: 201, and then it is not there."""
    proxy.on("PUT", "/blobs/uploads/", status(201))

    assert "uploaded" == push(drive(), proxy, fresh_path, b"lost once " + fresh_path.encode())
    assert 2 == len(proxy.requests("PUT", "/blobs/uploads/"))


def test_blob_that_the_registry_always_loses(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("PUT", "/blobs/uploads/", status(201), times=1000)

    with pytest.raises(
        RegistryError, match="the registry took the blob and does not have it, 3 times"
    ):
        push(drive(), proxy, fresh_path, b"always lost " + fresh_path.encode())


def test_blob_that_shows_up_late_is_not_sent_again(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("HEAD", "/blobs/", status(404), times=3)

    assert "uploaded" == push(drive(), proxy, fresh_path, b"late " + fresh_path.encode())
    assert 1 == len(proxy.requests("PUT", "/blobs/uploads/"))


@pytest.mark.parametrize("code", [202, 400, 403, 404, 405])
def test_mount_refused(
    code: int, registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """F20: whatever the answer to a mount is, the blob gets there."""
    source, target = Repository(proxy.address, fresh_path), Repository(
        proxy.address, fresh_path + "-target"
    )
    content = noise(100, fresh_path.encode())
    store_blob(registry.address, source.path, content)
    proxy.on("POST", "mount=", status(code))

    how = drive().client.push_blob(
        target, blob(content), lambda: io.BytesIO(content), mount_from=[source]
    )

    assert "uploaded" == how


MISSES_A_BLOB = (
    b'{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"},'
    b'{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}'
)


def put_manifest(driver: Driver, proxy: FaultProxy, path: str) -> bool:
    """Whether the registry has it then."""
    repo, content = Repository(proxy.address, path), noise(100, path.encode())
    push(driver, proxy, path, content)
    raw = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": blob(content).to_json(),
            "layers": [],
        }
    ).encode()
    driver.client.put_manifest(repo, "1", media_types.OCI_MANIFEST, raw)
    return driver.client.head_manifest(repo, "1") is not None


def test_manifest_whose_blobs_the_registry_does_not_see_yet(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """As CNCF distribution answers while somebody else pushes one of them, too."""
    driver = drive()
    proxy.on("PUT", "/manifests/", status(400, {}, MISSES_A_BLOB), times=3)

    assert put_manifest(driver, proxy, fresh_path)
    assert 3 == len(driver.waits)


@pytest.mark.parametrize(
    ("body", "attempts"),
    [(MISSES_A_BLOB, 5), (b'{"errors":[{"code":"MANIFEST_INVALID"}]}', 1)],
    ids=["never sees them", "for another reason"],
)
def test_manifest_that_the_registry_refuses(
    body: bytes, attempts: int, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("PUT", "/manifests/", status(400, {}, body), times=1000)

    with pytest.raises(RegistryError, match="answered 400: "):
        put_manifest(drive(), proxy, fresh_path)
    assert attempts == len(proxy.requests("PUT", "/manifests/"))
