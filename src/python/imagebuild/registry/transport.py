"""Requests that survive what is temporary: retries with back-off, redirects, one renewal of credentials.

A redirect never takes a credential to another origin, never goes from https to http, and never carries a body elsewhere.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Dict, Optional, Sequence, Tuple, TypeVar
from urllib.parse import urljoin

from imagebuild.errors import MalformedError, RegistryError, UsageError
from imagebuild.oci.reference import is_registry_host
from imagebuild.registry.exchange import ANONYMOUS, Authorization, Reply, Request, Trust, WireError
from imagebuild.registry.failures import MAX_ERROR_BODY, failure, unreachable
from imagebuild.registry.options import RegistryOptions
from imagebuild.registry.origin import Origin, redact
from imagebuild.registry.proxies import Proxies

if TYPE_CHECKING:
    from imagebuild.registry.wire import Answer

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_WAIT = 60.0
_FIRST_WAIT = 0.25
_WHOLE_ANSWER_SECONDS = 120.0
_PIECE = 1 << 16


T = TypeVar("T")


class Transport:
    """Sends requests to any origin, under the options of the registry that lives there. Thread-safe.

    :param sleep: waits a number of seconds.
    :param clock: monotonic seconds.
    :param log: takes one line for every attempt that is repeated.
    :param patient: False for no second attempt at anything.
    """

    def __init__(
        self,
        options: Sequence[RegistryOptions],
        proxies: Proxies,
        *,
        user_agent: str,
        sleep: Callable[[float], None],
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        patient: bool = True,
    ) -> None:
        # Imported here, by the first client: requests and ssl take longer to load than all the rest of us.
        from imagebuild.registry.wire import Wire

        self._wire = Wire(proxies)
        self._trust: Dict[Tuple[str, int], Trust] = {}
        for option in options:
            if not is_registry_host(option.address):
                raise UsageError(
                    f'registry address "{option.address}" is not valid',
                    expected="HOST or HOST:PORT",
                )
            origin = Origin.of_registry("https", option.address)
            trust = Trust(
                not option.insecure, option.ca_file, option.client_cert, option.client_key
            )
            self._trust[origin.host, origin.port] = trust
        self._user_agent, self._sleep, self.log, self.clock = user_agent, sleep, log, clock
        self._patient = patient

    def fetch(
        self, request: Request, authorization: Authorization = ANONYMOUS, *, limit: int = 1 << 20
    ) -> Reply:
        """The whole answer, whatever its status, read within `limit` bytes and two minutes.

        :raises RegistryError: when there is none. :raises MalformedError: when a successful one is longer.
        """

        def once() -> Reply:
            with self._authorized(request, authorization) as answer:
                return self._read(request, answer, limit)

        return self._retry(request, once, lambda reply: (reply.status, reply.header))

    def stream(self, request: Request, authorization: Authorization = ANONYMOUS) -> Answer:
        """A `wire.Answer` of status 200 or 206, to be read by the caller, who must close it.

        :raises RegistryError: for no answer or another status.
        """

        def once() -> Answer:
            return self._authorized(request, authorization)

        answer = self._retry(
            request, once, lambda answer: (answer.status, answer.header), lambda a: a.finish()
        )
        if answer.status in (200, 206):
            return answer
        with answer:
            reply = self._read(request, answer, MAX_ERROR_BODY)
        raise failure(request, reply, authorization)

    def expect(
        self,
        request: Request,
        authorization: Authorization = ANONYMOUS,
        *,
        statuses: Tuple[int, ...] = (200,),
        limit: int = 1 << 20,
    ) -> Reply:
        """`fetch`, and :raises RegistryError: for a status that is not among `statuses`."""
        reply = self.fetch(request, authorization, limit=limit)
        if reply.status not in statuses:
            raise failure(request, reply, authorization)
        return reply

    def offers_tls(self, origin: Origin) -> bool:
        """Whether a TLS handshake succeeds there, whoever it is with; nothing is sent."""
        return self._wire.offers_tls(origin)

    def pause(self, purpose: str, why: str, attempt: int, asked: float = 0.0) -> None:
        """Wait before the next attempt (`attempt` counts from 0): what was asked for, or 0.25 s doubling with jitter."""
        jitter = int.from_bytes(os.urandom(2), "big") / 65536
        seconds = min(_MAX_WAIT, asked or _FIRST_WAIT * 2**attempt * (0.5 + jitter))
        self.log(f"{purpose}: {why}; trying again in {seconds:.1f} s")
        self._sleep(seconds)

    def close(self) -> None:
        self._wire.close()

    def _retry(
        self,
        request: Request,
        once: Callable[[], T],
        inspect: Callable[[T], Tuple[int, Callable[[str], str]]],
        discard: Callable[[T], None] = lambda _: None,
    ) -> T:
        attempts = request.attempts if self._patient else 1
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            try:
                result = once()
            except WireError as error:
                if last or not error.temporary:
                    raise unreachable(request, error.kind, error.detail) from None
                self.pause(request.purpose, error.detail, attempt)
                continue
            status, header = inspect(result)
            if last or status not in _RETRIED:
                return result
            asked = _retry_after(header("retry-after"), header("date"))
            discard(result)
            self.pause(request.purpose, f"the server answered {status}", attempt, asked)
        raise AssertionError("a request has at least one attempt")

    def _authorized(self, request: Request, authorization: Authorization) -> Answer:
        sent = authorization.value()
        answer = self._follow(request, authorization.origin, sent)
        # Once to learn what is wanted, and once for a token that has just ended.
        for _ in range(1 if sent else 2):
            if answer.status != 401 or Origin.of(answer.url) != authorization.origin:
                return answer
            if not authorization.refused(answer.all("www-authenticate"), sent):
                return answer
            answer.finish()
            sent = authorization.value()
            answer = self._follow(request, authorization.origin, sent)
        return answer

    def _follow(self, request: Request, origin: Optional[Origin], authorization: str) -> Answer:
        here = Origin.of(request.url)
        first = request.sent_by or here
        url, method = request.url, request.method
        credentials = authorization if origin == here else ""
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._send(
                request, method, url, credentials, self._trust_for(request, here, first)
            )
            if (
                not request.follow
                or answer.status not in _REDIRECTS
                or not answer.header("location")
            ):
                return answer
            with answer:
                url = _joined(url, answer.header("location"))
            there = Origin.of(url)
            _check_redirect(request, here, there, answer.status)
            if there != here:
                credentials = ""  # and it stays away, even if a later hop leads back
            here = there
        raise RegistryError(
            f"{request.purpose}: more than {_MAX_REDIRECTS} redirects", url=redact(request.url)
        )

    def _send(
        self, request: Request, method: str, url: str, credentials: str, trust: Trust
    ) -> Answer:
        headers = {
            "User-Agent": self._user_agent,
            "Accept-Encoding": "identity",
            "Accept": "*/*",
            **dict(request.headers),
        }
        if credentials:
            headers["Authorization"] = credentials
        if request.open_body is None:
            return self._wire.send(method, url, headers, trust)
        with request.open_body() as body:
            return self._wire.send(method, url, headers, trust, body, request.size)

    def _trust_for(self, request: Request, here: Origin, first: Origin) -> Trust:
        """The options of the registry at `here`; elsewhere its CA is believed too, but nothing else carries over."""
        own = self._trust.get((here.host, here.port))
        if here == first:
            return own or Trust()
        floor = min(self._wire.distance(first), 1 if request.allow_private else 2)
        if own is not None:
            return replace(own, floor=floor)
        registry = self._trust.get((first.host, first.port), Trust())
        return Trust(ca_file=registry.ca_file, floor=floor)

    def _read(self, request: Request, answer: Answer, limit: int) -> Reply:
        limit = limit if answer.status < 400 else MAX_ERROR_BODY
        length = answer.header("content-length")
        body = bytearray()
        if request.method != "HEAD":
            if answer.status < 400 and length.isdigit() and int(length) > limit:
                raise _too_long(request, limit)
            deadline = self.clock() + _WHOLE_ANSWER_SECONDS
            while len(body) <= limit:
                piece = answer.read(_PIECE)
                if not piece:
                    break
                body += piece
                if self.clock() > deadline:
                    raise WireError("timeout", "the answer comes too slowly", temporary=True)
            if len(body) > limit and answer.status < 400:
                raise _too_long(request, limit)
        return Reply(answer.status, answer.url, _headers(answer), bytes(body[:limit]))


def _headers(answer: Answer) -> Tuple[Tuple[str, str], ...]:
    return tuple((name.lower(), value) for name in answer.headers for value in answer.all(name))


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # not even a URL: `Origin` refuses it


def _check_redirect(request: Request, here: Origin, there: Origin, status: int) -> None:
    if here.scheme == "https" and there.scheme == "http":
        raise RegistryError(
            f"{request.purpose}: {here} redirects to plain HTTP at {there}, which is refused",
            status=status,
        )
    reads = request.method in ("GET", "HEAD")
    if not reads and (status not in (307, 308) or there != here):
        raise RegistryError(
            f"{request.purpose}: {here} redirects a {request.method} to {there}, which is refused",
            status=status,
        )


def _too_long(request: Request, limit: int) -> MalformedError:
    return MalformedError(
        f"{request.purpose}: the answer is too long", expected=f"at most {limit} bytes"
    )


def _retry_after(value: str, date: str) -> float:
    """Seconds that a ``Retry-After`` asks for (RFC 9110 section 10.2.3); a date counts from the server's own ``Date``."""
    if value.isdigit():
        return min(_MAX_WAIT, float(value[:9]))
    if not value or not date:
        return 0.0
    from email.utils import parsedate_to_datetime

    try:
        seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
    return min(_MAX_WAIT, max(0.0, seconds))
