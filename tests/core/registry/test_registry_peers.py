"""Where a registry may send its clients (SECURITY row 50), and how long it may keep them waiting (F18).

All servers here are on loopback. So that a registry counts as one on the internet, `distance` is replaced by a table.
"""

from __future__ import annotations

import io
import socket
import threading
from typing import Callable, Dict

import pytest

from imagebuild.errors import UnreachableError
from imagebuild.oci.reference import Repository
from imagebuild.registry.connections import LOCAL, PRIVATE, PUBLIC, distance
from support.blobs import Driver, blob, known_user, store_blob
from support.fault_proxy import FaultProxy, fault_proxy
from support.faults import TokenRealm, redirect_to, status
from support.registry import RealRegistry

Drive = Callable[..., Driver]

ADDRESSES = {
    "127.0.0.1": LOCAL,
    "127.8.9.10": LOCAL,
    "::1": LOCAL,
    "0.0.0.0": LOCAL,
    "::": LOCAL,
    "169.254.169.254": LOCAL,
    "fe80::1%eth0": LOCAL,
    "224.0.0.1": LOCAL,
    "::ffff:127.0.0.1": LOCAL,
    "::ffff:169.254.169.254": LOCAL,
    "10.0.0.1": PRIVATE,
    "172.16.0.1": PRIVATE,
    "192.168.1.1": PRIVATE,
    "100.64.0.1": PRIVATE,
    "fd00:ec2::254": PRIVATE,
    "::ffff:10.0.0.1": PRIVATE,
    "1.1.1.1": PUBLIC,
    "2606:4700::1111": PUBLIC,
    "::ffff:1.1.1.1": PUBLIC,
}


@pytest.mark.parametrize(("address", "expected"), ADDRESSES.items(), ids=ADDRESSES)
def test_distance(address: str, expected: int) -> None:
    assert expected == distance(address)


@pytest.fixture()
def far(monkeypatch: pytest.MonkeyPatch) -> Dict[str, int]:
    """How far away each loopback address pretends to be."""
    table = {"127.0.0.1": PUBLIC, "127.0.0.2": LOCAL}
    monkeypatch.setattr("imagebuild.registry.wire.distance", table.__getitem__)
    return table


@pytest.mark.parametrize("inside", [LOCAL, PRIVATE])
def test_50_token_server_inside(
    inside: int,
    far: Dict[str, int],
    proxy: FaultProxy,
    stranger: FaultProxy,
    fresh_path: str,
    drive: Drive,
) -> None:
    far["127.0.0.2"] = inside
    TokenRealm(proxy, stranger, anonymous=True).install()

    with pytest.raises(UnreachableError) as error:
        drive().client.head_manifest(Repository(proxy.address, fresh_path), "v1")
    assert "address" == error.value.kind
    assert [] == stranger.seen


def test_50_token_server_of_an_inner_registry(
    far: Dict[str, int], proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """The twin: both inside."""
    far.update({"127.0.0.1": PRIVATE, "127.0.0.2": PRIVATE})
    TokenRealm(proxy, stranger, anonymous=True).install()

    assert drive().client.head_manifest(Repository(proxy.address, fresh_path), "v1") is None


def test_50_redirect_to_this_machine(
    far: Dict[str, int], proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("GET", "/blobs/", redirect_to(stranger.url))

    with pytest.raises(UnreachableError, match=r"its address is 127\.0\.0\.2"):
        drive().client.get_small_blob(
            Repository(proxy.address, fresh_path), blob(b"x"), max_bytes=10
        )
    assert [] == stranger.seen


def test_50_redirect_to_storage_with_a_private_address(
    far: Dict[str, int], registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """The twin: blobs behind a VPC endpoint."""
    far["127.0.0.2"] = PRIVATE
    store_blob(registry.address, fresh_path, b"inside")
    with fault_proxy(registry.address, host="127.0.0.2") as storage:
        proxy.on("GET", "/blobs/", redirect_to(storage.url))

        repo = Repository(proxy.address, fresh_path)
        assert b"inside" == drive().client.get_small_blob(repo, blob(b"inside"), max_bytes=10)


def test_50_upload_to_this_machine(
    far: Dict[str, int], basic: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    basic.on("POST", "/blobs/uploads/", status(202, {"Location": f"{stranger.url}/u"}), times=9)
    client = drive(credentials=known_user(basic.address)).client

    with pytest.raises(UnreachableError, match=r"its address is 127\.0\.0\.2"):
        client.push_blob(
            Repository(basic.address, fresh_path), blob(b"x"), lambda: io.BytesIO(b"x")
        )
    assert [] == stranger.seen


def test_headers_that_drip(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is in time, the whole is not."""
    monkeypatch.setattr("imagebuild.registry.connections.HEADER_SECONDS", 0.3)
    stop = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = threading.Thread(target=_drip, args=(listener, stop), daemon=True)
        server.start()

        with pytest.raises(UnreachableError):
            drive().client.head_manifest(
                Repository(f"127.0.0.1:{listener.getsockname()[1]}", "app"), "v1"
            )
        stop.set()
        socket.create_connection(listener.getsockname()).close()
        server.join()


def _drip(listener: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        connection, _ = listener.accept()
        with connection:
            if connection.recv(1, socket.MSG_PEEK) != b"G":
                continue  # a TLS handshake
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
                while not stop.wait(0.01):
                    connection.sendall(b"x")
            except OSError:
                pass
