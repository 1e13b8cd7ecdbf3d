"""EXPOSE: ports that a container listens on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator, Tuple

from imagebuild.dockerfile.flags import FlagValues
from imagebuild.dockerfile.instructions.base import Doc, Expansion, Instruction, needs_text
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.words import split_blanks
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.state import Change, StageState

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([A-Za-z]*))?\Z")
_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class Expose(Instruction):
    """:param ports: as written, variables still in them."""

    KEYWORD = "EXPOSE"
    DOC = Doc(
        "config",
        "ports and ranges of ports that the container listens on: tcp, udp and sctp",
        "EXPOSE 80 8000-8010/udp",
    )

    ports: Tuple[str, ...]

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        return {"ports": split_blanks(needs_text(raw, "EXPOSE PORT[/PROTOCOL] ..."))}

    def arguments(self) -> str:
        return " ".join(self.ports)

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        given = [word for port in sorted(self.ports) for word in expands.words(port)]
        ports = tuple(port for word in given for port in _ports(word))
        exposed = tuple(sorted({*state.config.exposed_ports, *ports}))
        after = state.with_config(exposed_ports=exposed)
        return Change(after, f"EXPOSE [{' '.join(ports)}]", warnings=expands.warnings)


def _ports(word: str) -> Iterator[str]:
    """The ports of ``[[ip:]host:]port[-last][/protocol]``; what is before the last colon means nothing in an image."""
    match = _PORT.match(word.rpartition(":")[2])
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    protocol = (match[3] or "tcp").lower() if match else ""
    if protocol not in _PROTOCOLS or not first <= last <= 65535:
        raise DockerfileSyntaxError(
            f'"{word}" is not a port',
            expected="PORT, FIRST-LAST, or either with /tcp, /udp or /sctp; ports go from 0 to 65535",
        )
    for number in range(first, last + 1):
        yield f"{number}/{protocol}"
