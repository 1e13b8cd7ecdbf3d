"""Answers that are temporary, and those that are not (SECURITY section 2, F14 and F15)."""

from __future__ import annotations

from typing import Callable, Mapping

import pytest

from imagebuild.errors import (
    RateLimitedError,
    RegistryError,
)
from imagebuild.oci.reference import Repository
from support.blobs import Driver, push_image
from support.fault_proxy import FaultProxy
from support.faults import status

MIB = 1 << 20
Drive = Callable[..., Driver]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_temporary_status_is_tried_again(
    code: int, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    driver, repo = drive(), Repository(proxy.address, fresh_path)
    raw = push_image(driver.client, repo, "v1")
    proxy.on("GET", "/manifests/", status(code), times=4)

    assert raw == driver.client.get_manifest(repo, "v1").raw
    assert 4 == len(driver.waits)
    assert all(
        base * 0.5 <= wait <= base * 1.5 for base, wait in zip((0.25, 0.5, 1, 2), driver.waits)
    )
    assert f"the server answered {code}; trying again in" in driver.lines[0]


@pytest.mark.parametrize("code", [500, 429])
def test_temporary_status_that_stays(
    code: int, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    driver, repo = drive(), Repository(proxy.address, fresh_path)
    body = b'{"errors":[{"code":"UNKNOWN","message":"disk on fire\\u001b[0m"}]}'
    proxy.on("GET", "/manifests/", status(code, {}, body), times=100)

    with pytest.raises(RegistryError) as error:
        driver.client.get_manifest(repo, "v1")

    assert 5 == len(proxy.requests("GET", "/manifests/"))
    assert (code, ("UNKNOWN",)) == (error.value.status, error.value.codes)
    assert "disk on fire [0m" in str(error.value)
    assert (code == 429) == isinstance(error.value, RateLimitedError)


def test_who_is_not_patient_takes_the_first_answer(
    proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    driver, repo = drive(patient=False), Repository(proxy.address, fresh_path)
    proxy.on("GET", "/manifests/", status(503), times=100)

    with pytest.raises(RegistryError):
        driver.client.get_manifest(repo, "v1")

    assert 1 == len(proxy.requests("GET", "/manifests/"))
    assert [] == driver.waits


@pytest.mark.parametrize("code", [400, 403, 404, 405, 501])
def test_final_status_is_not_tried_again(
    code: int, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    driver = drive()
    proxy.on("GET", "/manifests/", status(code), times=100)

    with pytest.raises(RegistryError) as error:
        driver.client.get_manifest(Repository(proxy.address, fresh_path), "v1")
    assert code == error.value.status
    assert [] == driver.waits


RETRY_AFTER = {
    "seconds": ({"Retry-After": "7"}, 7.0),
    "absurd": ({"Retry-After": "99999999999999999999999"}, 60.0),
    "date": (
        {"Date": "Mon, 23 Nov 2026 10:00:00 GMT", "Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT"},
        30.0,
    ),
    "far date": (
        {"Date": "Mon, 23 Nov 2026 10:00:00 GMT", "Retry-After": "Mon, 23 Nov 2099 10:00:30 GMT"},
        60.0,
    ),
}
UNUSABLE_RETRY_AFTER = {
    "past date": {
        "Date": "Mon, 23 Nov 2026 10:00:00 GMT",
        "Retry-After": "Mon, 23 Nov 2020 10:00:00 GMT",
    },
    "negative": {"Retry-After": "-5"},
    "words": {"Retry-After": "soon"},
    "no clock": {"Retry-After": "Mon, 23 Nov 2026 10:00:30 GMT"},
}


@pytest.mark.parametrize(("headers", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_retry_after(
    headers: Mapping[str, str], seconds: float, proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    driver, repo = drive(), Repository(proxy.address, fresh_path)
    raw = push_image(driver.client, repo, "v1")
    proxy.on("GET", "/manifests/", status(429, headers))

    assert raw == driver.client.get_manifest(repo, "v1").raw
    assert [seconds] == driver.waits


@pytest.mark.parametrize("headers", UNUSABLE_RETRY_AFTER.values(), ids=UNUSABLE_RETRY_AFTER)
def test_retry_after_that_says_nothing(
    headers: Mapping[str, str], proxy: FaultProxy, fresh_path: str, drive: Drive
) -> None:
    driver, repo = drive(), Repository(proxy.address, fresh_path)
    raw = push_image(driver.client, repo, "v1")
    proxy.on("GET", "/manifests/", status(503, headers))

    assert raw == driver.client.get_manifest(repo, "v1").raw
    assert 0.125 <= driver.waits[0] <= 0.375
