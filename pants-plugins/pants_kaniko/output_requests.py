"""From layers to what leaves Pants: files, pushes, containers. Values only, as in `requests`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from pants.engine.fs import Digest
from pants.engine.process import InteractiveProcess

from imagebuild.execute.assemble import ImageSet
from imagebuild.execute.requests import LayerSource
from imagebuild.oci.hash import Hash
from imagebuild.registry.options import RegistryOptions
from pants_kaniko.plans import ImageName, PlannedImage
from pants_kaniko.requests import BuildImage, BuiltLayers


@dataclass(frozen=True)
class FetchLayers:
    """Bring layers' blobs into the local store."""

    sources: Tuple[LayerSource, ...]
    registries: Tuple[RegistryOptions, ...]
    attempt: int = 0


@dataclass(frozen=True)
class DeliverLayers:
    """Build an image whose layers are there for certain, for somebody who takes them away.

    :param repositories: those that it goes to, which may have some of the layers already; none when the layers are wanted in the
        local store.
    :param run: Pants' id of the run that wants it.
    """

    build: BuildImage
    repositories: Tuple[str, ...] = ()
    run: int = 0


@dataclass(frozen=True)
class DeliveredLayers:
    built: BuiltLayers


@dataclass(frozen=True)
class ExportLayers:
    """Take layers' blobs into Pants' own store.

    :param far: some are not in the local store.
    :param attempt: of the build: what failed in an earlier one of the same run is tried again.
    """

    sources: Tuple[LayerSource, ...]
    registries: Tuple[RegistryOptions, ...]
    far: bool = False
    attempt: int = 0


@dataclass(frozen=True)
class AvailableLayers:
    """:param missing: diffIDs of layers that nobody has any more."""

    missing: Tuple[Hash, ...] = ()


@dataclass(frozen=True)
class PackageImage:
    """Make the files of an image.

    :param path: below `dist/`, without an ending.
    :param lines: what is to be said of its steps when it is there.
    """

    planned: PlannedImage
    build: BuildImage
    formats: Tuple[str, ...]
    path: str
    lines: Tuple[str, ...] = ()


@dataclass(frozen=True)
class FormatRequest:
    """Write one format of what was built, whose layers are in Pants' store."""

    format: str
    images: ImageSet
    path: str
    names: Tuple[ImageName, ...]

    @property
    def refs(self) -> Tuple[str, ...]:
        return tuple(ref for name in self.names for ref in name.refs)


@dataclass(frozen=True)
class FormatFiles:
    digest: Digest


@dataclass(frozen=True)
class Push:
    """Push what was built to one repository.

    :param refs: its names there, a tag each.
    """

    images: ImageSet
    sources: Tuple[LayerSource, ...]
    refs: Tuple[str, ...]
    registries: Tuple[RegistryOptions, ...]

    @property
    def digest_names(self) -> Tuple[str, ...]:
        """The names with the image's digest behind them: what can be pulled again, and gives these very bytes."""
        return tuple(f"{ref}@{self.images.digest}" for ref in self.refs)


@dataclass(frozen=True)
class PushJob:
    push: Push
    process: InteractiveProcess
