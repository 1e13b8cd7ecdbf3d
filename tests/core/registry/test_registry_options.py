"""Mirrors, plain HTTP, proxies, client certificates: what `RegistryOptions` and `Proxies` change."""

from __future__ import annotations

import io
import ssl
from pathlib import Path
from typing import Callable

import pytest

from imagebuild import canonical
from imagebuild.errors import NotFoundError, UnreachableError, UsageError
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import Proxies, RegistryOptions
from support.blobs import Driver, blob, known_user, noise, push_image, store_blob
from support.fault_proxy import Exchange, FaultProxy, fault_proxy
from support.faults import redirect_to, short_body, status
from support.registry import RealRegistry, TestCA, free_port

Drive = Callable[..., Driver]


def test_options_cross_as_json() -> None:
    options = RegistryOptions(
        "localhost:5000", True, "ca", "cert", "key", ("m/x",), ("auth.example",)
    )

    assert options == canonical.loads(RegistryOptions, canonical.dumps(options))


def test_mirror_comes_first(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    push_image(drive().client, Repository(proxy.address, f"mirrored/{fresh_path}"), "v1")
    client = drive(
        RegistryOptions("nowhere.invalid", mirrors=(f"{proxy.address}/mirrored",))
    ).client
    repo = Repository("nowhere.invalid", fresh_path)

    found = client.get_manifest(repo, "v1")
    assert found.descriptor == client.head_manifest(repo, "v1")
    assert found.descriptor == client.get_manifest(repo, str(found.descriptor.digest)).descriptor
    assert b"{}" == client.get_small_blob(repo, blob(b"{}"), max_bytes=10)


MIRROR_FAULTS = {
    "has nothing": status(404),
    "forbids": status(403),
    "is broken": status(500),
    "sends other bytes": status(200, {}, b"x" * 100_000),
    "sends other sizes": status(200, {}, b"x"),
    "breaks off": short_body(30_000),
}


@pytest.mark.parametrize("fault", MIRROR_FAULTS.values(), ids=MIRROR_FAULTS)
def test_mirror_that_does_not_help(
    fault: Callable[[Exchange], bool], registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    """The blob comes from the registry, whole, into a file that may have bytes before it."""
    content = noise(100_000, fresh_path.encode())
    store_blob(registry.address, fresh_path, content)
    with fault_proxy(registry.address) as mirror:
        mirror.on("GET", "/blobs/", fault, times=99)
        driver = drive(RegistryOptions(registry.address, mirrors=(mirror.address,)))
        sink = io.BytesIO(b"before")
        sink.seek(0, 2)

        driver.client.get_blob(Repository(registry.address, fresh_path), blob(content), sink)

        assert b"before" + content == sink.getvalue()
        assert f"passing over the mirror {mirror.address}" in driver.lines[-1]


def test_mirror_that_is_down_is_asked_once(
    registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    push_image(drive().client, Repository(registry.address, fresh_path), "v1")
    driver = drive(RegistryOptions(registry.address, mirrors=(f"127.0.0.1:{free_port()}",)))
    repo = Repository(registry.address, fresh_path)

    driver.client.get_manifest(repo, "v1")
    waited = len(driver.waits)
    driver.client.get_manifest(repo, "v1")

    assert waited == len(driver.waits)


def test_mirror_gets_its_own_credentials_only(
    basic: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    options = RegistryOptions(basic.address, mirrors=(stranger.address,))
    driver = drive(options, credentials=known_user(basic.address))
    raw = push_image(driver.client, Repository(basic.address, fresh_path), "v1")

    assert raw == driver.client.get_manifest(Repository(basic.address, fresh_path), "v1").raw
    assert stranger.seen
    assert not any("authorization" in seen.headers for seen in stranger.seen)


def test_nothing_is_pushed_to_a_mirror(
    registry: RealRegistry, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    options = RegistryOptions(registry.address, mirrors=(stranger.address,))

    push_image(drive(options).client, Repository(registry.address, fresh_path), "v1")
    assert [] == stranger.seen


def test_unknown_tag_names_the_registry_and_not_the_mirror(
    registry: RealRegistry, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    options = RegistryOptions(registry.address, mirrors=(stranger.address,))

    with pytest.raises(NotFoundError, match=f"http://{registry.address} does not have it"):
        drive(options).client.get_manifest(Repository(registry.address, fresh_path), "v1")


@pytest.mark.parametrize(
    "address", ["", "http://x.example", "x.example/path", "a b", "user@x.example"]
)
def test_address_that_is_no_host(address: str, drive: Drive) -> None:
    with pytest.raises(UsageError, match="registry address"):
        drive(RegistryOptions(address))


def test_plain_http_needs_insecure(registry: RealRegistry, fresh_path: str, drive: Drive) -> None:
    """Only loopback is excused. A proxy stands in for the network: it takes any name to the test registry."""
    repo = Repository("registry.example", fresh_path)
    with fault_proxy(registry.address) as network:
        network.on("CONNECT", "", status(502), times=99)
        with pytest.raises(UnreachableError):
            drive(proxies=Proxies(http=network.url, https=network.url)).client.head_manifest(
                repo, "v1"
            )
        assert ["CONNECT"] * 5 == [seen.method for seen in network.seen]
        network.seen.clear()
        insecure = RegistryOptions("registry.example", insecure=True)
        proxies = Proxies(http=network.url, https=network.url)
        assert drive(insecure, proxies=proxies).client.head_manifest(repo, "v1") is None
        assert network.requests("HEAD")[0].path.startswith("http://registry.example/v2/")


def test_tls_registry_on_loopback_is_found_without_options(
    ca: TestCA, registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    """... and its certificate is checked: plain HTTP is not a way around that."""
    with fault_proxy(registry.address, tls=ca) as secure:
        with pytest.raises(UnreachableError) as error:
            drive().client.head_manifest(Repository(secure.address, fresh_path), "v1")
        assert "certificate" == error.value.kind
        assert [] == secure.seen


def test_ca_of_a_registry_is_believed_for_its_storage_too(
    ca: TestCA, registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    content = noise(10, fresh_path.encode())
    store_blob(registry.address, fresh_path, content)
    with fault_proxy(registry.address, tls=ca) as secure, fault_proxy(
        registry.address, tls=ca
    ) as storage:
        secure.on("GET", "/blobs/", redirect_to(storage.url))
        client = drive(RegistryOptions(secure.address, ca_file=str(ca.ca_file))).client

        assert content == client.get_small_blob(
            Repository(secure.address, fresh_path), blob(content), max_bytes=10
        )


def test_client_certificate(
    ca: TestCA, registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    with fault_proxy(registry.address, tls=ca) as secure:
        secure.context.verify_mode = ssl.CERT_REQUIRED
        secure.context.load_verify_locations(ca.ca_file)
        bare = RegistryOptions(secure.address, ca_file=str(ca.ca_file))
        known = RegistryOptions(
            secure.address,
            ca_file=str(ca.ca_file),
            client_cert=str(ca.cert_file),
            client_key=str(ca.key_file),
        )
        repo = Repository(secure.address, fresh_path)

        assert drive(known).client.head_manifest(repo, "v1") is None
        with pytest.raises(UnreachableError):
            drive(bare).client.head_manifest(repo, "v1")


@pytest.mark.parametrize("name", ["ca_file", "client_cert"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM"], ids=["missing", "empty", "not PEM"])
def test_certificate_file_that_can_not_be_used(
    content: object, name: str, tmp_path: Path, drive: Drive
) -> None:
    path = tmp_path / "file.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)

    with pytest.raises(UsageError) as error:
        drive(
            RegistryOptions("localhost:1", insecure=True, **{name: str(path)})  # type: ignore[arg-type]
        ).client.head_manifest(Repository("localhost:1", "app"), "v1")
    assert f'certificate files "{path}" can\'t be used' in error.value.message


NO_PROXY = {
    "*": True,
    "registry.example": True,
    ".example": True,
    "*.example": True,
    "example": True,
    "registry.example:5000": True,
    "registry.example:5001": False,
    "other.example": False,
    "istry.example": False,
    "": False,
}


@pytest.mark.parametrize(("rule", "direct"), NO_PROXY.items(), ids=NO_PROXY)
def test_no_proxy(rule: str, direct: bool) -> None:
    proxies = Proxies.from_environment({"HTTPS_PROXY": "http://p:1", "NO_PROXY": f"a.test, {rule}"})

    assert direct == (proxies.proxy_for("https", "Registry.example", 5000) == "")


@pytest.mark.parametrize(
    ("rule", "host", "direct"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("::1", "::1", True),
        ("[::1]:5000", "::1", True),
        ("10.0.0.0/8", "x.example", False),
    ],
)
def test_no_proxy_for_addresses(rule: str, host: str, direct: bool) -> None:
    proxies = Proxies(https="http://p:1", no_proxy=(rule,))

    assert direct == (proxies.proxy_for("https", host, 5000) == "")


def test_proxies_of_the_environment() -> None:
    proxies = Proxies.from_environment(
        {
            "http_proxy": "http://a:1",
            "HTTP_PROXY": "http://evil:1",
            "https_proxy": "http://u:pw@b:1",
        }
    )

    assert ("http://a:1", "http://u:pw@b:1") == (proxies.http, proxies.https)
    assert "pw" not in repr(proxies)
    assert (
        "" == Proxies.from_environment({"HTTP_PROXY": "http://evil:1"}).http
    ), "set by a CGI request's Proxy header"
