"""The executor's command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Mapping, Optional, Tuple

from imagebuild.errors import EXIT_NOT_FOR_LONG, UsageError

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class Options:
    """The command line. `arguments` are those of an image that is run."""

    subcommand: str
    store: str
    request: str = "-"
    result: str = "-"
    arguments: Tuple[str, ...] = ()
    once: bool = False


def options_of(arguments: List[str], subcommands: Mapping[str, str]) -> Options:
    """:param subcommands: by name, with what they are for.
    :raises UsageError: for an argument behind the options that has no "--" before it.
    :raises SystemExit: for anything else that is wrong, and for ``--help``.
    """
    plain = _plain_options(arguments)
    if plain and plain.subcommand in subcommands:
        return plain
    options, rest = _parser(subcommands).parse_known_args(arguments)
    return Options(
        options.subcommand,
        options.store,
        options.request,
        options.result,
        _after_dashes(rest),
        options.once,
    )


def _plain_options(arguments: List[str]) -> Optional[Options]:
    """The form in which the backend calls, read without argparse: loading that takes longer than many a step."""
    once = arguments[-1:] == ["--once"]
    plain = arguments[:-1] if once else arguments
    if len(plain) % 2 == 0:
        return None
    flags = dict(zip(plain[1::2], plain[2::2]))
    if flags.keys() - {"--request", "--result", "--salt", "--aside"} != {"--store"}:
        return None
    request, result = flags.get("--request", "-"), flags.get("--result", "-")
    return Options(plain[0], flags["--store"], request, result, once=once)


def _after_dashes(rest: List[str]) -> Tuple[str, ...]:
    if rest and rest[0] != "--":
        raise UsageError(
            f'unknown argument "{rest[0]}"', hint='arguments of an image stand behind "--"'
        )
    return tuple(rest[1:])


def _parser(subcommands: Mapping[str, str]) -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="kaniko-executor",
        description="Build steps of OCI images, without a daemon.",
        epilog="\n".join(f"  {name:16} {text}" for name, text in subcommands.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subcommand", choices=tuple(subcommands), metavar="SUBCOMMAND")
    parser.add_argument(
        "--request", default="-", metavar="FILE", help='request as JSON; "-": stdin'
    )
    parser.add_argument("--result", default="-", metavar="FILE", help='result as JSON; "-": stdout')
    parser.add_argument("--store", required=True, metavar="DIR", help="the local store")
    parser.add_argument("--salt", metavar="TEXT", help="makes this call another one for a cache")
    parser.add_argument(
        "--aside",
        metavar="DIR",
        help="a server may answer before the end while it mostly waits, and leave its outcome in DIR",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help=f"end with {EXIT_NOT_FOR_LONG} instead of 0, so that no cache keeps the result",
    )
    return parser
