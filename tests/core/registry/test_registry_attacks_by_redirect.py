"""SECURITY section 1, group D, rows 52: redirects.

The canary is the test user's password. It may go to the registry it belongs to, and nowhere else, in no form.
"""

from __future__ import annotations

from typing import Callable, List

import pytest

from imagebuild.errors import RegistryError
from imagebuild.oci import media_types
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import RegistryOptions
from support.blobs import Driver, blob, known_user, noise, push_image, store_blob
from support.fault_proxy import Exchange, FaultProxy, fault_proxy
from support.faults import redirect_to, saw_secret
from support.registry import RealRegistry, TestCA

MIB = 1 << 20
Drive = Callable[..., Driver]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"], ids=["other port", "other host"])
def test_52_redirected_blob_leaves_the_credentials_behind(
    host: str, code: int, basic: FaultProxy, registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    """The twin is in it: the blob comes, from a CDN that gets no credential and honours ranges."""
    content = noise(10_000, fresh_path.encode())
    store_blob(registry.address, fresh_path, content)
    client, repo = drive(credentials=known_user(basic.address)).client, Repository(
        basic.address, fresh_path
    )
    with fault_proxy(registry.address, host=host) as cdn:
        basic.on("GET", "/blobs/", redirect_to(cdn.url, code))

        assert content == client.get_small_blob(repo, blob(content), max_bytes=10_000)
        assert 1 == len(cdn.seen)
        assert not saw_secret(cdn)


def test_52_redirected_manifest_leaves_the_credentials_behind(
    basic: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive(credentials=known_user(basic.address)).client, Repository(
        basic.address, fresh_path
    )
    basic.on("GET", "/manifests/", redirect_to(stranger.url))

    with pytest.raises(RegistryError):
        client.get_manifest(repo, "v1")
    assert 1 == len(stranger.seen)
    assert not saw_secret(stranger)


def test_52_credentials_stay_away_after_a_round_trip(
    basic: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive(credentials=known_user(basic.address)).client, Repository(
        basic.address, fresh_path
    )
    basic.on("GET", "/manifests/", redirect_to(stranger.url))
    stranger.on("GET", "/manifests/", redirect_to(f"{basic.url}/v2/back/manifests/v1"))

    with pytest.raises(RegistryError):
        client.get_manifest(repo, "v1")
    assert ["authorization" in seen.headers for seen in basic.requests("GET", "^/v2/back/")] == [
        False
    ]


def test_52_redirect_within_the_origin_keeps_them(
    basic: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive(credentials=known_user(basic.address)).client, Repository(
        basic.address, fresh_path
    )
    raw = push_image(client, repo, "v1")
    basic.on("GET", "/manifests/other", redirect_to(f"{basic.url}/v2/{fresh_path}/manifests/v1"))

    assert raw == client.get_manifest(repo, "other").raw


def test_52_redirect_from_https_to_http(
    ca: TestCA, registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    with fault_proxy(registry.address, tls=ca) as secure, fault_proxy() as plain:
        secure.on("GET", "/manifests/", redirect_to(plain.url))
        client = drive(RegistryOptions(secure.address, ca_file=str(ca.ca_file))).client

        with pytest.raises(RegistryError, match="redirects to plain HTTP"):
            client.get_manifest(Repository(secure.address, fresh_path), "v1")
        assert [] == plain.seen


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_52_push_is_not_redirected_elsewhere(
    code: int, proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("PUT", "/manifests/", redirect_to(stranger.url, code))

    with pytest.raises(RegistryError, match="redirects a PUT to"):
        drive().client.put_manifest(
            Repository(proxy.address, fresh_path), "v1", media_types.OCI_MANIFEST, b"{}"
        )
    assert [] == stranger.seen


def test_52_redirects_without_end(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    proxy.on("GET", "/manifests/", redirect_to(proxy.url), times=100)

    with pytest.raises(RegistryError, match="more than 5 redirects"):
        drive().client.get_manifest(Repository(proxy.address, fresh_path), "v1")


def test_52_client_certificate_is_not_shown_elsewhere(
    ca: TestCA, registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    """Shown to its registry; the redirect's target, which would accept it as well, sees none."""
    import ssl

    content = noise(100, fresh_path.encode())
    shown: List[bool] = []
    store_blob(registry.address, fresh_path, content)
    with fault_proxy(registry.address, tls=ca) as secure, fault_proxy(
        registry.address, tls=ca, host="127.0.0.2"
    ) as cdn:
        for server in (secure, cdn):
            server.context.verify_mode = ssl.CERT_OPTIONAL
            server.context.load_verify_locations(ca.ca_file)

        def look(exchange: Exchange) -> bool:
            shown.append(bool(exchange.handler.connection.getpeercert()))
            return False

        secure.on("GET", "/blobs/", look)
        secure.on("GET", "/blobs/", redirect_to(cdn.url))
        cdn.on("GET", "/blobs/", look)
        options = RegistryOptions(
            secure.address,
            ca_file=str(ca.ca_file),
            client_cert=str(ca.cert_file),
            client_key=str(ca.key_file),
        )

        got = drive(options).client.get_small_blob(
            Repository(secure.address, fresh_path), blob(content), max_bytes=100
        )

    assert content == got
    assert [True, False] == shown
