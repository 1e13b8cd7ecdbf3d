"""Writes the generated parts of docs/reference.md: `./pants run build-support/reference.py`, from the repository's root.

Fields, options and instructions are taken from the classes that implement them, and what is refused from the golden
errors, so the page says what the code does. tests/backend/test_reference.py fails while the page is another one.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any, Dict, Iterable, List, Type

from pants.engine.target import (
    BoolField,
    Dependencies,
    DictStringToStringField,
    Field,
    SequenceField,
)
from pants.option.option_types import OptionsInfo, collect_options_info
from pants.option.subsystem import Subsystem

from imagebuild.dockerfile.flags import Flag
from imagebuild.dockerfile.instructions import INSTRUCTIONS
from pants_kaniko.build_fields import COMPRESSIONS, NETWORKS
from pants_kaniko.registries import ALL_DEFAULT_REGISTRIES
from pants_kaniko.subsystem import RUNTIMES, KanikoExecutor, KanikoSubsystem
from pants_kaniko.target_types import KanikoImageTarget

PAGE = "docs/reference.md"
GOLDEN_ERRORS = "tests/golden/errors"

_BLOCK = r"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
_CHOICES = {"runtime": RUNTIMES, "network": NETWORKS, "compression": COMPRESSIONS}
_REFUSED = "not supported yet"
_MAX_ROW = 120

# What Pants' own help says at length.
_INHERITED = {
    "dependencies": "Targets that the build context is made of, besides those that are inferred from COPY and ADD; "
    "`!address` leaves an inferred one out.",
    "description": "A text for people.",
    "tags": "Words for `pants --tag=…`; not those of the image, see `image_tags`.",
    "install_from_resolve": "Take the libraries from this resolve of yours instead.",
    "interpreter_constraints": "The Pythons that may run the executor.",
    "requirements": "With `install_from_resolve`: only these of its requirements.",
}

# instruction -> what it makes, an example that is accepted ("" where all of it is refused), and a word about it
INSTRUCTION_NOTES = {
    "ADD": (
        "a layer",
        "ADD --chown=1000:1000 conf/ /etc/app/",
        "files of the context, as COPY",
    ),
    "ARG": (
        "nothing by itself",
        "ARG VERSION=1.0",
        "before the first FROM too; part of the key of each RUN behind it",
    ),
    "CMD": ("config", 'CMD ["serve", "--port=80"]', "JSON or shell form"),
    "COPY": (
        "a layer",
        "COPY --from=build --chown=app --chmod=0755 /out/ /srv/",
        "Go globs (`*`, `?`, `[a-z]`), JSON form; `--from` a stage, its number, or an image",
    ),
    "ENTRYPOINT": (
        "config",
        'ENTRYPOINT ["/srv/app"]',
        "JSON or shell form; drops an inherited CMD",
    ),
    "ENV": ("config", "ENV HOME=/srv LANG=C.UTF-8", "`ENV NAME value` is accepted, with a warning"),
    "EXPOSE": ("config", "EXPOSE 80 8000-8010/udp", "tcp, udp and sctp"),
    "FROM": (
        "nothing by itself",
        "FROM debian:12 AS build",
        "an image, an earlier stage, or `scratch`; `--platform` of the machine that builds only",
    ),
    "HEALTHCHECK": ("config", "HEALTHCHECK --interval=30s CMD wget -q localhost", "or `NONE`"),
    "LABEL": ("config", "LABEL org.opencontainers.image.title=app", "rebuilds nothing"),
    "MAINTAINER": ("config", "MAINTAINER The Team", "deprecated, with a warning"),
    "ONBUILD": ("", "", "refused here, and so are base images that have triggers"),
    "RUN": (
        "a layer",
        "RUN --network=none make install",
        "shell or JSON form; `--network` is default, none or host",
    ),
    "SHELL": ("config", 'SHELL ["/bin/bash", "-c"]', "for the shell forms behind it"),
    "STOPSIGNAL": ("config", "STOPSIGNAL SIGTERM", "a name or a number"),
    "USER": ("config", "USER app:staff", "names are looked up in the image's own etc/passwd"),
    "VOLUME": ("config", "VOLUME /data", "files below it stay in the image, as with BuildKit"),
    "WORKDIR": ("a layer, where the directory is new", "WORKDIR /srv/app", "made if it is missing"),
}


def render(page: str, root: Path) -> str:
    """`page` with its generated parts as they should be.

    :param root: holds GOLDEN_ERRORS.
    """
    parts = {
        "fields": fields(),
        "options": options(KanikoSubsystem),
        "executor options": options(KanikoExecutor),
        "instructions": instructions(),
        "refused": refused(root / GOLDEN_ERRORS),
    }
    for name, text in parts.items():
        block = re.compile(_BLOCK.format(name=name), re.DOTALL)
        if len(block.findall(page)) != 1:
            raise SystemExit(f"{PAGE} needs one line `<!-- generated: {name} -->` and an end")
        page = block.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page)  # noqa: B023
    return page


def fields() -> str:
    sections = []
    for field in sorted(KanikoImageTarget.core_fields, key=lambda cls: cls.alias):
        facts = [_kind(field), f"default {_default(field)}"]
        choices = getattr(field, "valid_choices", None)
        if isinstance(choices, tuple):
            facts.append(f"one of {_listed(choices)}")
        sections.append(_section(field.alias, facts, field.help))
    return "\n".join(sections)


def _kind(field: Type[Field]) -> str:
    if issubclass(field, BoolField):
        return "true or false"
    if issubclass(field, Dependencies):
        return "list of addresses"
    if issubclass(field, DictStringToStringField):
        return "table of strings"
    return "list of strings" if issubclass(field, SequenceField) else "string"


def _default(field: Type[Field]) -> str:
    default = getattr(field, "default", None)
    if default == (ALL_DEFAULT_REGISTRIES,):
        return "all that are marked `default`"
    return "none" if default in (None, ()) else _value(default)


def options(subsystem: Type[Subsystem]) -> str:
    """Those of the scope itself; what Pants gives every tool and is deprecated there is left out."""
    infos = (
        *collect_options_info(subsystem),
        *collect_options_info(subsystem.EnvironmentAware),
    )
    live = [info for info in infos if not info.flag_options.get("removal_version")]
    return "\n".join(_option(subsystem, info) for info in sorted(live, key=_option_name))


def _option_name(info: OptionsInfo) -> str:
    return info.flag_names[0].lstrip("-").replace("-", "_")


def _option(subsystem: Type[Subsystem], info: OptionsInfo) -> str:
    name = _option_name(info)
    known = info.flag_options
    default = known.get("default")
    facts = ["default " + ("none" if default in (None, "", [], {}) else _value(default))]
    if subsystem is KanikoSubsystem and name in _CHOICES:
        facts.append(f"one of {_listed(_CHOICES[name])}")
    flag = "no-" if default is True else ""
    facts.append(f"`--{flag}{subsystem.options_scope}-{name.replace('_', '-')}`")
    return _section(name, facts, known.get("help", ""))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple)):
        return _listed(value)
    return f"`{value}`" if isinstance(value, int) else f'`"{value}"`'


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f'`"{value}"`' for value in values)


def _section(name: str, facts: List[str], text: Any) -> str:
    """:param text: a help text, or what makes one."""
    about = _INHERITED.get(name) or (text() if callable(text) else str(text))
    return f"#### `{name}`\n{_wrapped('; '.join(facts))}\n\n{_markdown(about)}\n"


def _markdown(text: str) -> str:
    """A help text: its indented lines become code, and long lines are wrapped as people wrap them."""
    out: List[str] = []
    for block in re.split(r"\n{2,}", text.strip("\n")):
        lines = block.splitlines()
        if all(line.startswith("    ") for line in lines):
            body = [line[4:] for line in lines]
            out.append("\n".join([f"```{_language(body)}", *body, "```"]))
        else:
            out.append("\n".join(_wrapped(line) for line in lines))
    return "\n\n".join(out)


def _language(lines: List[str]) -> str:
    return "toml" if lines[0].startswith("[") else "python"


def _wrapped(line: str) -> str:
    indent = "  " if line.startswith("* ") else ""
    return textwrap.fill(
        line.replace("\\", ""),
        _MAX_ROW,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def instructions() -> str:
    rows = ["| instruction | makes | example |", "| --- | --- | --- |"]
    notes = ["", "| instruction | notes |", "| --- | --- |"]
    flags = ["", "| instruction | flags |", "| --- | --- |"]
    for keyword in sorted(INSTRUCTIONS):
        makes, example, note = INSTRUCTION_NOTES[keyword]
        sample = f"`{example}`" if example else "refused for now"
        rows.append(f"| {keyword} | {makes} | {sample} |")
        notes.append(f"| {keyword} | {note} |")
        known = " ".join(_flag(flag) for flag in INSTRUCTIONS[keyword].FLAGS)
        flags.extend([f"| {keyword} | {known} |"] if known else [])
    return "\n".join(rows + notes + flags)


def _flag(flag: Flag) -> str:
    return f"~~`--{flag.name}`~~" if flag.later else f"`--{flag.name}`"


def refused(golden_errors: Path) -> str:
    """What Docker knows and we do not yet: the golden errors that say so."""
    rows: Dict[str, str] = {}
    for path in sorted(golden_errors.glob("*/error.txt")):
        text = path.read_text("utf-8")
        if _REFUSED in text.splitlines()[0]:
            line = re.search(r"^>> +\d+ \| (.*)$", text, re.MULTILINE)
            fix = re.search(r"^fix: (.*)$", text, re.MULTILINE)
            if line and fix:
                rows[line[1].replace("|", "\\|")] = fix[1].replace("|", "\\|")
    listed = (f"| `{line}` | {fix} |" for line, fix in rows.items())
    return "\n".join(["| refused | instead |", "| --- | --- |", *listed])


def main() -> None:
    root = Path.cwd()
    path = root / PAGE
    path.write_text(render(path.read_text("utf-8"), root), "utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
