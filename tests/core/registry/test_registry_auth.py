"""The bearer token flow, with a token server that knows one user, in front of a real registry."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Optional

import pytest

from imagebuild.errors import AuthenticationError
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import Credential, CredentialStore, RegistryOptions
from support.blobs import Driver, blob, known_user, noise, push_image
from support.fault_proxy import Exchange, FaultProxy
from support.faults import BASIC, TokenRealm, status
from support.registry import RealRegistry

MIB = 1 << 20
Drive = Callable[..., Driver]


def test_push_and_pull_with_tokens(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    TokenRealm(proxy, proxy).install()
    driver, repo = drive(credentials=known_user(proxy.address)), Repository(
        proxy.address, fresh_path
    )

    raw = push_image(driver.client, repo, "v1")
    assert raw == driver.client.get_manifest(repo, "v1").raw

    tokens = proxy.requests("GET", "^/token")
    assert [{"service": ["tests"], "scope": [f"repository:{fresh_path}:pull,push"]}] == [
        seen.query for seen in tokens
    ]
    assert [BASIC] == [seen.headers["authorization"] for seen in tokens]
    # The first request learns of the challenge; nothing after it is answered with a 401.
    assert [""] == [
        s.headers.get("authorization", "")
        for s in proxy.requests("", "^/v2/")
        if "authorization" not in s.headers
    ]


def test_anonymous_token(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    TokenRealm(proxy, proxy, anonymous=True).install()

    assert drive().client.head_manifest(Repository(proxy.address, fresh_path), "v1") is None


def test_identity_token_is_exchanged_by_post(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    realm = TokenRealm(proxy, proxy).install()
    who = CredentialStore.of({proxy.address: Credential(identity_token=realm.refresh_token)})
    repo = Repository(proxy.address, fresh_path)

    push_image(drive(credentials=who).client, repo, "v1")

    (asked,) = proxy.requests("POST", "^/token$")
    assert "authorization" not in asked.headers
    assert b"grant_type=refresh_token&service=tests&client_id=pants-kaniko" in asked.body


def test_registry_token_is_used_as_it_is(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    realm = TokenRealm(proxy, proxy).install()
    realm.valid["given"] = {f"repository:{fresh_path}:pull"}
    who = CredentialStore.of({proxy.address: Credential(registry_token="given")})

    assert (
        drive(credentials=who).client.head_manifest(Repository(proxy.address, fresh_path), "v1")
        is None
    )
    assert [] == proxy.requests("", "^/token")


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
def test_token_that_ends_in_the_middle_of_a_push(
    method: str, registry: RealRegistry, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """F16: one new token, and the body goes out again from its start."""
    content = noise(6 * MIB, fresh_path.encode())

    def revoke(_: Exchange) -> bool:
        realm.revoke()
        return False

    # The very first request has no token yet: its answer says that one is needed.
    proxy.on(method, "/blobs/", revoke, after=1 if method == "HEAD" else 0)
    realm = TokenRealm(proxy, proxy).install()
    driver, repo = drive(credentials=known_user(proxy.address)), Repository(
        proxy.address, fresh_path
    )

    assert "uploaded" == driver.client.push_blob(repo, blob(content), lambda: io.BytesIO(content))
    assert content == registry.blob_path(str(blob(content).digest)).read_bytes()
    assert 2 == len(proxy.requests("GET", "^/token"))
    assert [] == driver.waits


@pytest.mark.parametrize(
    ("expires_in", "asked"), [(300, 1), (10, 2), (None, 2)], ids=["300 s", "10 s", "not said: 60 s"]
)
def test_token_is_renewed_before_it_expires(
    expires_in: Optional[int], asked: int, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    now = [0.0]
    TokenRealm(proxy, proxy, expires_in=expires_in).install()
    client = drive(credentials=known_user(proxy.address), clock=lambda: now[0]).client
    repo = Repository(proxy.address, fresh_path)
    client.head_manifest(repo, "v1")

    now[0] = 59.0
    client.head_manifest(repo, "v1")

    assert asked == len(proxy.requests("GET", "^/token"))
    assert asked + 3 == len(proxy.seen), "an expired token was sent"


def test_threads_share_one_token(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    TokenRealm(proxy, proxy).install()
    client, repo = drive(credentials=known_user(proxy.address)).client, Repository(
        proxy.address, fresh_path
    )

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: client.head_manifest(repo, f"v{number}"), range(24)))

    assert [None] * 24 == found
    assert 1 == len(proxy.requests("GET", "^/token"))


def test_push_token_serves_for_pulling(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    TokenRealm(proxy, proxy).install()
    client, repo = drive(credentials=known_user(proxy.address)).client, Repository(
        proxy.address, fresh_path
    )
    push_image(client, repo, "v1")

    assert client.has_blob(repo, blob(b"{}").digest)
    assert 1 == len(proxy.requests("GET", "^/token"))


def test_mount_asks_for_both_repositories(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    TokenRealm(proxy, proxy).install()
    client, source = drive(credentials=known_user(proxy.address)).client, Repository(
        proxy.address, fresh_path
    )
    target, content = Repository(proxy.address, f"{fresh_path}-target"), fresh_path.encode()
    client.push_blob(source, blob(content), lambda: io.BytesIO(content))

    assert "mounted" == client.push_blob(
        target, blob(content), lambda: io.BytesIO(content), mount_from=[source]
    )
    scopes = [seen.query["scope"] for seen in proxy.requests("GET", "^/token")]
    assert [f"repository:{target.path}:pull,push", f"repository:{source.path}:pull"] == scopes[-1]


def test_wrong_password(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    TokenRealm(proxy, proxy).install()
    who = CredentialStore.of({proxy.address: Credential("canary-user", "canary-wrong")})

    with pytest.raises(AuthenticationError) as error:
        drive(credentials=who).client.get_manifest(Repository(proxy.address, fresh_path), "v1")

    assert (
        f'getting a token for {proxy.address}: {proxy.url} does not accept the credentials of "canary-user"'
        == error.value.message
    )
    assert 77 == error.value.exit_code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 5}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": "\xc3\xa9"}',
        b"\xff",
    ],
    ids=["empty", "list", "none", "number", "header injection", "not ASCII", "not text"],
)
def test_token_answer_without_a_token(
    body: bytes, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("GET", "^/token", status(200, {}, body), times=9)
    TokenRealm(proxy, proxy, anonymous=True).install()

    with pytest.raises(AuthenticationError, match="holds no token"):
        drive().client.get_manifest(Repository(proxy.address, fresh_path), "v1")


def test_token_server_on_a_listed_host(
    proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    """The twin of row 49: registry and token server under two names, as Docker Hub has it."""
    TokenRealm(proxy, stranger).install()
    options = RegistryOptions(proxy.address, auth_hosts=(stranger.address,))
    client = drive(options, credentials=known_user(proxy.address)).client

    push_image(client, Repository(proxy.address, fresh_path), "v1")
    assert BASIC in stranger.all_bytes()


def test_anonymous_token_from_an_unlisted_host(
    proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    TokenRealm(proxy, stranger, anonymous=True).install()

    who = known_user(proxy.address)
    assert (
        drive(credentials=who).client.head_manifest(Repository(proxy.address, fresh_path), "v1")
        is None
    )
    assert "canary" not in stranger.all_bytes().replace("canary-token", "")
