"""Files behind the URLs of ADD, from real servers: good ones, broken ones and hostile ones."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tracemalloc
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Optional, Tuple

import pytest

from imagebuild.errors import ChecksumError, RemoteError
from imagebuild.execute.effects import Effects
from imagebuild.execute.remotes import fetched_tree, pin_remotes
from imagebuild.execute.requests import RemotesRequest
from imagebuild.llb.plan import HttpSource
from imagebuild.llb.remote import identity
from imagebuild.registry.proxies import Proxies
from imagebuild.registry.transport import Transport
from imagebuild.remote.http import HttpFetch, Visit
from support.fault_proxy import Answered, Exchange, Fault, FaultProxy, fault_proxy
from support.faults import redirect_to, reset, status
from support.registry import TestCA
from support.remote_trees import members, mtimes
from support.stores import files_in

Machines = Callable[..., Effects]
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
DATE_SECONDS = 1445412480
ALWAYS = 1 << 30


def checksum_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def serve(web: FaultProxy, path: str, data: bytes, **headers: str) -> HttpSource:
    """Have `web` answer as servers of files do: validators, conditions and ranges."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(exchange: Exchange) -> bool:
        asked = exchange.seen.headers
        if "etag" in named and asked.get("if-none-match") == named["etag"]:
            return exchange.answer(Answered(304, tuple(named.items())))
        if "last-modified" in named and asked.get("if-modified-since") == named["last-modified"]:
            return exchange.answer(Answered(304, tuple(named.items())))
        start = int(asked.get("range", "bytes=0-")[len("bytes=") : -1])
        if start and asked.get("if-range") in named.values():
            ranged = ("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            return exchange.answer(Answered(206, (*named.items(), ranged), data[start:]))
        return exchange.answer(Answered(200, tuple(named.items()), data))

    web.on("GET", f"^{path}$", answer, times=ALWAYS)
    return HttpSource(web.url + path, path.rpartition("/")[2])


def pin(source: HttpSource, effects: Effects, epoch: Optional[int] = 0) -> HttpSource:
    made = pin_remotes(RemotesRequest((source,), epoch), effects).sources[0]
    assert isinstance(made, HttpSource)
    return made


def fetch(
    url: str,
    file: BinaryIO,
    *,
    checksum: str = "",
    proxies: Optional[Proxies] = None,
    **options: Any,
) -> Optional[Visit]:
    """Download without waiting between attempts."""
    transport = Transport(
        (), proxies or Proxies(), user_agent="t", sleep=lambda _: None, log=lambda _: None
    )
    known = options.pop("known", None)
    with contextlib.closing(transport):
        return HttpFetch(transport, HttpSource(url, "f", checksum), file, **options).run(known)


# --- what lands -------------------------------------------------------------------------------------------------------


def test_a_file_is_a_tree_of_one_file(web: FaultProxy, machine: Machines) -> None:
    here, source = machine(), serve(web, "/d/tool.bin", b"bytes", last_modified=DATE)

    pinned = pin(source, here)
    layer = fetched_tree(pinned, 0, here)

    assert replace(source, checksum=checksum_of(b"bytes")) == pinned
    assert {"tool.bin": ("f", 0o600, b"bytes")} == members(here.store, layer)
    assert 1 == len(web.seen), "what was fetched to find out its digest is not fetched again"


@pytest.mark.parametrize(
    "epoch, header, expected",
    [
        (None, DATE, DATE_SECONDS),
        (None, "", 0),
        (None, "yesterday", 0),
        (None, "Fri, 31 Dec 99999 00:00:00 GMT", 0),
        (315532800, DATE, 315532800),
        (315532800, "", 315532800),
    ],
)
def test_the_time_of_a_file(
    epoch: Optional[int], header: str, expected: int, web: FaultProxy, machine: Machines
) -> None:
    """Last-Modified where real times are wanted; else one time, so that a server's clock changes no layer."""
    headers = {"last_modified": header} if header else {}
    here, source = machine(), serve(web, "/f", b"x", **headers)

    layer = fetched_tree(pin(source, here, epoch), epoch, here)

    assert {"f": expected} == mtimes(here.store, layer)


def test_the_same_bytes_have_the_same_key_whenever_and_wherever_they_come_from(
    web: FaultProxy, machine: Machines
) -> None:
    one = serve(web, "/one/f", b"same", etag='"1"', last_modified=DATE)
    two = serve(web, "/two/f", b"same", etag='"2"')
    here, there = machine("here"), machine("there")

    first, second = pin(one, here), pin(two, there)

    assert identity(first) == identity(second)
    assert fetched_tree(first, 0, here) == fetched_tree(second, 0, there)
    assert identity(first) == identity(replace(one, checksum=checksum_of(b"same")))
    assert identity(first) != identity(replace(first, name="g"))


def test_a_url_that_is_not_ascii(web: FaultProxy, machine: Machines) -> None:
    serve(web, "/%C3%A4/a%2520b", b"x")

    assert (
        checksum_of(b"x") == pin(HttpSource(f"{web.url}/ä/a%2520b#part", "n"), machine()).checksum
    )


def test_a_content_encoding_is_not_undone(web: FaultProxy, machine: Machines) -> None:
    source = serve(web, "/f.gz", b"\x1f\x8bnot really", content_encoding="gzip")

    assert checksum_of(b"\x1f\x8bnot really") == pin(source, machine()).checksum
    assert "identity" == web.seen[0].headers["accept-encoding"]


# --- how often it is asked for ----------------------------------------------------------------------------------------


def test_with_a_checksum_nothing_is_asked_until_the_bytes_are_needed(
    web: FaultProxy, machine: Machines
) -> None:
    source = replace(serve(web, "/f", b"x"), checksum=checksum_of(b"x"))
    here = machine()

    assert source == pin(source, here)
    assert [] == web.seen
    first = fetched_tree(source, 0, here)
    assert 1 == len(web.seen)
    assert first == fetched_tree(pin(source, here), 0, here)
    assert 1 == len(web.seen)


@pytest.mark.parametrize(
    "headers, asked",
    [
        ({"etag": '"v1"', "last_modified": DATE}, {"if-none-match": '"v1"'}),
        ({"etag": 'W/"v1"'}, {"if-none-match": 'W/"v1"'}),
        ({"last_modified": DATE}, {"if-modified-since": DATE}),
    ],
)
def test_without_a_checksum_the_server_is_asked_whether_it_changed(
    headers: Dict[str, str], asked: Dict[str, str], web: FaultProxy, machine: Machines
) -> None:
    source, here = serve(web, "/f", b"x", **headers), machine()

    first, again = pin(source, here), pin(source, here)

    assert first == again
    assert asked.items() <= web.seen[1].headers.items()
    fetched_tree(again, 0, here)
    assert 2 == len(web.seen)


def test_a_file_that_changed_is_another(web: FaultProxy, machine: Machines) -> None:
    source, here = serve(web, "/f", b"x", etag='"1"'), machine()
    first = pin(source, here)
    web.rules.clear()
    serve(web, "/f", b"y", etag='"2"')

    again = pin(source, here)

    assert checksum_of(b"y") == again.checksum
    assert identity(first) != identity(again)


def test_a_server_without_validators_gives_it_again(web: FaultProxy, machine: Machines) -> None:
    source, here = serve(web, "/f", b"x"), machine()

    assert pin(source, here) == pin(source, here)
    assert ["if-none-match" in seen.headers for seen in web.seen] == [False, False]


def test_what_the_store_lost_is_not_asked_for_conditionally(
    web: FaultProxy, machine: Machines
) -> None:
    source, here = serve(web, "/f", b"x", etag='"1"'), machine()
    layer = fetched_tree(pin(source, here), 0, here)
    Path(here.store.blob_path(layer.descriptor.digest)).unlink()

    assert layer == fetched_tree(pin(source, here), 0, here)
    assert ["if-none-match" in seen.headers for seen in web.seen] == [False, False]


def test_several_at_once(web: FaultProxy, machine: Machines) -> None:
    sources = tuple(serve(web, f"/{n}", bytes([n])) for n in range(20))

    made = pin_remotes(RemotesRequest(sources, 0), machine()).sources

    assert [checksum_of(bytes([n])) for n in range(20)] == [one.checksum for one in made]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_another_file_than_the_checksum_names(web: FaultProxy, machine: Machines) -> None:
    expected = checksum_of(b"good")
    source, here = replace(serve(web, "/f", b"evil"), checksum=expected), machine()

    with pytest.raises(ChecksumError) as caught:
        fetched_tree(source, 0, here)
    assert expected in str(caught.value)
    assert checksum_of(b"evil") in str(caught.value)
    assert source.url in str(caught.value)
    assert [] == files_in(here.store, "blobs", "sha256") + files_in(here.store, "records")


def test_it_is_resumed_where_it_broke_off(web: FaultProxy) -> None:
    data, file = bytes(range(256)) * 4096, BytesIO()
    web.on("GET", "/f", _cut(data, 300_000, etag='"1"'))
    serve(web, "/f", data, etag='"1"')

    visit = fetch(f"{web.url}/f", file, checksum=checksum_of(data))

    assert visit is not None
    assert data == file.getvalue()
    asked = web.seen[1].headers
    assert '"1"' == asked["if-range"]
    assert 0 < int(asked["range"][len("bytes=") : -1]) <= 300_000


@pytest.mark.parametrize("etag", ["", 'W/"1"', '"2"'], ids=["none", "weak", "of another file"])
def test_it_begins_anew_where_the_rest_may_be_of_another_file(etag: str, web: FaultProxy) -> None:
    data, file = bytes(range(256)) * 64, BytesIO()
    headers = {"etag": etag} if etag else {}
    web.on("GET", "/f", _cut(b"\0" * len(data), 5000, **headers))
    serve(web, "/f", data, etag='"3"')

    fetch(f"{web.url}/f", file, checksum=checksum_of(data))

    assert data == file.getvalue()


def _cut(data: bytes, size: int, **headers: str) -> Fault:
    def fault(exchange: Exchange) -> bool:
        return exchange.answer(Answered(200, tuple(headers.items()), data), cut_after=size)

    return fault


def test_a_wrong_range_is_refused(web: FaultProxy) -> None:
    data = b"0123456789" * 1000
    web.on("GET", "/f", _cut(data, 5000, etag='"1"'))
    wrong = status(206, {"Content-Range": "bytes 1-5/6", "ETag": '"1"'}, b"evil!")
    web.on("GET", "/f", wrong, times=ALWAYS)

    with pytest.raises(RemoteError, match="another part of the file"):
        fetch(f"{web.url}/f", BytesIO())


def test_what_is_temporary_is_tried_again(web: FaultProxy) -> None:
    file = BytesIO()
    web.on("GET", "/f", status(503, {"Retry-After": "1"}))
    web.on("GET", "/f", reset())
    web.on("GET", "/f", status(429))
    serve(web, "/f", b"x")

    assert fetch(f"{web.url}/f", file)
    assert b"x" == file.getvalue()
    assert 4 == len(web.seen)


STATUSES: Dict[int, Tuple[str, int]] = {
    401: ("asks for credentials", 1),
    403: ("does not allow it", 1),
    404: ("does not have it", 1),
    410: ("does not have it any more", 1),
    418: ("answered 418", 1),
    304: ("answered 304", 1),
    429: ("limits the rate of requests", 5),
    500: ("answered 500", 5),
}


@pytest.mark.parametrize("code", STATUSES)
def test_what_a_server_refuses(code: int, web: FaultProxy) -> None:
    said, attempts = STATUSES[code]
    web.on("GET", "/f", status(code, {"WWW-Authenticate": 'Basic realm="x"'}), times=ALWAYS)

    with pytest.raises(RemoteError) as caught:
        fetch(f"{web.url}/f", BytesIO())
    assert f'fetching "{web.url}/f": {web.url} {said}' == caught.value.message
    assert attempts == len(web.seen)
    assert "registry" not in str(caught.value)
    assert "docker login" not in str(caught.value)


def test_nobody_listens_there() -> None:
    with pytest.raises(RemoteError, match="can't be reached: connection refused") as caught:
        fetch("http://127.0.0.1:1/f", BytesIO())
    assert "registry" not in str(caught.value)


def test_a_certificate_that_nobody_vouches_for(ca_server: FaultProxy) -> None:
    with pytest.raises(RemoteError, match="can't be reached") as caught:
        fetch(f"{ca_server.url}/f", BytesIO())
    assert "SSL_CERT_FILE" in str(caught.value)
    assert [] == ca_server.seen


@pytest.fixture()
def ca_server(tmp_path: Path) -> Any:
    ca = TestCA.make(tmp_path / "ca", "127.0.0.1")
    with fault_proxy(tls=ca) as running:
        yield running


# --- hostile servers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "http://user:password@127.0.0.1:1/x",
        "data:text/plain,x",
        "//",
        "http://[::1",
    ],
)
def test_a_redirect_elsewhere_than_to_a_web_server(location: str, web: FaultProxy) -> None:
    file = BytesIO()
    web.on("GET", "/f", status(302, {"Location": location}), times=ALWAYS)

    with pytest.raises(RemoteError) as caught:
        fetch(f"{web.url}/f", file)
    assert b"" == file.getvalue()
    assert "password" not in str(caught.value).replace("/etc/passwd", "")


def test_a_redirect_is_followed_and_no_credential_with_it(web: FaultProxy) -> None:
    file = BytesIO()
    with fault_proxy(host="127.0.0.2") as other:
        serve(other, "/f", b"x")
        web.on("GET", "/f", redirect_to(other.url), times=ALWAYS)

        assert fetch(f"{web.url}/f", file)
        for seen in (*web.seen, *other.seen):
            assert {"authorization", "cookie", "proxy-authorization"}.isdisjoint(seen.headers)


def test_a_machine_full_of_credentials_sends_none(
    web: FaultProxy, machine: Machines, tmp_path: Path
) -> None:
    host = web.address.partition(":")[0]
    (tmp_path / ".netrc").write_text(f"machine {host} login me password canary\n")
    (tmp_path / ".docker").mkdir()
    auth = f'{{"auths": {{"{web.address}": {{"auth": "bWU6Y2FuYXJ5"}}}}}}'
    (tmp_path / ".docker" / "config.json").write_text(auth)
    source = serve(web, "/f", b"x", set_cookie="session=canary")

    pin(source, machine(environ={"HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}))
    pin(source, machine(environ={"HOME": str(tmp_path)}))

    assert 2 == len(web.seen)
    for seen in web.seen:
        assert {"authorization", "cookie"}.isdisjoint(seen.headers)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret@127.0.0.1:1/f",
        "http://s3cret@127.0.0.1:1/f",
        "http://us:er/s3cret@127.0.0.1:1/f",
        "file:///etc/passwd",
        "http:///f",
        "http://-x/f",
        "http://127.0.0.1:port/f",
        "http://127.0.0.1:1/a b",
        "http://127.0.0.1:1/a\\b",
        "http://127.0.0.1:1/a\r\nX: y",
        "http://b\u00fccher.example/f",
    ],
)
def test_an_odd_url_is_not_fetched(url: str) -> None:
    with pytest.raises(RemoteError) as caught:
        fetch(url, BytesIO())
    assert "s3cret" not in str(caught.value)
    assert "can't be reached" not in str(caught.value)


@pytest.mark.parametrize("name", ["n" * 256, ".wh.x", ".wh..wh..opq"])
def test_a_name_that_no_image_can_hold(name: str, web: FaultProxy, machine: Machines) -> None:
    with pytest.raises(RemoteError, match="ends in a name"):
        pin(HttpSource(f"{web.url}/{name}", name), machine())
    assert [] == web.seen


def test_a_token_in_a_query_is_in_no_message(web: FaultProxy) -> None:
    with pytest.raises(RemoteError) as caught:
        fetch(f"{web.url}/f?token=s3cret", BytesIO())
    assert "s3cret" not in str(caught.value)
    assert "token=s3cret" in web.seen[0].path


def _endless(promise: Optional[int]) -> Fault:
    """A body that goes on until the client hangs up; `promise` is its Content-Length."""

    def fault(exchange: Exchange) -> bool:
        handler = exchange.handler
        handler.send_response_only(200)
        if promise is not None:
            handler.send_header("Content-Length", str(promise))
        handler.send_header("Connection", "close")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in itertools.count():
                handler.wfile.write(b"x" * 65536)
        handler.close_connection = True
        return True

    return fault


@pytest.mark.parametrize("promise", [None, 1 << 50], ids=["no length", "a huge length"])
def test_a_body_without_an_end_is_cut_at_the_limit(promise: Optional[int], web: FaultProxy) -> None:
    web.on("GET", "/f", _endless(promise), times=ALWAYS)
    file = BytesIO()

    with pytest.raises(RemoteError, match="too long") as caught:
        fetch(f"{web.url}/f", file, max_bytes=1 << 20)
    assert "1048576" in str(caught.value)
    assert len(file.getvalue()) <= 1 << 20


def test_a_long_body_needs_no_memory(web: FaultProxy) -> None:
    class Nowhere(BytesIO):
        def write(self, data: Any) -> int:
            return len(data)

    web.on("GET", "/f", _endless(None), times=ALWAYS)
    tracemalloc.start()
    try:
        with pytest.raises(RemoteError, match="too long"):
            fetch(f"{web.url}/f", Nowhere(), max_bytes=64 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 << 20


def test_odd_headers_are_not_sent_back(web: FaultProxy, machine: Machines) -> None:
    web.on("GET", "/f", status(200, {"ETag": '"' + "x" * 5000 + '"'}, b"x"), times=ALWAYS)
    source, here = HttpSource(f"{web.url}/f", "f"), machine()

    assert pin(source, here) == pin(source, here)
    assert ["if-none-match" in seen.headers for seen in web.seen] == [False, False]


def test_a_proxy_is_used(web: FaultProxy) -> None:
    web.on("GET", "^http://unreachable.invalid/f$", status(200, {}, b"x"))
    file = BytesIO()

    assert fetch("http://unreachable.invalid/f", file, proxies=Proxies(http=web.url))
    assert b"x" == file.getvalue()


BROKEN = [
    b"garbage\r\n\r\n",
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    b"HTTP/1.1 999\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: http://[\r\n\r\n",
]


@pytest.mark.parametrize("raw", BROKEN)
def test_an_answer_that_breaks_http(raw: bytes, web: FaultProxy) -> None:
    def fault(exchange: Exchange) -> bool:
        exchange.handler.wfile.write(raw)
        exchange.handler.close_connection = True
        return True

    web.on("GET", "/f", fault, times=ALWAYS)

    with pytest.raises(RemoteError, match="fetching"):
        fetch(f"{web.url}/f", BytesIO())
