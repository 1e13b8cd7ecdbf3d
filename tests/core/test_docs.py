"""The documentation: its links lead somewhere, its commands are run by something, and what it lists is complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple, Type

import pytest

from imagebuild import errors
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ImageBuildError
from support.documents import ROOT, Block, blocks, headings, pages, without_code

PAGES = pages()
MAX_LINE = 120

# A command of a `console` block -> the file that runs it, and the text there that does.
RUN_BY: Dict[str, Tuple[str, str]] = {
    "scripts/demo": (".ci/run", "scripts/demo"),
    "scripts/test": (".ci/run", "scripts/test"),
    # tests/e2e/test_readme.py runs whatever commands the README has.
    "pants package hello:image": ("tests/e2e/test_readme.py", "for command in commands(README)"),
    "pants publish hello:image": ("tests/e2e/test_readme.py", "for command in commands(README)"),
    "pants run hello:image -- you": ("tests/e2e/test_readme.py", "for command in commands(README)"),
}

# Goals of Pants that pages speak of; more are the aliases of pants.toml.
GOALS = set("check dependencies generate-lockfiles help package publish run tailor test".split())

# Hosts that a page may name: those of the world, of examples, and this machine's own loopback.
HOSTS = re.compile(
    r"(?:[\w-]+\.)*(?:example\.(?:com|org)|github\.com|pantsbuild\.org|astral\.sh|keepachangelog\.com|semver\.org)|localhost"
)
MACHINE_PATH = re.compile(r"(?<![\w/.])/(?:work|home/\w+|tmp/\w+)/|\.pyenv/versions")
ADDRESS = re.compile(r"(?<![\d.])(?!127\.)\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d.])")


class Link(NamedTuple):
    page: Path
    target: str


def links() -> Iterator[Link]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text("utf-8"))):
            if not re.match(r"https?://", target):
                yield Link(page, target)


def console_commands() -> List[Tuple[Path, str]]:
    return [
        (page, command) for page in PAGES for block in blocks(page) for command in block.commands
    ]


def ids(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


def test_there_are_pages_links_and_commands() -> None:
    assert len(PAGES) > 10
    assert len(list(links())) > 40
    assert len(console_commands()) >= len(RUN_BY)


@pytest.mark.parametrize("link", links(), ids=lambda link: f"{ids(link.page)}-{link.target}")
def test_a_link_leads_somewhere(link: Link) -> None:
    path, _, anchor = link.target.partition("#")
    target = (link.page.parent / path).resolve() if path else link.page

    assert target.exists(), f"{ids(link.page)} links to {link.target}"
    assert not anchor or anchor in headings(target), f"{ids(target)} has no heading {anchor}"


@pytest.mark.parametrize("page, command", console_commands(), ids=ids)
def test_a_command_is_run_by_something(page: Path, command: str) -> None:
    assert command in RUN_BY, f"{ids(page)}: say in RUN_BY what runs {command!r}"
    file, text = RUN_BY[command]

    assert text in (ROOT / file).read_text("utf-8"), f"{file} does not run {command!r} any more"


def test_no_command_is_listed_that_no_page_has() -> None:
    assert set(RUN_BY) == {command for _, command in console_commands()}


def test_goals_that_pages_speak_of_exist() -> None:
    aliases = re.findall(r"^([a-z-]+) = \"", (ROOT / "pants.toml").read_text("utf-8"), re.MULTILINE)
    spoken = {
        goal
        for page in PAGES
        for goal in re.findall(r"`(?:\./)?pants ([a-z][a-z-]+)", page.read_text("utf-8"))
    }

    assert set() == spoken - GOALS - set(aliases)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_page_names_no_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    hosts = re.findall(r"https?://([\w.-]+\w)", text)

    assert [] == MACHINE_PATH.findall(text) + ADDRESS.findall(text)
    assert [] == [host for host in hosts if not HOSTS.fullmatch(host)]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_lines_are_short(page: Path) -> None:
    """Rows of tables cannot be wrapped."""
    lines = page.read_text("utf-8").splitlines()
    long = [n for n, line in enumerate(lines, 1) if len(line) > MAX_LINE and line[:1] != "|"]

    assert [] == long


def python_blocks() -> List[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == "python"]


@pytest.mark.parametrize("block", python_blocks(), ids=str)
def test_python_is_python(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize(
    "block", [b for page in PAGES for b in blocks(page) if b.language == "dockerfile"], ids=str
)
def test_a_dockerfile_is_one(block: Block) -> None:
    assert parse(block.text).stages


def error_classes() -> Iterator[Type[ImageBuildError]]:
    for cls in vars(errors).values():
        if isinstance(cls, type) and issubclass(cls, ImageBuildError):
            yield cls


def test_the_reference_has_every_exit_code() -> None:
    page = (ROOT / "docs/reference.md").read_text("utf-8")
    section = page[page.index("## Exit codes of the executor") :]
    listed: Set[int] = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}

    assert {0, 3, *(cls.exit_code for cls in error_classes())} == listed


def test_the_kaniko_page_answers_for_every_flag() -> None:
    """The flags of kaniko's executor v1.24: each once, in the first column."""
    page = (ROOT / "docs/migrating-from-kaniko.md").read_text("utf-8")
    table = page[page.index("## Flag by flag") : page.index("## What comes out differently")]
    firsts = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    listed = re.findall(r"`--([a-z-]+)`", " ".join(firsts))

    assert sorted(KANIKO_FLAGS.split()) == sorted(listed)


KANIKO_FLAGS = """
bucket build-arg cache cache-copy-layers cache-dir cache-repo cache-run-layers cache-ttl cleanup compressed-caching
compression compression-level context context-sub-path credential-helpers custom-platform destination digest-file
dockerfile force force-build-metadata git ignore-path ignore-var-run image-download-retry image-fs-extract-retry
image-name-tag-with-digest-file image-name-with-digest-file insecure insecure-pull insecure-registry kaniko-dir label
log-format log-timestamp no-push no-push-cache oci-layout-path preserve-context push-ignore-immutable-tag-errors
push-retry registry-certificate registry-client-cert registry-map registry-mirror reproducible single-snapshot
skip-default-registry-fallback skip-push-permission-check skip-tls-verify skip-tls-verify-pull
skip-tls-verify-registry skip-unused-stages snapshot-mode tar-path target use-new-run verbosity
"""
