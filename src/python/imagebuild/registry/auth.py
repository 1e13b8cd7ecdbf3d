"""Answers to challenges: Basic, and the bearer token flow (distribution spec/auth/token.md, oauth.md).

Tokens are kept per credential and scope until they expire by the monotonic clock; threads that want the same one wait for it.
"""

from __future__ import annotations

import io
import json
import threading
from dataclasses import dataclass, replace
from typing import Dict, FrozenSet, List, Optional, Sequence, Tuple
from urllib.parse import urlencode

from imagebuild.errors import AuthenticationError, RegistryError
from imagebuild.oci.reference import Repository
from imagebuild.registry.challenge import Challenge, choose_challenge
from imagebuild.registry.credentials import Credential, CredentialStore
from imagebuild.registry.exchange import Authorization, Reply, Request
from imagebuild.registry.failures import failure
from imagebuild.registry.origin import Origin
from imagebuild.registry.realms import judge_realm
from imagebuild.registry.transport import Transport

_CLIENT_ID = "pants-kaniko"
_DEFAULT_SECONDS = 60.0
_MAX_TOKEN_ANSWER = 1 << 18


@dataclass(frozen=True)
class _TokenKey:
    origin: Origin
    realm: str
    service: str
    credential: Optional[Credential]


@dataclass(frozen=True)
class _Token:
    value: str
    grants: FrozenSet[str]
    expires: float


class Authenticator:
    """What each origin asks for, and the tokens that were given to us. Thread-safe."""

    def __init__(
        self,
        transport: Transport,
        credentials: CredentialStore,
        auth_hosts: Dict[str, Tuple[str, ...]],
    ) -> None:
        self._transport, self.credentials, self._auth_hosts = transport, credentials, auth_hosts
        self._challenges: Dict[Origin, Challenge] = {}
        self._tokens: Dict[_TokenKey, List[_Token]] = {}
        self._locks: Dict[_TokenKey, threading.Lock] = {}
        self._lock = threading.Lock()

    def learn(self, origin: Origin, headers: Sequence[str]) -> None:
        """Remember how `origin` wants to be answered, from a 401's ``WWW-Authenticate`` headers."""
        challenge = choose_challenge(headers)
        if challenge is not None:
            self._challenges[origin] = challenge

    def challenge(self, origin: Origin) -> Optional[Challenge]:
        return self._challenges.get(origin)

    def authorize(
        self, origin: Origin, repository: Repository, scopes: Sequence[str]
    ) -> Authorization:
        """An `Authorization` for requests about `repository` at `origin`; `scopes` as in ``repository:NAME:pull,push``."""
        return _RepositoryAuthorization(self, origin, repository, tuple(scopes))

    def token(
        self,
        origin: Origin,
        registry: str,
        challenge: Challenge,
        scopes: Sequence[str],
        who: Optional[Credential],
    ) -> str:
        """A bearer token that grants `scopes`, from the cache or from the challenge's realm."""
        realm = challenge.parameter("realm")
        may_show = judge_realm(origin, realm, self._auth_hosts.get(registry, ()))
        key = _TokenKey(origin, realm, challenge.parameter("service"), who if may_show else None)
        grants = frozenset(_grants(scopes))
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            now = self._transport.clock()
            alive = [token for token in self._tokens.get(key, ()) if token.expires > now]
            found = next((token for token in alive if token.grants >= grants), None)
            if found is None:
                found = self._request_token(
                    key, registry, scopes, grants, hidden=who is not None and not may_show
                )
                alive.append(found)
            self._tokens[key] = alive
            return found.value

    def forget(self, value: str) -> None:
        """Never give this token out again."""
        with self._lock:
            locks = list(self._locks.items())
        for key, lock in locks:
            with lock:
                self._tokens[key] = [
                    token for token in self._tokens.get(key, ()) if token.value != value
                ]

    def _request_token(
        self,
        key: _TokenKey,
        registry: str,
        scopes: Sequence[str],
        grants: FrozenSet[str],
        *,
        hidden: bool,
    ) -> _Token:
        started = self._transport.clock()
        request, authorization = _token_request(key, registry, scopes)
        reply = self._transport.fetch(request, authorization, limit=_MAX_TOKEN_ANSWER)
        if reply.status != 200:
            raise _token_failure(request, reply, registry, authorization, hidden=hidden)
        value, seconds = _parse_token(request, reply)
        # A tenth early, so that a token does not run out between being taken and being read.
        return _Token(value, grants, started + seconds * 0.9)


class _RepositoryAuthorization(Authorization):
    def __init__(
        self, owner: Authenticator, origin: Origin, repository: Repository, scopes: Tuple[str, ...]
    ) -> None:
        self._owner, self.origin, self._repository, self._scopes = owner, origin, repository, scopes
        self._target, self._token = origin, ""

    def value(self) -> str:
        challenge = self._owner.challenge(self._target)
        if challenge is None:
            return ""
        who = self._owner.credentials.lookup(self._repository)
        if challenge.scheme == "basic":
            return who.basic() if who is not None and who.username else ""
        if who is not None and who.registry_token:
            return f"Bearer {who.registry_token}"
        self._token = self._owner.token(
            self._target, self._repository.registry, challenge, self._scopes, who
        )
        return f"Bearer {self._token}"

    def refused(self, challenges: Sequence[str], sent: str) -> bool:
        self._owner.learn(self._target, challenges)
        challenge = self._owner.challenge(self._target)
        if challenge is None:
            return False
        if challenge.scheme == "basic":
            return bool(self.value()) and self.value() != sent
        asked = set(_grants(self._scopes))
        extra = tuple(
            scope
            for scope in challenge.parameter("scope").split()
            if not asked.issuperset(_grants((scope,)))
        )
        self._scopes += extra
        if sent.startswith("Bearer "):
            self._owner.forget(sent[len("Bearer ") :])
        return True

    @property
    def identity(self) -> str:
        return _identity(self._owner.credentials.lookup(self._repository))

    @property
    def secrets(self) -> Tuple[str, ...]:
        who = self._owner.credentials.lookup(self._repository)
        return (*_secrets(who), *filter(None, (self._token,)))


class _ForTokens(Authorization):
    """What a token server is shown."""

    def __init__(self, origin: Origin, who: Optional[Credential]) -> None:
        self.origin, self._who = origin, who

    def value(self) -> str:
        return self._who.basic() if self._who is not None and self._who.username else ""

    @property
    def identity(self) -> str:
        return _identity(self._who)

    @property
    def secrets(self) -> Tuple[str, ...]:
        return _secrets(self._who)


def _identity(who: Optional[Credential]) -> str:
    return "" if who is None else who.username or "a token"


def _secrets(who: Optional[Credential]) -> Tuple[str, ...]:
    return () if who is None else (*who.secrets, who.basic().partition(" ")[2])


def _token_request(
    key: _TokenKey, registry: str, scopes: Sequence[str]
) -> Tuple[Request, Authorization]:
    purpose = f"getting a token for {registry}"
    who = key.credential
    common = [("service", key.service)] if key.service else []
    if who is not None and who.identity_token:
        form = [
            ("grant_type", "refresh_token"),
            *common,
            ("client_id", _CLIENT_ID),
            ("refresh_token", who.identity_token),
        ]
        body = urlencode([*form, ("scope", " ".join(scopes))]).encode()
        headers = (("Content-Type", "application/x-www-form-urlencoded"),)
        request = Request("POST", key.realm, purpose, headers, lambda: io.BytesIO(body), len(body))
        return _bounded(request, key), _ForTokens(Origin.of(key.realm), who)
    query = urlencode([*common, *(("scope", scope) for scope in scopes)])
    url = f"{key.realm}{'&' if '?' in key.realm else '?'}{query}"
    return _bounded(Request("GET", url, purpose), key), _ForTokens(Origin.of(url), who)


def _bounded(request: Request, key: _TokenKey) -> Request:
    """Token servers don't redirect, and only one that is trusted with a credential may be inside."""
    return replace(
        request, follow=False, sent_by=key.origin, allow_private=key.credential is not None
    )


def _token_failure(
    request: Request, reply: Reply, registry: str, who: Authorization, *, hidden: bool
) -> RegistryError:
    if 300 <= reply.status < 400:
        return AuthenticationError(
            f"{request.purpose}: the token server redirects, which is refused", status=reply.status
        )
    error = failure(request, reply, who)
    if hidden:
        host = Origin.of(request.url).name
        error.hint = f"the credentials were not shown to {host}; if it may see them, add it to `auth_hosts` of {registry}"
    return error


def _parse_token(request: Request, reply: Reply) -> Tuple[str, float]:
    try:
        document = json.loads(reply.body)
        value = document.get("token") or document.get("access_token")
        seconds = document.get("expires_in")
    except (ValueError, RecursionError, AttributeError):
        value = seconds = None
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise AuthenticationError(
            f"{request.purpose}: the token server's answer holds no token", status=reply.status
        )
    valid = (
        isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds < 1e9
    )
    return value, float(seconds) if valid else _DEFAULT_SECONDS


def _grants(scopes: Sequence[str]) -> List[str]:
    """``repository:x:pull,push`` as its single rights."""
    parts = (scope.rpartition(":") for scope in scopes)
    return [
        f"{resource}:{action}" for resource, _, actions in parts for action in actions.split(",")
    ]
