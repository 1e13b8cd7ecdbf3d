"""Sorts the many exceptions of `requests`, urllib3, ssl and sockets into the few kinds that matter here."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any, List, Optional, Type

import urllib3
from requests.exceptions import InvalidHeader, InvalidURL

from imagebuild.registry.exchange import WireError


def classify(error: BaseException) -> WireError:
    """What happened, from the innermost error that says so; `requests` and urllib3 wrap theirs several times."""
    chain = _chain(error)

    def first(*kinds: Type[BaseException]) -> Optional[BaseException]:
        return next((one for one in chain if isinstance(one, kinds)), None)

    found = first(ssl.SSLCertVerificationError)
    if found is not None:
        return WireError(
            "certificate",
            str(getattr(found, "verify_message", "")) or "not trusted",
            temporary=False,
        )
    if first(urllib3.exceptions.ProxyError):
        return WireError("proxy", "the proxy does not answer", temporary=True)
    found = first(socket.gaierror)
    if isinstance(found, socket.gaierror):
        return WireError(
            "name", found.strerror or "unknown name", temporary=found.errno == socket.EAI_AGAIN
        )
    if first(ConnectionRefusedError):
        return WireError("refused", "connection refused", temporary=True)
    if first(TimeoutError, urllib3.exceptions.TimeoutError, socket.timeout):
        return WireError("timeout", "no answer in time", temporary=True)
    found = first(ssl.SSLError)
    if isinstance(found, ssl.SSLError) and not isinstance(
        found, (ssl.SSLEOFError, ssl.SSLZeroReturnError)
    ):
        return WireError("tls", found.reason or "TLS failed", temporary=False)
    if first(InvalidURL, InvalidHeader, UnicodeError):
        return WireError("invalid", "the address or a header can't be sent", temporary=False)
    number = next((one.errno for one in chain if isinstance(one, OSError) and one.errno), 0)
    return WireError(
        "broken",
        os.strerror(number).lower() if number else "the connection broke off",
        temporary=True,
    )


def _chain(error: BaseException) -> List[BaseException]:
    found: List[BaseException] = []
    waiting: List[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [getattr(one, "reason", None), one.__cause__, one.__context__, *one.args]
    return found
