"""Fields of `kaniko_image` that `docker_image` has not: how layers are cached and written."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from pants.engine.addresses import Address
from pants.engine.target import (
    BoolField,
    InvalidFieldException,
    InvalidFieldTypeException,
    StringField,
    StringSequenceField,
)
from pants.util.strutil import help_text

from imagebuild.dockerfile.platforms import read_platform
from imagebuild.errors import ImageBuildError
from imagebuild.oci.descriptor import Platform
from pants_kaniko.durations import seconds_of

FORMATS = ("oci-layout", "docker-archive", "registry")
COMPRESSIONS = ("gzip", "zstd")
NETWORKS = ("host", "none")


class KanikoCacheField(BoolField):
    alias = "cache"
    default = True
    help = help_text(
        """
        If false, every step of this image runs anew in every build, and nothing is written to a cache repository.
        """
    )


class KanikoCacheRepoField(StringField):
    alias = "cache_repo"
    help = help_text(
        """
        The repository that layers are cached in, with its registry: `"registry.example.com/team/cache"`. Defaults to
        `[kaniko].cache_repo`, else to `<registry>/<repository>/cache` of the image's first registry. An image without
        any of these is cached on this machine only.
        """
    )


class KanikoCacheTtlField(StringField):
    alias = "cache_ttl"
    help = help_text(
        """
        How long a cached layer is good for: `"336h"`, `"90m"`, or a number of seconds. Defaults to
        `[kaniko].cache_ttl`.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: Optional[str], address: Address) -> Optional[str]:
        value = super().compute_value(raw_value, address)
        if value is not None and seconds_of(value) is None:
            raise InvalidFieldException(
                f"The `{cls.alias}` field in target {address} must be a duration, but was {value!r}. "
                'Use for example "336h" or "1h30m", or a number of seconds: "3600".'
            )
        return value


class KanikoReproducibleField(BoolField):
    alias = "reproducible"
    default = True
    help = help_text(
        """
        If true, the times of files that a build writes are all the same moment, so that the same build gives the same
        image. If false, they are those of the build. Layers of the base image are never changed.
        """
    )


class KanikoCompressionField(StringField):
    alias = "compression"
    valid_choices = COMPRESSIONS
    help = "How new layers are compressed: `gzip`, which everything reads, or `zstd`. Defaults to `[kaniko].compression`."


class KanikoNetworkField(StringField):
    alias = "network"
    valid_choices = NETWORKS
    help = help_text(
        """
        The network that `RUN` sees: `host`, that of this machine, or `none`, which makes a build prove that it needs
        nothing from outside. Defaults to `[kaniko].network`.
        """
    )


class KanikoPlatformsField(StringSequenceField):
    alias = "platforms"
    help = help_text(
        """
        What to build for: `["linux/amd64", "linux/arm64"]` gives one image for each platform and an image index, which is
        what the image's names stand for; one platform gives the plain image for it. Defaults to this machine's own.

        `COPY` and all that only changes the configuration need nothing for another platform. A `RUN` of a stage for another
        one is run by an emulator, which the kernel has to know: on Debian and Ubuntu, install `qemu-user-static` and
        `binfmt-support`. A stage that starts with `FROM --platform=$BUILDPLATFORM` runs on this machine's platform, once for
        all that are built for.
        """
    )

    @property
    def platforms(self) -> Tuple[Platform, ...]:
        """Each in its one spelling; () for this machine's own."""
        return tuple(map(read_platform, self.value or ()))

    @classmethod
    def compute_value(cls, raw_value: Any, address: Address) -> Optional[Tuple[str, ...]]:
        value = super().compute_value(raw_value, address)
        try:
            known = [read_platform(text) for text in value or ()]
        except ImageBuildError as error:
            raise InvalidFieldException(
                f"The `{cls.alias}` field in target {address} has a wrong item: {error}"
            ) from None
        twice = {str(item) for item in known if known.count(item) > 1}
        if twice:
            raise InvalidFieldException(
                f"The `{cls.alias}` field in target {address} names {', '.join(sorted(twice))} more than once: "
                f"{', '.join(value or ())}. Leave all but one away."
            )
        return value


class KanikoFormatsField(StringSequenceField):
    alias = "formats"
    default = ("oci-layout",)
    help = help_text(
        """
        What `package` writes besides `NAME.image.json`, which says what the image is made of:

        * `oci-layout`: `NAME.oci/`, an OCI image layout, which skopeo, podman, umoci and crane read;
        * `docker-archive`: `NAME.docker.tar`, for `docker load`;
        * `registry`: nothing. The layers are in the cache repository already, and no bytes are copied here.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: Any, address: Address) -> Optional[Tuple[str, ...]]:
        value = super().compute_value(raw_value, address)
        wrong = [item for item in value or () if item not in FORMATS]
        if wrong or value == ():
            raise InvalidFieldTypeException(
                address,
                cls.alias,
                raw_value,
                expected_type="a list of " + ", ".join(f'"{name}"' for name in FORMATS),
            )
        return value
