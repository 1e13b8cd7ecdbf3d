"""Writes the generated parts of docs/reference.md: `./pants run build-support/reference.py`, from the repository's root.

Fields, options and instructions are taken from the classes that implement them, and what is refused from the golden
errors, so the page says what the code does. tests/backend/test_reference.py fails while the page is another one.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any, Iterable, List, Type

from pants.engine.target import (
    BoolField,
    Dependencies,
    DictStringToStringField,
    Field,
    SequenceField,
)
from pants.option.option_types import OptionsInfo, collect_options_info
from pants.option.subsystem import Subsystem

from imagebuild.dockerfile.instructions import INSTRUCTIONS
from imagebuild.dockerfile.mount_options import KINDS, OPTIONS
from imagebuild.dockerfile.substitution_forms import FORMS, VARIABLES, Form
from pants_kaniko.build_fields import COMPRESSIONS, NETWORKS
from pants_kaniko.registries import ALL_DEFAULT_REGISTRIES
from pants_kaniko.subsystem import RUNTIMES, KanikoExecutor, KanikoSubsystem
from pants_kaniko.target_types import KanikoImageTarget

PAGE = "docs/reference.md"
GOLDEN_ERRORS = "tests/golden/errors"

_BLOCK = r"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
_CHOICES = {"runtime": RUNTIMES, "network": NETWORKS, "compression": COMPRESSIONS}
_MAX_ROW = 120

# What Pants' own help says at length.
_INHERITED = {
    "dependencies": "Targets that the build context is made of, besides those that are inferred from COPY and ADD; "
    "`!address` leaves an inferred one out.",
    "description": "A text for people.",
    "tags": "Words for `pants --tag=…`; not those of the image, see `image_tags`.",
    "install_from_resolve": "Take the libraries from this resolve of yours instead.",
    "interpreter_constraints": "The Pythons that may run the executor: the one that Pants runs on, if it is among "
    "them, else the first that Pants finds.",
    "requirements": "With `install_from_resolve`: only these of its requirements.",
}

# What Docker takes and we do not, by its golden error.
REFUSED = ("run-security-insecure", "run-device", "from-windows", "json-single-quotes")


def render(page: str, root: Path) -> str:
    """`page` with its generated parts as they should be.

    :param root: holds GOLDEN_ERRORS.
    """
    parts = {
        "fields": fields(),
        "options": options(KanikoSubsystem),
        "executor options": options(KanikoExecutor),
        "instructions": instructions(),
        "substitutions": substitutions(),
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
    rows = ["| instruction | makes | what it is | example |", "| --- | --- | --- | --- |"]
    flags = ["", "| flag | what it does | example |", "| --- | --- | --- |"]
    for keyword, cls in sorted(INSTRUCTIONS.items()):
        doc = cls.DOC
        rows.append(_row(keyword, doc.makes, doc.help, f"`{doc.example}`"))
        for flag in cls.FLAGS:
            sample = f"`{flag.example}`" if flag.example else ""
            flags.append(_row(f"{keyword} `--{flag.name}`", flag.help, sample))
    return "\n".join([*rows, *flags, "", *_mount_options()])


def substitutions() -> str:
    variables = ", ".join(f'`{name}` is `"{value}"`' for name, value in VARIABLES.items())
    rows = [
        _row(f"`{form.operator}`", form.help, f"`{form.example}`", _result(form)) for form in FORMS
    ]
    head = ["| behind the name | gives | example | result |", "| --- | --- | --- | --- |"]
    return "\n".join([f"In the examples {variables}.", "", *head, *rows])


def _result(form: Form) -> str:
    return f"`{form.result}`" if form.result else "nothing"


def _mount_options() -> List[str]:
    rows = [
        "| option of `--mount` | mounts | what it does | example |",
        "| --- | --- | --- | --- |",
    ]
    for option in OPTIONS:
        names = ", ".join(f"`{name}`" for name in (option.name, *option.aliases))
        kinds = "all" if option.kinds == KINDS else ", ".join(option.kinds)
        rows.append(_row(names, kinds, option.help, f"`{option.example}`"))
    return rows


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def refused(golden_errors: Path) -> str:
    """What Docker knows and we refuse, with what to do instead: golden errors of it."""
    rows: List[str] = []
    for name in REFUSED:
        text = (golden_errors / name / "error.txt").read_text("utf-8")
        line = re.search(r"^>> +\d+ \| (.*)$", text, re.MULTILINE)
        answer = re.findall(r"^(?:fix|expected): (.*)$", text, re.MULTILINE)
        if line and answer:
            rows.append(_row(f"`{line[1]}`", answer[-1]))
    return "\n".join(["| refused | instead |", "| --- | --- |", *rows])


def main() -> None:
    root = Path.cwd()
    path = root / PAGE
    path.write_text(render(path.read_text("utf-8"), root), "utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
