"""The small grammars that a registry's answers are written in, and URLs fit for messages."""

from __future__ import annotations

from typing import Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.errors import RegistryError
from imagebuild.registry.challenge import Challenge, choose_challenge, parse_challenges
from imagebuild.registry.documents import next_page
from imagebuild.registry.exchange import Reply
from imagebuild.registry.origin import Origin, redact

CHALLENGES = {
    'Bearer realm="https://a.example/t",service="s",scope="repository:x:pull,push"': [
        Challenge(
            "bearer",
            (
                ("realm", "https://a.example/t"),
                ("service", "s"),
                ("scope", "repository:x:pull,push"),
            ),
        )
    ],
    'Basic realm="tests"': [Challenge("basic", (("realm", "tests"),))],
    "Basic": [Challenge("basic")],
    "bearer Realm=plain, Service=s": [Challenge("bearer", (("realm", "plain"), ("service", "s")))],
    'Basic realm="a", Bearer realm="b"': [
        Challenge("basic", (("realm", "a"),)),
        Challenge("bearer", (("realm", "b"),)),
    ],
    r'Bearer realm="a\"b\\c"': [Challenge("bearer", (("realm", 'a"b\\c'),))],
    'Bearer realm="first",realm="second"': [Challenge("bearer", (("realm", "first"),))],
    'Bearer realm = "spaced" , service = "s"': [
        Challenge("bearer", (("realm", "spaced"), ("service", "s")))
    ],
    'Negotiate, Basic realm="a"': [Challenge("basic", (("realm", "a"),))],
    'Bearer realm="open': [Challenge("bearer")],
    "": [],
    "realm=alone": [],
}


@pytest.mark.parametrize(("header", "expected"), CHALLENGES.items(), ids=CHALLENGES)
def test_challenges(header: str, expected: Tuple[Challenge, ...]) -> None:
    found = [
        challenge for challenge in parse_challenges([header]) if challenge.scheme != "negotiate"
    ]

    assert list(expected) == found


def test_bearer_is_preferred() -> None:
    chosen = choose_challenge(['Basic realm="a"', "Bearer", 'Bearer realm="b"'])

    assert Challenge("bearer", (("realm", "b"),)) == chosen
    assert choose_challenge(["Digest realm=x"]) is None


@given(st.text(max_size=60))
def test_any_header_is_read(header: str) -> None:
    """Law: no header makes reading fail or last."""
    parse_challenges([header, f'Bearer realm="{header}'])


GOOD_URLS = {
    "https://r.example": ("https", "r.example", 443, "https://r.example"),
    "http://r.example/x?y#z": ("http", "r.example", 80, "http://r.example"),
    "https://R.Example:443/": ("https", "r.example", 443, "https://r.example"),
    "http://r.example.:5000/": ("http", "r.example", 5000, "http://r.example:5000"),
    "http://[::1]:5000/": ("http", "::1", 5000, "http://[::1]:5000"),
}
BAD_URLS = [
    "",
    "r.example",
    "/v2/",
    "//r.example",
    "ftp://r.example",
    "file:///etc/passwd",
    "http://",
    "http://:5000",
    "http://u@r.example",
    "http://u:p@r.example",
    "http://@r.example",
    "http://r.example:port",
    "http://r.example:99999",
    "http://r.example\\@x.example",
    "http://r.example\n.x",
    "http://r .example",
    "http://r\u00e4.example",
    "http://[::1",
]


@pytest.mark.parametrize(("url", "parts"), GOOD_URLS.items(), ids=GOOD_URLS)
def test_origin(url: str, parts: Tuple[str, str, int, str]) -> None:
    origin = Origin.of(url)

    assert parts == (origin.scheme, origin.host, origin.port, str(origin))
    assert origin == Origin.of(str(origin))


@pytest.mark.parametrize("url", BAD_URLS)
def test_url_that_is_refused(url: str) -> None:
    with pytest.raises(RegistryError):
        Origin.of(url)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("[::1]", True),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("128.0.0.1", False),
        ("127.0.0.x", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert expected == Origin.of(f"http://{host}:5000").is_loopback


REDACTED = {
    "https://u:canary@r.example/v2/?X-Signature=canary#canary": "https://r.example/v2/",
    "https://r.example/a@b/c": "https://r.example/a@b/c",
    "https://a@b@r.example/": "https://r.example/",
    "/v2/?canary": "/v2/",
    "http://r.example/\x1b[31m": "http://r.example/?[31m",
}


@pytest.mark.parametrize(("url", "shown"), REDACTED.items(), ids=[*map(str, range(len(REDACTED)))])
def test_redaction(url: str, shown: str) -> None:
    assert shown == redact(url)


LINKS = {
    '</v2/x/tags/list?last=b&n=2>; rel="next"': "https://r.example/v2/x/tags/list?last=b&n=2",
    "</v2/y>; rel=next": "https://r.example/v2/y",
    '<https://o.example/z>; title="t"; rel="next"': "https://o.example/z",
    '</a>; rel="prev", </b>; rel="next"': "https://r.example/b",
    "<?last=b>; rel=next": "https://r.example/v2/x/tags/list?last=b",
    '</a>; rel="prev"': "",
    "nonsense": "",
    "": "",
}


@pytest.mark.parametrize(("link", "expected"), LINKS.items(), ids=LINKS)
def test_next_page(link: str, expected: str) -> None:
    assert expected == next_page(Reply(200, "https://r.example/v2/x/tags/list", (("link", link),)))
