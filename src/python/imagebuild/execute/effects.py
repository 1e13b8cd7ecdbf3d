"""What the effectful subcommands share: the store, one registry client, one clock."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING, ContextManager, Mapping, Optional, Tuple

from imagebuild.store.store import Store

if TYPE_CHECKING:
    from imagebuild.cache.registry import RegistryCache
    from imagebuild.execute.requests import CacheOptions
    from imagebuild.registry.client import RegistryClient
    from imagebuild.registry.options import RegistryOptions
    from imagebuild.registry.transport import Transport


class Effects:
    """The outside world, handed to whoever needs it.

    :param environ: where credentials and proxies are looked up; never part of a key.
    """

    def __init__(self, store: Store, environ: Mapping[str, str]) -> None:
        self.store = store
        self.environ = environ
        self._client: Optional[RegistryClient] = None

    def client(
        self, registries: Tuple[RegistryOptions, ...], *, patient: bool = True
    ) -> RegistryClient:
        """The registry client, one for all of a request. It is imported here because a look-up that the store answers
        needs no HTTP at all."""
        if self._client is None:
            from imagebuild.registry.client import RegistryClient
            from imagebuild.registry.credentials import CredentialStore
            from imagebuild.registry.proxies import Proxies

            self._client = RegistryClient(
                registries,
                credentials=CredentialStore.from_environment(
                    self.environ, untrusted=(os.getcwd(), self.store.root)
                ),
                proxies=Proxies.from_environment(self.environ),
                log=_log,
                patient=patient,
            )
        return self._client

    def web(self) -> ContextManager[Transport]:
        """What fetches URLs that belong to no registry: no credential, no certificate of ours, this machine's proxies."""
        from imagebuild.registry.proxies import Proxies
        from imagebuild.registry.transport import Transport

        proxies = Proxies.from_environment(self.environ)
        return closing(
            Transport((), proxies, user_agent="pants-kaniko", sleep=time.sleep, log=_log)
        )

    def cache(
        self, options: CacheOptions, registries: Tuple[RegistryOptions, ...]
    ) -> Optional[RegistryCache]:
        """The cache repository, or None where there is none."""
        if not options.repository:
            return None
        from imagebuild.cache.registry import RegistryCache
        from imagebuild.oci.reference import Repository

        repository = Repository.parse(options.repository)
        return RegistryCache(self.client(registries), repository, ttl=options.ttl, now=_now)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")
