"""What `package` hands to other goals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from pants.core.goals.package import BuiltPackageArtifact, PackageFieldSet

from imagebuild.execute.assemble import Image, ImageSet
from pants_kaniko.build_fields import KanikoFormatsField
from pants_kaniko.target_types import KanikoOutputPathField, KanikoSourceField


@dataclass(frozen=True)
class KanikoPackageFieldSet(PackageFieldSet):
    required_fields = (KanikoSourceField,)

    source: KanikoSourceField
    formats: KanikoFormatsField
    output_path: KanikoOutputPathField


@dataclass(frozen=True)
class BuiltKanikoImage(BuiltPackageArtifact):
    """What was built: all of it but its layers' bytes."""

    images: Optional[ImageSet] = None

    @property
    def image(self) -> Optional[Image]:
        """The image, or the one for the first of several platforms."""
        return self.images.images[0] if self.images else None
