"""SECURITY section 1, group D, rows 48 to 51: where credentials and uploads may go.

The canary is the test user's password. It may go to the registry it belongs to, and nowhere else, in no form.
"""

from __future__ import annotations

import io
import json
from typing import Callable

import pytest

from imagebuild.errors import AuthenticationError, RegistryError
from imagebuild.oci import media_types
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import RegistryOptions
from support.blobs import Driver, blob, known_user, manifest_of, noise, store_blob
from support.fault_proxy import Answered, FaultProxy, fault_proxy
from support.faults import TokenRealm, changed, redirect_to, saw_secret, status
from support.registry import RealRegistry, TestCA

MIB = 1 << 20
Drive = Callable[..., Driver]


def test_48_urls_of_foreign_layers_are_never_fetched(
    proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    client, repo = drive(credentials=known_user(proxy.address)).client, Repository(
        proxy.address, fresh_path
    )
    layer = {**blob(b"foreign").to_json(), "urls": [f"{stranger.url}/b"]}
    document = {**json.loads(manifest_of(blob(b"{}"))), "layers": [layer]}
    raw = json.dumps(document).encode()
    proxy.on("GET", "/manifests/", status(200, {"Content-Type": media_types.OCI_MANIFEST}, raw))

    assert raw == client.get_manifest(repo, "v1").raw
    with pytest.raises(RegistryError):
        client.get_small_blob(repo, blob(b"foreign"), max_bytes=100)
    assert [] == stranger.seen


def test_49_realm_elsewhere_gets_no_credentials(
    proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    TokenRealm(proxy, stranger).install()

    with pytest.raises(AuthenticationError) as error:
        drive(credentials=known_user(proxy.address)).client.get_manifest(
            Repository(proxy.address, fresh_path), "v1"
        )

    assert [("GET", "/token")] == [
        (seen.method, seen.path.partition("?")[0]) for seen in stranger.seen
    ]
    assert not saw_secret(stranger)
    assert f"add it to `auth_hosts` of {proxy.address}" in error.value.hint


def test_49_realm_elsewhere_gets_no_identity_token(
    proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    from imagebuild.registry.client import Credential, CredentialStore

    realm = TokenRealm(proxy, stranger).install()
    who = CredentialStore.of({proxy.address: Credential(identity_token=realm.refresh_token)})

    with pytest.raises(AuthenticationError):
        drive(credentials=who).client.get_manifest(Repository(proxy.address, fresh_path), "v1")
    assert not saw_secret(stranger)


def test_49_realm_without_tls(
    ca: TestCA, registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    with fault_proxy(registry.address, tls=ca) as secure, fault_proxy() as plain:
        TokenRealm(secure, plain, anonymous=True).install()
        options = RegistryOptions(
            secure.address, ca_file=str(ca.ca_file), auth_hosts=(plain.address,)
        )
        client = drive(options, credentials=known_user(secure.address)).client

        with pytest.raises(AuthenticationError, match="which is refused: it is not encrypted"):
            client.get_manifest(Repository(secure.address, fresh_path), "v1")
        assert [] == plain.seen


@pytest.mark.parametrize(
    "realm",
    [
        "ftp://127.0.0.1/t",
        "//127.0.0.1/t",
        "/token",
        "http://user:pw@127.0.0.1/t",
        "http://127.0.0.1\\@x/",
        "http:///t",
        "http://127.0.0.1:x/",
    ],
)
def test_49_odd_realm(realm: str, proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    TokenRealm(proxy, proxy, realm=realm).install()

    with pytest.raises(AuthenticationError, match="as its token server, which is refused"):
        drive(credentials=known_user(proxy.address)).client.get_manifest(
            Repository(proxy.address, fresh_path), "v1"
        )


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_50_token_server_that_redirects(
    code: int, proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("GET", "^/token", redirect_to(stranger.url, code), times=9)
    TokenRealm(proxy, proxy).install()

    with pytest.raises(AuthenticationError, match="the token server redirects, which is refused"):
        drive(credentials=known_user(proxy.address)).client.get_manifest(
            Repository(proxy.address, fresh_path), "v1"
        )
    assert [] == stranger.seen


@pytest.mark.parametrize("size", [1000, 6 * MIB], ids=["one request", "chunk"])
def test_51_upload_elsewhere_goes_without_credentials(
    size: int, basic: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """Also the twin: a signed URL on another host takes the upload."""
    client, repo, content = (
        drive(credentials=known_user(basic.address)).client,
        Repository(basic.address, fresh_path),
        noise(size),
    )
    target = f"{stranger.url}/u?signature=canary-free"
    basic.on("POST", "/blobs/uploads/", status(202, {"Location": target}), times=9)
    stranger.on("PATCH", "^/u", status(202, {"Location": target, "Range": f"0-{size - 1}"}))
    stranger.on(
        "PUT",
        "^/u",
        lambda exchange: bool(store_blob_from(basic, fresh_path, content))
        and status(201)(exchange),
    )

    assert "uploaded" == client.push_blob(repo, blob(content), lambda: io.BytesIO(content))
    assert content == b"".join(seen.body for seen in stranger.seen)
    assert not saw_secret(stranger)


def store_blob_from(proxy: FaultProxy, path: str, content: bytes) -> bool:
    """The signed URL's store and the registry's are the same."""
    return bool(store_blob(proxy.upstream, path, content))


def test_51_relative_upload_location(basic: FaultProxy, fresh_path: str, drive: Drive) -> None:
    client, repo = drive(credentials=known_user(basic.address)).client, Repository(
        basic.address, fresh_path
    )

    def relative(answered: Answered) -> Answered:
        location = answered.header("location").replace(basic.url, "")
        return Answered(answered.status, (("Location", location),), b"")

    basic.on("POST", "/blobs/uploads/", changed(relative))
    assert "uploaded" == client.push_blob(repo, blob(b"relative"), lambda: io.BytesIO(b"relative"))


def test_51_upload_location_without_tls(
    ca: TestCA, registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    with fault_proxy(registry.address, tls=ca) as secure, fault_proxy() as plain:
        secure.on("POST", "/blobs/uploads/", status(202, {"Location": f"{plain.url}/u"}))
        client = drive(RegistryOptions(secure.address, ca_file=str(ca.ca_file))).client

        with pytest.raises(RegistryError, match="sent unencrypted"):
            client.push_blob(
                Repository(secure.address, fresh_path), blob(b"x"), lambda: io.BytesIO(b"x")
            )
        assert [] == plain.seen
