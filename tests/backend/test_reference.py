"""docs/reference.md says what the code does: its generated parts are as the generator writes them now."""

from __future__ import annotations

import re

import pytest
import reference
from pants.option.option_types import collect_options_info

from imagebuild.dockerfile.instructions import INSTRUCTIONS
from imagebuild.dockerfile.mount_options import OPTIONS
from pants_kaniko.registries import RegistriesError, Registry
from pants_kaniko.subsystem import KanikoSubsystem
from pants_kaniko.target_types import KanikoImageTarget
from support.documents import ROOT

PAGE = (ROOT / reference.PAGE).read_text("utf-8")


def section(title: str) -> str:
    return PAGE[PAGE.index(f"\n## {title}\n") :].partition("\n## ")[2].partition("\n## ")[0]


def test_the_page_is_what_the_generator_writes() -> None:
    again = "run `./pants run build-support/reference.py` and look at what it changes"

    assert PAGE == reference.render(PAGE, ROOT), again


def test_every_field_has_its_heading() -> None:
    listed = re.findall(r"^#### `(\w+)`$", section("Fields of `kaniko_image`"), re.MULTILINE)

    assert sorted(field.alias for field in KanikoImageTarget.core_fields) == listed


def test_every_option_has_its_heading() -> None:
    infos = (
        *collect_options_info(KanikoSubsystem),
        *collect_options_info(KanikoSubsystem.EnvironmentAware),
    )
    listed = re.findall(r"^#### `(\w+)`$", section("Options: `[kaniko]`"), re.MULTILINE)

    assert sorted(info.flag_names[0][2:].replace("-", "_") for info in infos) == listed


def test_the_launcher_takes_no_variable_of_an_option() -> None:
    """Pants reads PANTS_KANIKO_X as option x of [kaniko]."""
    launcher = (ROOT / "pants").read_text("utf-8")

    assert "PANTS_VERSION" in launcher
    assert [] == re.findall(r"PANTS_KANIKO_\w+", launcher)


@pytest.mark.parametrize(
    "text",
    [
        '#### `image_tags`\nlist of strings; default `"latest"`',
        "#### `cache`\ntrue or false; default `true`",
        '#### `cache_ttl`\ndefault `"0"`; `--kaniko-cache-ttl`',
        '#### `runtime`\ndefault `"auto"`; one of `"auto"`, `"namespace"`, `"chroot"`',
    ],
)
def test_defaults_are_shown(text: str) -> None:
    assert text in PAGE


def test_every_instruction_and_flag_is_named() -> None:
    table = section("Instructions")
    for keyword, cls in INSTRUCTIONS.items():
        assert f"\n| {keyword} |" in table
        for flag in cls.FLAGS:
            assert f"\n| {keyword} `--{flag.name}` |" in table


def test_every_option_of_a_mount_is_named() -> None:
    table = section("Instructions")
    for option in OPTIONS:
        assert f"\n| `{option.name}`" in table


@pytest.mark.parametrize("name", reference.REFUSED)
def test_what_is_refused_has_a_golden_error(name: str) -> None:
    assert (ROOT / reference.GOLDEN_ERRORS / name / "error.txt").exists()


def test_every_key_of_a_registry_is_described() -> None:
    page = (ROOT / "docs/registries-and-credentials.md").read_text("utf-8")
    with pytest.raises(RegistriesError) as caught:
        Registry.from_table("x", {"no such key": 1})
    (known,) = re.findall(r"Known are: (.*)\.$", str(caught.value))

    assert [] == [key for key in known.split(", ") if f"`{key}`" not in page]
