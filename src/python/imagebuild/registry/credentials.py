"""Who we are to a registry: what `docker login`, `podman login` and credential helpers left on this machine.

Nothing is read before the first look-up. A secret leaves a `Credential` only through `auth`; no `repr` shows one.
"""

from __future__ import annotations

import threading
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from imagebuild.errors import AuthenticationError
from imagebuild.oci.reference import Repository, canonical_registry
from imagebuild.registry.auth_file import AuthFile, read_auth_files
from imagebuild.registry.credential import Credential
from imagebuild.registry.helpers import HelperPrograms

__all__ = ["Credential", "CredentialStore"]

_DOCKER_HUB_KEY = "https://index.docker.io/v1/"


class CredentialStore:
    """Credentials by repository; thread-safe, each file and each helper is asked once.

    :param load: reads the auth files, most preferred first; called at the first look-up.
    :param helpers: runs ``docker-credential-*`` programs.
    """

    def __init__(self, load: Callable[[], Sequence[AuthFile]], helpers: HelperPrograms) -> None:
        self._load, self._helpers = load, helpers
        self._files: Optional[Tuple[AuthFile, ...]] = None
        self._answers: Dict[Tuple[str, str], Optional[Credential]] = {}
        self._lock = threading.Lock()

    @staticmethod
    def from_environment(
        env: Mapping[str, str], *, untrusted: Sequence[str] = ()
    ) -> CredentialStore:
        """Where Docker and Podman keep them: ``REGISTRY_AUTH_FILE``, ``DOCKER_AUTH_CONFIG`` (JSON text),
        ``$DOCKER_CONFIG/config.json`` or ``~/.docker/config.json``, then Podman's ``auth.json`` places.

        :param untrusted: directories that no helper program is taken from, such as the build context.
        """
        return CredentialStore(
            lambda: read_auth_files(env), HelperPrograms.from_environment(env, untrusted)
        )

    @staticmethod
    def anonymous() -> CredentialStore:
        return CredentialStore(tuple, HelperPrograms({}, ()))

    @staticmethod
    def of(credentials: Mapping[str, Credential]) -> CredentialStore:
        """Fixed credentials, by ``host[:port][/path]``."""
        return CredentialStore(
            lambda: (AuthFile("", auths=dict(credentials)),), HelperPrograms({}, ())
        )

    def lookup(self, repository: Repository) -> Optional[Credential]:
        """The credential for `repository`, the entry with the longest matching path first; None means anonymous.

        :raises AuthenticationError: when a helper that is configured for the registry can't be run or fails.
        :raises UsageError: when an auth file is not what it should be.
        """
        with self._lock:
            if self._files is None:
                self._files = tuple(self._load())
            for file in self._files:
                found = self._from_file(file, repository)
                if found is not None:
                    return found
        return None

    def _from_file(self, file: AuthFile, repository: Repository) -> Optional[Credential]:
        host = canonical_registry(repository.registry)
        for key in _scopes(repository):
            if key != host and key in file.auths:
                return file.auths[key]
        inline, helper = file.auths.get(host), _helper(file, host)
        if helper is None:
            return inline
        try:
            return self._ask(*helper) or inline
        except AuthenticationError:
            if inline is None:
                raise
            return inline

    def _ask(self, name: str, server: str) -> Optional[Credential]:
        if (name, server) not in self._answers:
            self._answers[name, server] = self._helpers.get(name, server)
        return self._answers[name, server]


def _helper(file: AuthFile, host: str) -> Optional[Tuple[str, str]]:
    """Name of the helper for `host`, and what it calls that registry."""
    hub = _DOCKER_HUB_KEY if host == "docker.io" else ""
    if host in file.helpers:
        key, name = file.helpers[host]
        return name, hub or key
    return (file.store, hub or host) if file.store else None


def _scopes(repository: Repository) -> List[str]:
    """``host/a/b``, ``host/a``, ``host`` (containers-auth.json(5))."""
    parts = f"{canonical_registry(repository.registry)}/{repository.path}".split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
