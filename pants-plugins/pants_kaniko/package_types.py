"""What `package` hands to other goals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from pants.core.goals.package import BuiltPackageArtifact, PackageFieldSet

from imagebuild.execute.assemble import Image
from imagebuild.execute.requests import LayerSource
from pants_kaniko.build_fields import KanikoFormatsField
from pants_kaniko.plans import ImageName, Settings
from pants_kaniko.target_types import KanikoOutputPathField, KanikoSourceField


@dataclass(frozen=True)
class KanikoPackageFieldSet(PackageFieldSet):
    required_fields = (KanikoSourceField,)

    source: KanikoSourceField
    formats: KanikoFormatsField
    output_path: KanikoOutputPathField


@dataclass(frozen=True)
class BuiltKanikoImage(BuiltPackageArtifact):
    """An image that is built: all of it but its layers' bytes, and where those are.

    :param sources: its layers, lowest first, each with the repositories that have it.
    """

    image: Optional[Image] = None
    sources: Tuple[LayerSource, ...] = ()
    names: Tuple[ImageName, ...] = ()
    settings: Optional[Settings] = None
