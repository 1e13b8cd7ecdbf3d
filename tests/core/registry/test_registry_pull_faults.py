"""Faults while pulling (SECURITY section 2, F11 to F13, F18): what was promised comes, or an error; never other bytes."""

from __future__ import annotations

import io
import threading
from typing import Callable

import pytest

from imagebuild.errors import (
    DigestMismatchError,
    NotFoundError,
    UnreachableError,
)
from imagebuild.oci import media_types
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import Repository
from support.blobs import Driver, blob, noise, push_image, store_blob
from support.fault_proxy import Answered, FaultProxy
from support.faults import changed, endless, short_body, status, with_headers
from support.registry import RealRegistry

MIB = 1 << 20
Drive = Callable[..., Driver]


def pull(driver: Driver, proxy: FaultProxy, path: str, content: bytes) -> bytes:
    sink = io.BytesIO()
    driver.client.get_blob(Repository(proxy.address, path), blob(content), sink)
    return sink.getvalue()


def test_truncated_blob_is_resumed_where_it_broke(
    registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    content = noise(MIB)
    store_blob(registry.address, fresh_path, content)
    for cut in (1000, 5000):
        proxy.on("GET", "/blobs/", short_body(cut))

    assert content == pull(drive(), proxy, fresh_path, content)
    ranges = [seen.headers.get("range") for seen in proxy.requests("GET", "/blobs/")]
    assert [None, "bytes=1000-", "bytes=6000-"] == ranges


def test_truncated_blob_from_a_server_without_ranges(
    registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    content = noise(MIB)
    store_blob(registry.address, fresh_path, content)
    proxy.on("GET", "/blobs/", short_body(300_000))
    proxy.on("GET", "/blobs/", changed(lambda _: Answered(200, (), content)))

    assert content == pull(drive(), proxy, fresh_path, content)


def test_truncation_that_does_not_end(
    registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    content = noise(MIB)
    store_blob(registry.address, fresh_path, content)
    proxy.on("GET", "/blobs/", short_body(1000), times=100)
    driver = drive()

    with pytest.raises(UnreachableError, match="again and again"):
        pull(driver, proxy, fresh_path, content)
    assert 5 == len(proxy.requests("GET", "/blobs/"))
    assert 4 == len(driver.waits)


def test_truncated_manifest_is_read_again(
    registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    raw = push_image(drive().client, Repository(registry.address, fresh_path), "v1")
    proxy.on("GET", "/manifests/", short_body(20), times=2)

    assert raw == drive().client.get_manifest(Repository(proxy.address, fresh_path), "v1").raw


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (b"x" * 1000, "other bytes"),
        (noise(1000) + b"more", "1004 bytes instead of 1000"),
        (noise(999), "999 bytes instead of 1000"),
        (b"", "0 bytes instead of 1000"),
    ],
    ids=["other bytes", "too long", "too short", "empty"],
)
def test_blob_that_is_not_what_its_digest_says(
    sent: bytes, what: str, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("GET", "/blobs/", status(200, {}, sent))

    with pytest.raises(DigestMismatchError) as error:
        pull(drive(), proxy, fresh_path, noise(1000))

    actual = str(Hash.of(sent)) if what == "other bytes" else what
    assert f"expected: {blob(noise(1000)).digest}, got {actual}" in str(error.value)
    assert 76 == error.value.exit_code


def test_blob_that_never_ends_is_cut_at_its_size(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    stop = threading.Event()
    proxy.on("GET", "/blobs/", endless(b"x" * 4096, 0, stop))
    sink = io.BytesIO()

    with pytest.raises(DigestMismatchError, match="more than 1000 bytes"):
        drive().client.get_blob(Repository(proxy.address, fresh_path), blob(noise(1000)), sink)
    stop.set()
    assert len(sink.getvalue()) <= 1000


def test_manifest_of_another_digest(
    registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive().client, Repository(proxy.address, fresh_path)
    raw = push_image(client, repo, "v1")
    proxy.on(
        "GET",
        "/manifests/",
        changed(
            lambda answered: Answered(
                200,
                tuple(h for h in answered.headers if h[0] != "Content-Length"),
                raw[:-1] + b" }",
            )
        ),
    )

    with pytest.raises(DigestMismatchError) as error:
        client.get_manifest(repo, str(Hash.of(raw)))
    assert f'pulling "{repo}@{Hash.of(raw)}" does not have the digest it is named by' in str(
        error.value
    )


@pytest.mark.parametrize(
    "claim",
    ["sha256:" + "0" * 64, "sha512:00", "nonsense", ""],
    ids=["lie", "other", "odd", "none"],
)
def test_own_hash_wins_over_the_digest_header(
    claim: str, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive().client, Repository(proxy.address, fresh_path)
    raw = push_image(client, repo, "v1")
    proxy.on("GET", "/manifests/", with_headers(Docker_Content_Digest=claim))

    assert Hash.of(raw) == client.get_manifest(repo, "v1").descriptor.digest


def test_head_without_a_digest_falls_back_to_the_bytes(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive().client, Repository(proxy.address, fresh_path)
    raw = push_image(client, repo, "v1")
    proxy.on("HEAD", "/manifests/", with_headers(Docker_Content_Digest=""))

    descriptor = client.head_manifest(repo, "v1")
    assert descriptor is not None
    assert Hash.of(raw) == descriptor.digest


def test_manifest_stored_as_something_else(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive().client, Repository(proxy.address, fresh_path)
    proxy.on("PUT", "/manifests/", status(201, {"Docker-Content-Digest": "sha256:" + "0" * 64}))

    with pytest.raises(DigestMismatchError):
        client.put_manifest(repo, "v1", media_types.OCI_MANIFEST, b"{}")


def test_slow_body_is_given_up(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    """F18: a clock that runs fast stands in for the minutes."""
    stop, now = threading.Event(), [0.0]
    proxy.on("GET", "/blobs/", endless(b"x", 0.001, stop), times=100)

    def clock() -> float:
        now[0] += 20
        return now[0]

    with pytest.raises(UnreachableError, match="too slowly"):
        pull(drive(clock=clock), proxy, fresh_path, noise(10_000))
    stop.set()


def test_blob_that_is_not_there(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    with pytest.raises(NotFoundError) as error:
        pull(drive(), proxy, fresh_path, b"never pushed")
    assert ("BLOB_UNKNOWN",) == error.value.codes
