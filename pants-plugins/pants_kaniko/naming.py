"""What an image is called: placeholders, registries, tags and the cache repository. Plain functions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, Iterator, Mapping, Optional, Sequence, Tuple, Union

from pants.engine.addresses import Address
from pants.util.value_interpolation import (
    InterpolationContext,
    InterpolationError,
    InterpolationValue,
)

from imagebuild.errors import ImageBuildError, UsageError
from imagebuild.oci.reference import ImageRef, Repository
from pants_kaniko.plans import ImageName
from pants_kaniko.registries import Registry

TARGET = "kaniko_image"


class BuildArgError(InterpolationError):
    """A placeholder names a build arg that has no value."""

    @classmethod
    def attribute_error(
        cls, value: Union[str, InterpolationValue], attribute: str
    ) -> BuildArgError:
        known = ", ".join(value) if isinstance(value, InterpolationValue) else ""
        return cls(
            f"The build arg {attribute!r} has no value. Those that have one are: {known or 'none'}.\n\n"
            f"Give it one in `[kaniko].build_args`, in `extra_build_args` of the target, or as a default of its `ARG`."
        )


class BuildArgValues(InterpolationValue):
    _attribute_error_type = BuildArgError


@dataclass(frozen=True)
class Placeholders:
    """What stands for ``{...}`` in the names of one target."""

    address: Address
    context: InterpolationContext

    @staticmethod
    def of(
        address: Address, build_args: Mapping[str, str], tags: Mapping[str, str], hash_text: str
    ) -> Placeholders:
        """:param tags: of base images, by stage and as "baseimage"."""
        values: Dict[str, Union[str, Mapping[str, str]]] = {
            "build_args": BuildArgValues(build_args),
            "tags": tags,
            "pants": {"hash": hash_text},
            "name": address.target_name,
            "directory": os.path.basename(address.spec_path),
            "parent_directory": os.path.basename(os.path.dirname(address.spec_path)),
        }
        return Placeholders(address, InterpolationContext.from_dict(values))

    def fill(self, text: str, field: str) -> str:
        """:raises InterpolationError: for an unknown placeholder, naming the field and the target."""
        source = InterpolationContext.TextSource(
            address=self.address, target_alias=TARGET, field_alias=field
        )
        return self.context.format(text, source=source)

    def fill_option(self, text: str, option: str, **more: str) -> str:
        source = InterpolationContext.TextSource(options_scope=option)
        return self.context.merge(more).format(text, source=source)


@dataclass(frozen=True)
class NameTemplates:
    """The parts of names as the target and the options have them."""

    repository: Optional[str]
    default_repository: str
    tags: Tuple[str, ...]
    registries: Tuple[Registry, ...]


def repository_of(
    templates: NameTemplates, placeholders: Placeholders, registry: Optional[Registry] = None
) -> str:
    """The path of the image inside `registry`; lower case, as registries want it."""
    default = templates.default_repository
    target = templates.repository or default
    more = {"default_repository": default, "target_repository": target}
    if registry and registry.repository:
        option = f"[kaniko.registries.{registry.alias or registry.address}].repository"
        return placeholders.fill_option(registry.repository, option, **more).lower()
    if templates.repository:
        named = Placeholders(placeholders.address, placeholders.context.merge(more))
        return named.fill(templates.repository, "repository").lower()
    option = "[kaniko].default_repository"
    return placeholders.fill_option(default, option, **more).lower()


def image_names(templates: NameTemplates, placeholders: Placeholders) -> Tuple[ImageName, ...]:
    """The image's names, one entry for each registry; one without a registry where there is none.

    :raises UsageError: for a name that no registry accepts.
    """
    destinations: Sequence[Optional[Registry]] = templates.registries or (None,)
    return tuple(_image_name(templates, placeholders, registry) for registry in destinations)


def _image_name(
    templates: NameTemplates, placeholders: Placeholders, registry: Optional[Registry]
) -> ImageName:
    path = repository_of(templates, placeholders, registry)
    repository = f"{registry.address}/{path}" if registry else path
    tags = templates.tags + (registry.extra_image_tags if registry else ())
    refs = tuple(dict.fromkeys(_refs(repository, tags, placeholders)))
    return ImageName(
        registry.address if registry else "",
        repository,
        refs,
        registry.skip_push if registry else False,
    )


def _refs(repository: str, tags: Sequence[str], placeholders: Placeholders) -> Iterator[str]:
    for tag in tags:
        ref = f"{repository}:{placeholders.fill(tag, 'image_tags')}"
        try:
            ImageRef.parse(ref)
        except ImageBuildError as error:
            raise UsageError(
                f"{placeholders.address}: {error}",
                hint="correct `repository` or `image_tags` of the target",
            ) from None
        yield ref


def cache_repository(
    field: Optional[str],
    option: str,
    templates: NameTemplates,
    placeholders: Placeholders,
) -> str:
    """Where layers are cached: what the target says, what the options say, else beside the image; "" for nowhere.

    :raises UsageError: when it is not a repository.
    """
    more = {"default_repository": templates.default_repository}
    if field:
        text = placeholders.fill(field, "cache_repo")
    elif option:
        text = placeholders.fill_option(option, "[kaniko].cache_repo", **more)
    elif templates.registries:
        registry = templates.registries[0]
        text = f"{registry.address}/{repository_of(templates, placeholders, registry)}/cache"
    else:
        return ""
    return str(Repository.parse(text))
