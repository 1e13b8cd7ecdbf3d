"""The `kaniko_image` target. Fields that `docker_image` has too mean the same here, under the same names."""

from __future__ import annotations

import os
from typing import Optional

from pants.core.goals.package import OutputPathField
from pants.core.goals.run import RestartableField
from pants.engine.addresses import Address
from pants.engine.fs import GlobMatchErrorBehavior
from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    BoolField,
    Dependencies,
    DictStringToStringField,
    InvalidFieldException,
    OptionalSingleSourceField,
    StringField,
    StringSequenceField,
    Target,
)
from pants.util.strutil import help_text

from pants_kaniko.build_fields import (
    KanikoCacheField,
    KanikoCacheRepoField,
    KanikoCacheTtlField,
    KanikoCompressionField,
    KanikoFormatsField,
    KanikoNetworkField,
    KanikoPlatformsField,
    KanikoReproducibleField,
)
from pants_kaniko.credentials import KanikoSecretsField, KanikoSshField
from pants_kaniko.registries import ALL_DEFAULT_REGISTRIES

_INTERPOLATION = (
    "Placeholders in curly braces are replaced: `{build_args.NAME}`, `{tags.baseimage}`, `{tags.<stage>}`, and "
    "`{pants.hash}`, a hash of everything that goes into the image."
)


class KanikoSourceField(OptionalSingleSourceField):
    none_is_valid_value = True
    default = "Dockerfile"
    # A Dockerfile that is not there is reported by us, for there may be `instructions` instead.
    default_glob_match_error_behavior = GlobMatchErrorBehavior.ignore
    help = help_text(
        """
        The Dockerfile to build.

        Use `instructions` instead to have it in the BUILD file.
        """
    )


class KanikoInstructionsField(StringSequenceField):
    alias = "instructions"
    required = False
    help = help_text(
        """
        The content of the Dockerfile, one instruction (or line) per item, in place of a `source`.

        Example:

            kaniko_image(
                instructions=[
                    "FROM debian:12-slim",
                    "RUN echo example",
                ],
            )
        """
    )


class KanikoDependenciesField(Dependencies):
    supports_transitive_excludes = True


class KanikoContextRootField(StringField):
    alias = "context_root"
    help = help_text(
        """
        The directory that the paths of `COPY` and `ADD` are relative to.

        `files` is relative to the build root, `./files` to the directory of the BUILD file. Defaults to
        `[kaniko].default_context_root`.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: Optional[str], address: Address) -> Optional[str]:
        value = super().compute_value(raw_value, address)
        if value is not None and value.startswith("/"):
            relative = value.strip("/")
            raise InvalidFieldException(
                f"The `{cls.alias}` field in target {address} must be a relative path, but was {value!r}. "
                f"Use {relative!r} for a path relative to the build root, or {'./' + relative!r} for a path relative "
                f"to the BUILD file (that is {os.path.join(address.spec_path, relative)!r})."
            )
        return value


class KanikoTargetStageField(StringField):
    alias = "target_stage"
    help = help_text(
        """
        The stage to build, by its name in the Dockerfile; defaults to the last one. Stages that it does not need are
        never run. See also `[kaniko].build_target_stage`.
        """
    )


class KanikoImageTagsField(StringSequenceField):
    alias = "image_tags"
    default = ("latest",)
    help = help_text(
        f"""
        The tags of the image.

        {_INTERPOLATION}
        """
    )


class KanikoImageLabelsField(DictStringToStringField):
    alias = "image_labels"
    help = help_text(
        f"""
        Labels of the image, besides those of its Dockerfile.

        {_INTERPOLATION}
        """
    )


class KanikoRepositoryField(StringField):
    alias = "repository"
    help = help_text(
        f"""
        The name of the image inside its registries, for example `"team/app"`. Defaults to
        `[kaniko].default_repository`; a registry's own `repository` comes before both.

        {_INTERPOLATION} And also: `{{name}}`, `{{directory}}`, `{{parent_directory}}`, `{{default_repository}}`.
        """
    )


class KanikoRegistriesField(StringSequenceField):
    alias = "registries"
    default = (ALL_DEFAULT_REGISTRIES,)
    help = help_text(
        """
        The registries to publish to: addresses, or aliases of `[kaniko].registries` with an `@` in front. Defaults to
        all that are configured with `default = true`.

        Example:

            kaniko_image(registries=["@internal", "registry.example.com:5000"])
        """
    )


class KanikoBuildArgsField(StringSequenceField):
    alias = "extra_build_args"
    default = ()
    help = help_text(
        """
        Values for the Dockerfile's `ARG`s, besides `[kaniko].build_args`: `"NAME=value"`, or `"NAME"` to take the value
        from the environment that Pants runs in.
        """
    )


class KanikoSkipPushField(BoolField):
    alias = "skip_push"
    default = False
    help = "If true, `publish` leaves this image out."


class KanikoSkipCheckField(BoolField):
    alias = "skip_check"
    default = False
    help = "If true, `check` leaves this image out."


class KanikoOutputPathField(OutputPathField):
    help = help_text(
        """
        Where `package` writes below `dist/`, without an ending: `"images/app"` gives `images/app.oci/`,
        `images/app.image.json` and so on.

        By default, the path of the BUILD file's directory and the name of the target: `src/app:image` gives
        `src.app/image.oci/`.
        """
    )


class KanikoImageTarget(Target):
    alias = "kaniko_image"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        KanikoSourceField,
        KanikoInstructionsField,
        KanikoDependenciesField,
        KanikoContextRootField,
        KanikoTargetStageField,
        KanikoImageTagsField,
        KanikoImageLabelsField,
        KanikoRepositoryField,
        KanikoRegistriesField,
        KanikoBuildArgsField,
        KanikoSecretsField,
        KanikoSshField,
        KanikoSkipPushField,
        KanikoSkipCheckField,
        KanikoOutputPathField,
        KanikoCacheField,
        KanikoCacheRepoField,
        KanikoCacheTtlField,
        KanikoReproducibleField,
        KanikoCompressionField,
        KanikoNetworkField,
        KanikoPlatformsField,
        KanikoFormatsField,
        RestartableField,
    )
    help = help_text(
        """
        A container image, built from a Dockerfile without Docker: step by step, each step cached by Pants and in a
        registry.

        Its dependencies are the build context: `file`, `files` and `resources` targets as they are, and targets that
        can be packaged (`pex_binary`, `archive`, ...) under their output path.

        Example:

            kaniko_image(
                name="image",
                dependencies=[":app", ":config"],
                image_tags=["1.0", "latest"],
            )
        """
    )
