"""``resolve``: image names to manifests, configs and layers. Only metadata is fetched, and what a digest stands for only once:
a tag that still means the same costs one request.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Optional, Tuple

from imagebuild import canonical
from imagebuild.errors import MalformedError, NotFoundError, RegistryError
from imagebuild.execute.effects import CONCURRENCY, Effects
from imagebuild.execute.requests import ResolveRequest, ResolveResult
from imagebuild.llb.plan import ResolvedBase
from imagebuild.oci import manifest as manifests
from imagebuild.oci.config import ConfigFile
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash
from imagebuild.oci.manifest import Index, Manifest
from imagebuild.oci.reference import ImageRef, Repository
from imagebuild.store.store import Store

if TYPE_CHECKING:
    from imagebuild.registry.client import RegistryClient

MAX_CONFIG_BYTES = 8 << 20
MAX_INDEX_DEPTH = 3
_NO_HEAD = frozenset({400, 405, 501})


def resolve(request: ResolveRequest, effects: Effects) -> ResolveResult:
    """:raises RegistryError: for an image that cannot be read, naming it.
    :raises MalformedError: for one that breaks the image-spec or has nothing for the platform.
    """
    client = effects.client(request.registries)

    def resolve_one(text: str) -> ResolvedBase:
        ref = ImageRef.parse(text)
        digest = ref.digest or _digest_of(client, ref)
        if digest is None:
            return _resolve(client, ref, text, request.platform)
        key = canonical.fingerprint(["base", text, digest, request.platform])
        base = _known(effects.store, key)
        if base is None:
            base = _resolve(client, ref, text, request.platform)
            effects.store.put_record(key, canonical.dumps(base))
        return base

    if len(request.refs) == 1:
        return ResolveResult((resolve_one(request.refs[0]),))
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return ResolveResult(tuple(pool.map(resolve_one, request.refs)))


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


def _resolve(client: RegistryClient, ref: ImageRef, text: str, platform: Platform) -> ResolvedBase:
    descriptor, manifest = _manifest(client, ref, platform)
    raw = client.get_small_blob(ref.repository, manifest.config, max_bytes=MAX_CONFIG_BYTES)
    config = ConfigFile.parse(raw)
    if len(config.diff_ids) != len(manifest.layers):
        raise MalformedError(
            f'the image "{text}" has {len(manifest.layers)} layers and {len(config.diff_ids)} diffIDs',
            hint="the image is broken: push it again, or use another",
        )
    layers = tuple(map(Layer, config.diff_ids, manifest.layers))
    return ResolvedBase(text, str(ref.repository), descriptor, config, layers)


def _manifest(
    client: RegistryClient, ref: ImageRef, platform: Platform
) -> Tuple[Descriptor, Manifest]:
    reference = str(ref.digest) if ref.digest else ref.tag
    for _ in range(MAX_INDEX_DEPTH):
        found = _get(client, ref.repository, reference, str(ref))
        if isinstance(found[1], Manifest):
            return found[0], found[1]
        chosen = found[1].for_platform(platform)
        if chosen is None:
            raise MalformedError(
                f'the image "{ref}" has nothing for {platform}',
                expected="one of " + (_platforms(found[1]) or "its platforms (it names none)"),
                hint="use an image that is built for this platform",
            )
        reference = str(chosen.digest)
    raise MalformedError(f'the image "{ref}" nests its indexes more than {MAX_INDEX_DEPTH} deep')


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
