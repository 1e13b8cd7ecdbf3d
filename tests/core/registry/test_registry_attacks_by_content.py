"""SECURITY section 1, group D, rows 53 to 56: bodies that bomb, lists that never end, manifests that are two things.

The canary is the test user's password. It may go to the registry it belongs to, and nowhere else, in no form.
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from functools import lru_cache
from typing import Callable, Dict

import pytest

from imagebuild.errors import AuthenticationError, ImageBuildError, MalformedError, RegistryError
from imagebuild.oci import media_types
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import Repository
from support.blobs import Driver, blob, known_user, manifest_of, noise, store_blob
from support.fault_proxy import Exchange, Fault, FaultProxy
from support.faults import BASIC, endless, redirect_to, status
from support.registry import PASSWORD, RealRegistry

MIB = 1 << 20
Drive = Callable[..., Driver]


@lru_cache(maxsize=None)
def gzipped() -> bytes:
    return gzip.compress(bytes(200 * MIB), 1)


@lru_cache(maxsize=None)
def deflated() -> bytes:
    return zlib.compress(bytes(200 * MIB), 1)


def bombs() -> Dict[str, Dict[str, str]]:
    """Headers; the body is 200 MB of zeros in 200 KB, in both of the formats that these names have."""
    return {
        "gzip": {"Content-Encoding": "gzip"},
        "fifty": {"Content-Encoding": ", ".join(["gzip"] * 50)},
        "deflate": {"Content-Encoding": "deflate"},
    }


@pytest.mark.parametrize("headers", bombs().values(), ids=bombs())
@pytest.mark.parametrize("code", [200, 307, 401, 500])
def test_53_content_encoding_is_never_undone(
    code: int,
    headers: Dict[str, str],
    proxy: FaultProxy,
    fresh_path: str,
    drive: Drive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """200 MB of zeros in 200 KB: as a manifest, as the body of a redirect, of a challenge and of an error."""
    bomb = deflated() if headers["Content-Encoding"] == "deflate" else gzipped()
    headers = {**headers, "Location": f"{proxy.url}/nowhere", "WWW-Authenticate": "Odd"}
    proxy.on("GET", "/manifests/", status(code, headers, bomb), times=9)

    def undo(*_: object) -> None:
        raise AssertionError("a body was decoded")

    monkeypatch.setattr("urllib3.response._get_decoder", undo)
    with pytest.raises(ImageBuildError):
        drive().client.get_manifest(Repository(proxy.address, fresh_path), "v1")
    assert {"identity"} == {seen.headers["accept-encoding"] for seen in proxy.seen}


def test_53_gzip_layer_comes_as_it_is(
    registry: RealRegistry, fresh_path: str, drive: Drive
) -> None:
    content = gzip.compress(noise(1000), mtime=0)
    store_blob(registry.address, fresh_path, content)

    assert content == drive().client.get_small_blob(
        Repository(registry.address, fresh_path), blob(content), max_bytes=5000
    )


def tag_page(number: int, link: str = "") -> Fault:
    body = json.dumps({"name": "x", "tags": [f"v{number}"]}).encode()
    return status(200, {"Link": link} if link else {}, body)


def test_54_tags_over_three_pages(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    base = f"/v2/{fresh_path}/tags/list?n=1000&last="
    proxy.on("GET", "last=b", tag_page(3))
    proxy.on("GET", "last=a", tag_page(2, f'<{proxy.url}{base}b>; rel="next"'))
    proxy.on("GET", "/tags/list", tag_page(1, f'<{base}a>; rel="next"'))

    assert ("v1", "v2", "v3") == drive().client.list_tags(Repository(proxy.address, fresh_path))


@pytest.mark.parametrize("scheme", ["http:", ""], ids=["absolute", "scheme-relative"])
def test_54_tags_elsewhere(
    scheme: str, proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on(
        "GET",
        "/tags/list",
        tag_page(1, f'<{scheme}//{stranger.address}/v2/x/tags/list>; rel="next"'),
    )

    with pytest.raises(RegistryError, match="leads elsewhere or has no end"):
        drive().client.list_tags(Repository(proxy.address, fresh_path))
    assert [] == stranger.seen


@pytest.mark.parametrize("step", [0, 1], ids=["circle", "ever on"])
def test_54_tags_without_end(step: int, proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    count = iter(range(1000))

    def more(exchange: Exchange) -> bool:
        return tag_page(1, f'</v2/x/tags/list?last={step * next(count)}>; rel="next"')(exchange)

    proxy.on("GET", "/tags/list", more, times=1000)

    with pytest.raises(RegistryError, match="leads elsewhere or has no end"):
        drive().client.list_tags(Repository(proxy.address, fresh_path))
    assert len(proxy.requests("GET", "/tags/list")) <= 100


LAYERS_AND_MANIFESTS = {**json.loads(manifest_of(blob(b"{}"))), "manifests": []}
CONFUSED = {
    "both at once": (media_types.OCI_MANIFEST, LAYERS_AND_MANIFESTS),
    "both, as an index": (
        media_types.OCI_INDEX,
        {**LAYERS_AND_MANIFESTS, "mediaType": media_types.OCI_INDEX},
    ),
    "sent as another type": (media_types.OCI_INDEX, json.loads(manifest_of(blob(b"{}")))),
    "schema 1": (
        "application/vnd.docker.distribution.manifest.v1+json",
        {"schemaVersion": 1, "fsLayers": []},
    ),
    "not an object": (media_types.OCI_MANIFEST, [1]),
    "number": (media_types.OCI_MANIFEST, 5),
}


@pytest.mark.parametrize(("content_type", "document"), CONFUSED.values(), ids=CONFUSED)
def test_55_manifest_that_is_two_things(
    content_type: str, document: object, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on(
        "GET",
        "/manifests/",
        status(200, {"Content-Type": content_type}, json.dumps(document).encode()),
    )

    with pytest.raises(MalformedError, match=f'pulling "{proxy.address}/{fresh_path}:v1": '):
        drive().client.get_manifest(Repository(proxy.address, fresh_path), "v1")


@pytest.mark.parametrize(
    "content_type",
    [
        media_types.OCI_MANIFEST,
        media_types.OCI_MANIFEST + "; charset=utf-8",
        "application/json",
        "",
    ],
)
def test_55_manifest_without_a_media_type(
    content_type: str, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    document = json.loads(manifest_of(blob(b"{}")))
    del document["mediaType"]
    proxy.on(
        "GET",
        "/manifests/",
        status(200, {"Content-Type": content_type}, json.dumps(document).encode()),
    )

    found = drive().client.get_manifest(Repository(proxy.address, fresh_path), "v1")
    assert media_types.OCI_MANIFEST == found.descriptor.media_type


@pytest.mark.parametrize("kind", [media_types.DOCKER_MANIFEST, media_types.DOCKER_INDEX])
def test_55_docker_types_are_kept(
    kind: str, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    document: Dict[str, object] = {"schemaVersion": 2, "mediaType": kind, "manifests": []}
    if kind == media_types.DOCKER_MANIFEST:
        document = {**json.loads(manifest_of(blob(b"{}"))), "mediaType": kind}
    proxy.on(
        "GET", "/manifests/", status(200, {"Content-Type": kind}, json.dumps(document).encode())
    )

    assert (
        kind
        == drive()
        .client.get_manifest(Repository(proxy.address, fresh_path), "v1")
        .descriptor.media_type
    )


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unannounced"])
def test_56_manifest_of_a_gibibyte(
    announced: bool, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    stop = threading.Event()
    fault = (
        status(200, {"Content-Length": str(1 << 30)}, b"{")
        if announced
        else endless(b"x" * MIB, 0, stop)
    )
    proxy.on("GET", "/manifests/", fault, times=9)

    with pytest.raises(MalformedError, match="the answer is too long"):
        drive().client.get_manifest(Repository(proxy.address, fresh_path), "v1")
    stop.set()


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"null", b"NaN"],
    ids=lambda body: repr(body[:6]),
)
def test_56_manifest_that_is_no_json(
    body: bytes, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("GET", "/manifests/", status(200, {"Content-Type": media_types.OCI_MANIFEST}, body))

    with pytest.raises(MalformedError):
        drive().client.get_manifest(Repository(proxy.address, fresh_path), "v1")


def test_56_manifest_of_127_layers(proxy: FaultProxy, fresh_path: str, drive: Drive) -> None:
    client, repo = drive().client, Repository(proxy.address, fresh_path)
    layers = [blob(b"%d" % number) for number in range(127)]
    raw = manifest_of(blob(b"{}"), *layers)
    proxy.on("GET", "/manifests/", status(200, {"Content-Type": media_types.OCI_MANIFEST}, raw))

    assert raw == client.get_manifest(repo, str(Hash.of(raw))).raw


def test_error_that_echoes_the_password(basic: FaultProxy, fresh_path: str, drive: Drive) -> None:
    """Also no message, log line or URL shows it, whatever the server sends back."""
    echo = f"{PASSWORD} and {BASIC} at http://x:{PASSWORD}@y/".encode()
    body = json.dumps({"errors": [{"code": "DENIED", "message": echo.decode()}]}).encode()
    basic.on("GET", "/manifests/", status(403, {}, body), times=9)
    driver = drive(credentials=known_user(basic.address))

    with pytest.raises(AuthenticationError) as error:
        driver.client.get_manifest(Repository(basic.address, fresh_path), "v1")

    shown = f"{error.value} {error.value!r} {vars(error.value)} {driver.lines}"
    assert PASSWORD not in shown
    assert BASIC.partition(" ")[2] not in shown
    assert "DENIED *** and Basic ***" in shown


def test_signature_in_a_redirect_is_not_shown(
    proxy: FaultProxy, stranger: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    proxy.on("GET", "/blobs/", redirect_to(f"{stranger.url}/b?X-Signature=canary"))
    driver = drive()

    with pytest.raises(RegistryError) as error:
        driver.client.get_small_blob(
            Repository(proxy.address, fresh_path), blob(b"x"), max_bytes=10
        )
    assert f"{stranger.url}/b" == error.value.url
    assert "canary" not in f"{error.value} {vars(error.value)} {driver.lines}"
