"""Fields that refuse a value say which field of which target, what it was, and what it should be."""

from __future__ import annotations

from typing import Any, Dict, Type

import pytest
from pants.backend.docker import target_types as docker
from pants.engine.addresses import Address
from pants.engine.target import Field, InvalidFieldException

from pants_kaniko.build_fields import (
    KanikoCacheTtlField,
    KanikoCompressionField,
    KanikoFormatsField,
    KanikoNetworkField,
)
from pants_kaniko.credentials import KanikoSecretsField, KanikoSshField
from pants_kaniko.durations import seconds_of
from pants_kaniko.target_types import KanikoContextRootField, KanikoImageTarget

ADDRESS = Address("src/app", target_name="image")

BAD = [
    (
        KanikoContextRootField,
        "/abs/dir",
        "'abs/dir' for a path relative to the build root, or './abs/dir'",
    ),
    (KanikoCacheTtlField, "2 weeks", '"336h" or "1h30m"'),
    (KanikoFormatsField, ["tar"], '"oci-layout", "docker-archive", "registry"'),
    (KanikoFormatsField, [], "a list of"),
    (KanikoCompressionField, "lzma", "gzip"),
    (KanikoNetworkField, "bridge", "none"),
    (KanikoSecretsField, {"token": ""}, '{"token": "./secrets/token"}'),
    (KanikoSecretsField, {"": "/token"}, "a dictionary of ids to files"),
    (KanikoSecretsField, ["token"], "a dictionary of string -> string"),
    (KanikoSshField, ["=path"], "'=path', which is not one. Use `default`"),
    (KanikoSshField, ["id="], "`ID=PATH[,PATH...]`"),
    (KanikoSshField, ["id=a,,b"], "`ID=PATH[,PATH...]`"),
    (KanikoSshField, ["default", "default=key"], "names an id twice"),
]


@pytest.mark.parametrize(("field", "value", "expected"), BAD)
def test_bad_values(field: Type[Field], value: Any, expected: str) -> None:
    with pytest.raises(InvalidFieldException) as caught:
        field(value, ADDRESS)
    text = str(caught.value)

    assert expected in text
    assert field.alias in text
    assert "src/app:image" in text


def test_fields_of_docker_image_have_the_same_names_and_defaults() -> None:
    """So that migrating is renaming the target. What is left out here comes with its feature."""
    later = {"pull", "squash"}
    ours: Dict[str, Any] = {field.alias: field for field in KanikoImageTarget.core_fields}
    theirs: Dict[str, Any] = {field.alias: field for field in docker.DockerImageTarget.core_fields}

    assert later == theirs.keys() - ours.keys()
    assert {} == {
        alias: (theirs[alias].default, ours[alias].default)
        for alias in theirs.keys() & ours.keys()
        if theirs[alias].default != ours[alias].default
    }


def test_no_field_is_one_of_docker_image() -> None:
    """Pants matches fields by subclass: with one of those, `docker build` would claim our targets."""
    theirs = {
        field
        for field in vars(docker).values()
        if isinstance(field, type) and field.__module__ == docker.__name__
    }

    assert [] == [field for field in KanikoImageTarget.core_fields if theirs & set(field.__mro__)]


def test_every_field_has_help_of_its_own() -> None:
    assert [] == [field for field in KanikoImageTarget.core_fields if not field.help]


DURATIONS = [("0", 0), ("3600", 3600), ("336h", 1209600), ("1h30m", 5400), ("90m5s", 5405)]
NO_DURATIONS = ["", "h", "1d", "-1h", "1.5h", "1 h", "²"]


@pytest.mark.parametrize(("text", "expected"), DURATIONS)
def test_durations(text: str, expected: int) -> None:
    assert expected == seconds_of(text)


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_no_durations(text: str) -> None:
    assert seconds_of(text) is None
