"""``resolve``: image names to manifests, configs and layers. Only metadata is fetched, and what a digest stands for only once:
a tag that still means the same costs one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Optional, Tuple, Union

from imagebuild import canonical
from imagebuild.errors import (
    ImageBuildError,
    MalformedError,
    NotFoundError,
    PlatformMissingError,
    RegistryError,
)
from imagebuild.execute.effects import Effects
from imagebuild.execute.requests import ResolveRequest, ResolveResult
from imagebuild.llb.plan import ResolvedBase, UnreadImage, WantedImage
from imagebuild.oci import manifest as manifests
from imagebuild.oci.config import ConfigFile
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash
from imagebuild.oci.manifest import Index, Manifest
from imagebuild.oci.reference import ImageRef, Repository
from imagebuild.registry.concurrency import concurrently
from imagebuild.store.store import Store

if TYPE_CHECKING:
    from imagebuild.registry.client import RegistryClient

MAX_CONFIG_BYTES = 8 << 20
MAX_INDEX_DEPTH = 3
_NO_HEAD = frozenset({400, 405, 501})


def resolve(request: ResolveRequest, effects: Effects) -> ResolveResult:
    """:raises RegistryError: for an image that cannot be read, naming it.
    :raises MalformedError: for one that breaks the image-spec or has nothing for the platform. Neither where the request
        is tolerant.
    """
    client = effects.client(request.registries, patient=not request.tolerant)
    platforms: Dict[str, List[Platform]] = {}
    for image in request.images:
        platforms.setdefault(image.ref, []).append(image.platform)

    def resolve_name(text: str) -> List[Union[ResolvedBase, UnreadImage]]:
        wanted = [WantedImage(text, platform) for platform in platforms[text]]
        try:
            name = _Name(text, client, effects.store)
        except ImageBuildError as error:
            if not request.tolerant:
                raise
            return [UnreadImage(image, error.message) for image in wanted]
        answer = name.try_to_resolve if request.tolerant else name.resolve
        return [answer(image.platform) for image in wanted]

    found = concurrently(resolve_name, platforms)
    each = {text: iter(answers) for text, answers in zip(platforms, found)}
    answers = [next(each[image.ref]) for image in request.images]
    return ResolveResult(
        tuple(answer for answer in answers if isinstance(answer, ResolvedBase)),
        tuple(answer for answer in answers if isinstance(answer, UnreadImage)),
    )


class _Name:
    """What one name means: asked once, for however many platforms."""

    def __init__(self, text: str, client: RegistryClient, store: Store) -> None:
        self._text, self._client, self._store = text, client, store
        self._ref = ImageRef.parse(text)
        self._mark = f"resolved {text}"
        self._digest = self._ref.digest
        if not self._digest and store.is_marked(self._mark):  # else all of it is read anyway
            self._digest = _digest_of(client, self._ref)
        self._documents: Dict[str, Tuple[Descriptor, manifests.Document]] = {}

    def resolve(self, platform: Platform) -> ResolvedBase:
        base = _known(self._store, self._key(self._digest, platform)) if self._digest else None
        if base is None:
            base = self._ask(platform)
            digest = self._digest or self._documents[self._ref.tag][0].digest
            self._store.put_record(self._key(digest, platform), canonical.dumps(base))
            if not self._digest:
                self._store.mark(self._mark)
        return base

    def _key(self, digest: Hash, platform: Platform) -> Hash:
        return canonical.fingerprint(["base", self._text, digest, platform])

    def try_to_resolve(self, platform: Platform) -> Union[ResolvedBase, UnreadImage]:
        try:
            return self.resolve(platform)
        except ImageBuildError as error:
            offered = error.offered if isinstance(error, PlatformMissingError) else ""
            return UnreadImage(WantedImage(self._text, platform), error.message, offered)

    def _ask(self, platform: Platform) -> ResolvedBase:
        descriptor, manifest = self._manifest(platform)
        repository = self._ref.repository
        raw = self._client.get_small_blob(repository, manifest.config, max_bytes=MAX_CONFIG_BYTES)
        config = ConfigFile.parse(raw)
        if len(config.diff_ids) != len(manifest.layers):
            raise MalformedError(
                f'the image "{self._text}" has {len(manifest.layers)} layers and '
                f"{len(config.diff_ids)} diffIDs",
                hint="the image is broken: push it again, or use another",
            )
        layers = tuple(map(Layer, config.diff_ids, manifest.layers))
        return ResolvedBase(
            self._text, str(repository), descriptor, config, layers, platform=platform
        )

    def _manifest(self, platform: Platform) -> Tuple[Descriptor, Manifest]:
        reference = str(self._digest) if self._digest else self._ref.tag
        for _ in range(MAX_INDEX_DEPTH):
            if reference not in self._documents:
                self._documents[reference] = _get(
                    self._client, self._ref.repository, reference, str(self._ref)
                )
            descriptor, document = self._documents[reference]
            if isinstance(document, Manifest):
                return descriptor, document
            chosen = document.for_platform(platform)
            if chosen is None:
                raise PlatformMissingError(
                    str(self._ref), str(platform), offered=_platforms(document)
                )
            reference = str(chosen.digest)
        raise MalformedError(
            f'the image "{self._ref}" nests its indexes more than {MAX_INDEX_DEPTH} deep'
        )


def _digest_of(client: RegistryClient, ref: ImageRef) -> Optional[Hash]:
    """What a tag means now, None where the registry does not say so without sending all of it."""
    try:
        found = client.head_manifest(ref.repository, ref.tag)
    except RegistryError as error:
        if error.status in _NO_HEAD:
            return None
        raise
    return found.digest if found else None


def _known(store: Store, key: Hash) -> Optional[ResolvedBase]:
    raw = store.get_record(key)
    try:
        return canonical.loads(ResolvedBase, raw) if raw else None
    except MalformedError:
        return None


def _get(
    client: RegistryClient, repository: Repository, reference: str, name: str
) -> Tuple[Descriptor, manifests.Document]:
    try:
        answer = client.get_manifest(repository, reference)
    except NotFoundError as error:
        raise NotFoundError(
            f'the image "{name}" is not in its registry',
            method=error.method,
            url=error.url,
            status=error.status,
            codes=error.codes,
            hint="check the name and the tag; a private image also answers so without credentials",
        ) from None
    return answer.descriptor, manifests.parse(answer.raw, answer.descriptor.media_type)


def _platforms(index: Index) -> str:
    known = {str(manifest.platform) for manifest in index.manifests if manifest.platform}
    return ", ".join(sorted(known - {"unknown/unknown"}))
