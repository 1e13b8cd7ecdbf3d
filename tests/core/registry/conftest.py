"""A registry for the whole session, and clients that don't wait between attempts."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any, Callable, Iterator, List

import pytest

from imagebuild.registry.client import CredentialStore, RegistryClient
from support.blobs import Driver
from support.fault_proxy import FaultProxy, fault_proxy
from support.faults import ask_for_password
from support.registry import RealRegistry, TestCA, running_registry

_names = itertools.count()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """One that lets anybody in. Tests use `fresh_path` not to meet in it."""
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA.make(tmp_path_factory.mktemp("ca"), "localhost", "127.0.0.1", "127.0.0.2")


@pytest.fixture()
def fresh_path() -> str:
    return f"team/app{next(_names)}"


@pytest.fixture()
def proxy(registry: RealRegistry) -> Iterator[FaultProxy]:
    """In front of `registry`."""
    with fault_proxy(registry.address) as running:
        yield running


@pytest.fixture()
def basic(proxy: FaultProxy) -> FaultProxy:
    """The proxy, wanting the test user's password."""
    ask_for_password(proxy)
    return proxy


@pytest.fixture()
def stranger() -> Iterator[FaultProxy]:
    """Another origin, on another host, with nothing behind it."""
    with fault_proxy(host="127.0.0.2") as running:
        yield running


@pytest.fixture()
def drive() -> Iterator[Callable[..., Driver]]:
    """Make a `Driver`; keyword arguments go to `RegistryClient`."""
    with contextlib.ExitStack() as stack:

        def make(*options: Any, credentials: Any = None, **more: Any) -> Driver:
            waits: List[float] = []
            lines: List[str] = []
            client = RegistryClient(
                options,
                credentials=credentials or CredentialStore.anonymous(),
                sleep=waits.append,
                log=lines.append,
                **more,
            )
            stack.callback(client.close)
            return Driver(client, waits, lines)

        yield make
