"""Where a repository is served: the registry of its name, or a mirror of it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from typing import Dict, List, Sequence, Set

from imagebuild.errors import ImageBuildError, UnreachableError
from imagebuild.oci.reference import Repository, canonical_registry
from imagebuild.registry.auth import Authenticator
from imagebuild.registry.exchange import MAX_ATTEMPTS, Authorization, Request
from imagebuild.registry.options import RegistryOptions
from imagebuild.registry.origin import Origin
from imagebuild.registry.transport import Transport

_MIRROR_ATTEMPTS = 2


@dataclass(frozen=True)
class Remote:
    """One repository at one origin. `repository` is as that origin calls it, so a mirror has its own credentials."""

    origin: Origin
    repository: Repository
    is_mirror: bool = False

    def url(self, tail: str) -> str:
        return f"{self.origin}/v2/{self.repository.path}/{tail}"

    @property
    def attempts(self) -> int:
        """A mirror is only a short cut: little patience is spent on it."""
        return _MIRROR_ATTEMPTS if self.is_mirror else MAX_ATTEMPTS

    def scope(self, actions: str) -> str:
        return f"repository:{self.repository.path}:{actions}"


class Endpoints:
    """Finds out, once for each registry, its scheme. What it asks of us, the first request learns. Thread-safe."""

    def __init__(
        self, transport: Transport, authenticator: Authenticator, options: Sequence[RegistryOptions]
    ) -> None:
        self._transport, self._authenticator = transport, authenticator
        self._options: Dict[str, RegistryOptions] = {}
        for option in options:
            self._options[canonical_registry(option.address)] = option
        self._origins: Dict[str, Origin] = {}
        self._dead_mirrors: Set[str] = set()
        self._locks: Dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def remote(self, repository: Repository, purpose: str) -> Remote:
        """The registry itself. `purpose` begins the message of an error.

        :raises RegistryError: when it can't be reached.
        """
        return Remote(self._locate(repository.registry, purpose), repository)

    def mirrors(self, repository: Repository) -> List[Repository]:
        """The same repository under the names that its registry's mirrors have for it, in order."""
        option = self._options.get(canonical_registry(repository.registry))
        found = []
        for mirror in option.mirrors if option else ():
            host, slash, prefix = mirror.partition("/")
            if host not in self._dead_mirrors:
                found.append(Repository(host, f"{prefix}{slash}{repository.path}".lstrip("/")))
        return found

    def pass_over(self, mirror: Repository, error: ImageBuildError) -> None:
        """Log that a mirror did not help; one that can't be reached is not asked again."""
        if isinstance(error, UnreachableError):
            self._dead_mirrors.add(mirror.registry)
        self._transport.log(f"{error.message}; passing over the mirror {mirror.registry}")

    def mirror(self, repository: Repository, purpose: str) -> Remote:
        return replace(self.remote(repository, purpose), is_mirror=True)

    def authorize(self, remote: Remote, actions: str, *more_scopes: str) -> Authorization:
        return self._authenticator.authorize(
            remote.origin, remote.repository, (remote.scope(actions), *more_scopes)
        )

    def _locate(self, registry: str, purpose: str) -> Origin:
        with self._lock:
            lock = self._locks.setdefault(registry, threading.Lock())
        with lock:
            if registry not in self._origins:
                self._origins[registry] = self._origin_of(registry, purpose)
            return self._origins[registry]

    def _origin_of(self, registry: str, purpose: str) -> Origin:
        option = self._options.get(canonical_registry(registry))
        secure = Origin.of_registry("https", registry)
        plain = Origin.of_registry("http", registry)
        if option is not None and option.insecure:
            with contextlib.suppress(UnreachableError):
                self._transport.fetch(Request("GET", f"{secure}/v2/", purpose, attempts=1))
                return secure
            return plain
        # Docker's rule: plain HTTP goes without saying on loopback, and nowhere else.
        return plain if secure.is_loopback and not self._transport.offers_tls(secure) else secure
