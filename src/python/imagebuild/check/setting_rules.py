"""Rules about what an image says of itself: commands, ports, directories."""

from __future__ import annotations

from typing import Dict, Iterable, Tuple

from imagebuild.check.finding import Found
from imagebuild.check.subject import Subject
from imagebuild.check.variables import View
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.commands import Cmd, Entrypoint, Shell
from imagebuild.dockerfile.instructions.expose import Expose
from imagebuild.dockerfile.instructions.settings import Workdir

_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


def json_args_recommended(subject: Subject) -> Iterable[Found]:
    """A SHELL in the stage, or in what it starts from, says that a shell is meant."""
    with_shell = {number for number, base in subject.bases.items() if base.config.config.shell}
    for view in (*subject.borrowed, *subject.views):
        item = view.instruction
        if isinstance(item, Shell):
            with_shell.add(view.stage.index)
        elif (
            not view.borrowed
            and isinstance(item, (Cmd, Entrypoint))
            and item.command.in_shell
            and with_shell.isdisjoint(subject.lineage(view.stage.index))
        ):
            yield Found(
                item.source,
                f"JSON arguments recommended for {item.KEYWORD} to prevent unintended behavior related to OS signals",
                f'write {item.KEYWORD} ["program", "argument", ...], or say SHELL if a shell is meant',
            )


def multiple_instructions_disallowed(subject: Subject) -> Iterable[Found]:
    """The earlier one is to blame: it is the one that does nothing."""
    last: Dict[Tuple[int, str], Instruction] = {}
    for view in subject.views:
        keyword = view.instruction.KEYWORD
        if keyword in _ONCE:
            earlier = last.get((view.stage.index, keyword))
            if earlier is not None:
                yield Found(
                    earlier.source,
                    f"Multiple {keyword} instructions should not be used in the same stage because only the last one "
                    "will be used",
                    "remove it",
                )
            last[view.stage.index, keyword] = view.instruction


def workdir_relative_path(subject: Subject) -> Iterable[Found]:
    """Only the first WORKDIR: where it is absolute, the others have something to be relative to. Not what the config of a
    base image says: it may change."""
    with_workdir = {
        view.stage.index for view in subject.borrowed if isinstance(view.instruction, Workdir)
    }
    for view in subject.views:
        item = view.instruction
        if isinstance(item, Workdir):
            path = subject.value(view, item.path)
            first = with_workdir.isdisjoint(subject.lineage(view.stage.index))
            if first and path is not None and not path.startswith("/"):
                message = f'Relative workdir "{path}" can have unexpected results if the base image changes'
                yield Found(item.source, message, "write an absolute path")
            with_workdir.add(view.stage.index)


def expose_proto_casing(subject: Subject) -> Iterable[Found]:
    for view, port in _ports(subject):
        protocol = port.rpartition(":")[2].partition("/")[2]
        if protocol != protocol.lower():
            message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
            yield Found(view.instruction.source, message, f"write {port.lower()}")


def expose_invalid_format(subject: Subject) -> Iterable[Found]:
    for view, port in _ports(subject):
        if ":" in port:
            yield Found(
                view.instruction.source,
                f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'",
                f"write {port.rpartition(':')[2].lower()}; addresses and host ports are said where the container is started",
            )


def _ports(subject: Subject) -> Iterable[Tuple[View, str]]:
    for view in subject.views:
        if isinstance(view.instruction, Expose):
            for port in view.instruction.ports:
                for word in (subject.value(view, port) or "").split():
                    yield view, word
