"""The distribution-spec's verbs for whoever pulls and pushes images, layers and cache records."""

from __future__ import annotations

import io
import time
from typing import Any, BinaryIO, Callable, List, Optional, Sequence, Set, Tuple, TypeVar

from imagebuild.errors import (
    DigestMismatchError,
    IntegrityError,
    MalformedError,
    NotFoundError,
    RegistryError,
)
from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import Repository, canonical_registry
from imagebuild.registry.auth import Authenticator
from imagebuild.registry.credentials import Credential, CredentialStore
from imagebuild.registry.documents import (
    ResolvedManifest,
    describe_manifest,
    is_digest,
    next_page,
    read_manifest,
    read_tags,
)
from imagebuild.registry.download import Download
from imagebuild.registry.endpoints import Endpoints, Remote
from imagebuild.registry.exchange import Reply, Request
from imagebuild.registry.options import RegistryOptions
from imagebuild.registry.origin import Origin
from imagebuild.registry.proxies import Proxies
from imagebuild.registry.transport import Transport
from imagebuild.registry.upload import Upload

__all__ = [
    "Credential",
    "CredentialStore",
    "Proxies",
    "RegistryClient",
    "RegistryOptions",
    "ResolvedManifest",
]

MAX_MANIFEST = 4 << 20
_MAX_TAG_PAGES = 100
_TAGS_PER_PAGE = 1000
_SETTLING = 5  # attempts, 4 s in all

_DIRECT = Proxies()

T = TypeVar("T")


class RegistryClient:
    """Pulls from and pushes to any registry. Thread-safe; connections, tokens and what each registry asks for are kept.

    Every method raises `RegistryError` (`UnreachableError`, `AuthenticationError`, `NotFoundError`, `RateLimitedError`)
    when a registry says no or nothing, after the retries that make sense, and `UsageError` for settings that can't work.

    :param options: registries that need other than the defaults: verified HTTPS, and on loopback also plain HTTP.
    :param credentials: asked once for each repository.
    :param proxies: direct connections unless given; the environment is not looked at.
    :param sleep: waits a number of seconds between attempts.
    :param log: takes one line for each attempt that is repeated; never a secret.
    :param patient: False to take the first answer of a registry, or none, as the last.
    """

    def __init__(
        self,
        options: Sequence[RegistryOptions] = (),
        *,
        credentials: CredentialStore,
        user_agent: str = "pants-kaniko",
        proxies: Proxies = _DIRECT,
        sleep: Callable[[float], None] = time.sleep,
        log: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.monotonic,
        patient: bool = True,
    ) -> None:
        self._transport = Transport(
            options,
            proxies,
            user_agent=user_agent,
            sleep=sleep,
            log=log,
            clock=clock,
            patient=patient,
        )
        auth_hosts = {canonical_registry(option.address): option.auth_hosts for option in options}
        self._endpoints = Endpoints(
            self._transport, Authenticator(self._transport, credentials, auth_hosts), options
        )

    def get_manifest(
        self, repo: Repository, reference: str, *, max_bytes: int = MAX_MANIFEST
    ) -> ResolvedManifest:
        """The manifest or index behind a tag or digest.

        :raises DigestMismatchError: when the bytes are others than the digest in `reference` says.
        :raises MalformedError: when it is longer than `max_bytes`, or no manifest, or one that claims to be two things.
        """
        purpose = f'pulling "{_named(repo, reference)}"'

        def get(remote: Remote) -> ResolvedManifest:
            reply = self._transport.expect(
                self._manifest_request("GET", remote, reference, purpose),
                self._endpoints.authorize(remote, "pull"),
                limit=max_bytes,
            )
            return read_manifest(reply, reference, purpose)

        return self._from_anywhere(repo, purpose, get)

    def head_manifest(self, repo: Repository, reference: str) -> Optional[Descriptor]:
        """What a tag or digest points to, or None; without its bytes, so the digest is the registry's word."""
        purpose = f'looking up "{_named(repo, reference)}"'

        def head(remote: Remote) -> Optional[Descriptor]:
            reply = self._transport.expect(
                self._manifest_request("HEAD", remote, reference, purpose),
                self._endpoints.authorize(remote, "pull"),
                statuses=(200, 404),
            )
            if reply.status == 404 and remote.is_mirror:
                raise NotFoundError(f"{purpose}: not there", status=404)
            return None if reply.status == 404 else describe_manifest(reply, reference) or get_it()

        def get_it() -> Descriptor:
            return self.get_manifest(repo, reference).descriptor

        return self._from_anywhere(repo, purpose, head)

    def has_blob(self, repo: Repository, digest: Hash) -> bool:
        """Whether the registry itself (no mirror) holds the blob in that repository."""
        purpose = f'looking for {digest} in "{repo}"'
        remote = self._endpoints.remote(repo, purpose)
        request = Request("HEAD", remote.url(f"blobs/{digest}"), purpose)
        reply = self._transport.expect(
            request, self._endpoints.authorize(remote, "pull"), statuses=(200, 404)
        )
        return reply.status == 200

    def get_blob(self, repo: Repository, descriptor: Descriptor, sink: Any) -> None:
        """Stream a blob into `sink.write`. After an error, what `sink` got so far must be thrown away.

        :raises DigestMismatchError: when the bytes or their number are others than `descriptor` says.
        """
        purpose = f'pulling {descriptor.digest} from "{repo}"'
        download = Download(self._transport, self._endpoints, descriptor, sink, purpose)
        self._from_anywhere(repo, purpose, download.run)

    def get_small_blob(self, repo: Repository, descriptor: Descriptor, *, max_bytes: int) -> bytes:
        """A blob as bytes.

        :raises MalformedError: when the descriptor announces more than `max_bytes`; nothing is fetched then.
        """
        if descriptor.size > max_bytes:
            raise MalformedError(
                f'{descriptor.digest} in "{repo}" is {descriptor.size} bytes long',
                expected=f"at most {max_bytes}",
            )
        sink = io.BytesIO()
        self.get_blob(repo, descriptor, sink)
        return sink.getvalue()

    def push_blob(
        self,
        repo: Repository,
        descriptor: Descriptor,
        open_source: Callable[[], BinaryIO],
        *,
        mount_from: Sequence[Repository] = (),
        new: bool = False,
    ) -> str:
        """See that the registry has the blob: "exists", "mounted" (no bytes sent) or "uploaded".

        :param open_source: opens a seekable stream of the blob; called for each attempt, each stream is closed.
        :param mount_from: repositories that may have it; those of other registries are passed over.
        :param new: it is hardly there yet: a small one (`upload.MAX_UNASKED`) is sent without asking first.
        """
        purpose = f'pushing {descriptor.digest} to "{repo}"'
        remote = self._endpoints.remote(repo, purpose)
        upload = Upload(self._transport, self._endpoints, remote, descriptor, open_source, purpose)
        same = canonical_registry(repo.registry)
        mounts = [
            one for one in mount_from if canonical_registry(one.registry) == same and one != repo
        ]
        return upload.run(mounts, new=new)

    def put_manifest(self, repo: Repository, reference: str, media_type: str, raw: bytes) -> Hash:
        """Publish a manifest under a tag or its digest; its blobs must be there already. A registry may not see one of them for
        a moment: where it is spread over machines, or when somebody else pushes the same blob just now.

        :raises DigestMismatchError: when the registry says that it stored something else.
        """
        digest = Hash.of(raw)
        purpose = f'pushing "{_named(repo, reference)}"'
        if is_digest(reference) and reference != str(digest):
            raise DigestMismatchError(purpose, expected_digest=reference, actual_digest=str(digest))
        remote = self._endpoints.remote(repo, purpose)
        request = Request(
            "PUT",
            remote.url(f"manifests/{reference}"),
            purpose,
            (("Content-Type", media_type),),
            lambda: io.BytesIO(raw),
            len(raw),
        )
        reply = self._put_settled(request, remote)
        stored = reply.header("docker-content-digest")
        if stored.startswith("sha256:") and stored != str(digest):
            raise DigestMismatchError(
                purpose, expected_digest=str(digest), actual_digest=stored[:80]
            )
        return digest

    def _put_settled(self, request: Request, remote: Remote) -> Reply:
        authorize = self._endpoints.authorize(remote, "pull,push")
        for attempt in range(_SETTLING):
            try:
                return self._transport.expect(request, authorize, statuses=(200, 201, 202, 204))
            except RegistryError as error:
                if "MANIFEST_BLOB_UNKNOWN" not in error.codes or attempt + 1 == _SETTLING:
                    raise
            self._transport.pause(request.purpose, "the registry misses a blob", attempt)
        raise AssertionError("a manifest is put at least once")

    def list_tags(self, repo: Repository) -> Tuple[str, ...]:
        """All tags, sorted; none for a repository without any.

        :raises RegistryError: for a list that leads to another origin, round in a circle, or beyond 100 pages.
        """
        purpose = f'listing the tags of "{repo}"'
        remote = self._endpoints.remote(repo, purpose)
        tags: List[str] = []
        url = remote.url(f"tags/list?n={_TAGS_PER_PAGE}")
        seen: Set[str] = set()
        while url:
            if url in seen or len(seen) >= _MAX_TAG_PAGES or Origin.of(url) != remote.origin:
                raise RegistryError(f"{purpose}: the list leads elsewhere or has no end")
            seen.add(url)
            reply = self._transport.expect(
                Request("GET", url, purpose),
                self._endpoints.authorize(remote, "pull"),
                limit=MAX_MANIFEST,
            )
            tags += read_tags(reply, purpose)
            url = next_page(reply)
        return tuple(sorted(tags))

    def close(self) -> None:
        """Close the connections; the client can be used again."""
        self._transport.close()

    def _manifest_request(
        self, method: str, remote: Remote, reference: str, purpose: str
    ) -> Request:
        accept = (("Accept", media_types.ACCEPT_MANIFESTS),)
        return Request(
            method, remote.url(f"manifests/{reference}"), purpose, accept, attempts=remote.attempts
        )

    def _from_anywhere(self, repo: Repository, purpose: str, get: Callable[[Remote], T]) -> T:
        """From the first mirror that has it, else from the registry, whose error is the one that counts."""
        for mirror in self._endpoints.mirrors(repo):
            try:
                return get(self._endpoints.mirror(mirror, purpose))
            except (RegistryError, IntegrityError) as error:
                self._endpoints.pass_over(mirror, error)
        return get(self._endpoints.remote(repo, purpose))


def _named(repo: Repository, reference: str) -> str:
    return f"{repo}{'@' if is_digest(reference) else ':'}{reference}"
