"""RUN: a command over the stage's filesystem, with its mounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

from imagebuild.dockerfile.flags import Flag, FlagTexts, FlagValues
from imagebuild.dockerfile.heredoc import Heredoc, as_unicode, is_alone
from imagebuild.dockerfile.instructions.base import ContextPath, Doc, Expansion, Instruction
from imagebuild.dockerfile.instructions.commands import CommandLine, command_of
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.mounts import MountPlace, MountSpec, parse_mount
from imagebuild.dockerfile.patterns import escaped
from imagebuild.errors import DockerfileSyntaxError, RefusedError
from imagebuild.llb.ops import ExecOp, ScriptMount
from imagebuild.llb.state import Change, StageState

NETWORKS = ("default", "none", "host")
SCRIPTS = "/dev/pipes"
"""Where a here-document with a ``#!`` line is, as BuildKit has it."""


@dataclass(frozen=True)
class Run(Instruction):
    """:param network: "" for what the build has, or one of NETWORKS.
    :param files: here-documents that the command announces, bodies as they stand: the shell reads them.
    """

    KEYWORD = "RUN"
    DOC = Doc(
        "a layer",
        "a command: for the shell, as a JSON list, or as a here-document, which with a `#!` line is a "
        "script of its own",
        "RUN --network=none make install",
    )
    FLAGS = (
        Flag(
            "mount",
            "files, caches, secrets and ssh agents that this one command sees; see the options of mounts",
            "RUN --mount=type=cache,target=/root/.cache make install",
            "list",
        ),
        Flag(
            "network",
            "`default` (what the build has), `none` or `host`",
            "RUN --network=none make check",
        ),
        Flag(
            "security",
            "`sandbox` is what every RUN has; `insecure` is refused",
            "RUN --security=sandbox make install",
        ),
        Flag("device", "devices of the host are refused", "", "list"),
    )

    command: CommandLine
    network: str = ""
    mounts: Tuple[MountSpec, ...] = ()
    files: Tuple[Heredoc, ...] = ()

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        network = flags.text("network") or ""
        if network and network not in NETWORKS:
            raise DockerfileSyntaxError(
                f'--network has the value "{network}"', expected=" or ".join(NETWORKS)
            )
        _check_privileges(flags)
        command = command_of(raw, cls.KEYWORD)
        if not command.words:
            raise DockerfileSyntaxError(
                "the list names no program", expected='RUN ["program", ...]'
            )
        if any("\0" in document.content for document in raw.heredocs):
            raise DockerfileSyntaxError(
                "a here-document holds a NUL character, which no command line can", hint="remove it"
            )
        mounts = tuple(parse_mount(text) for text in flags.all("mount"))
        return {"command": command, "network": network, "mounts": mounts, "files": raw.heredocs}

    def arguments(self) -> str:
        return str(self.command)

    def documents(self) -> Tuple[Heredoc, ...]:
        return self.files

    def flag_texts(self) -> FlagTexts:
        mounts = (("mount", str(mount)) for mount in self.mounts)
        return (("network", self.network or None), *mounts)

    def trees(self) -> Tuple[str, ...]:
        return tuple(mount.tree for mount in self.mounts if mount.tree)

    def context_paths(self) -> Tuple[ContextPath, ...]:
        paths = (mount.context_path for mount in self.mounts)
        return tuple(ContextPath(escaped(path)) for path in paths if path)

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        place = MountPlace(state)
        for spec in self.mounts:
            spec.lower(expands, place)
        command, scripts = self._command()
        argv = command.argv(state)
        network = state.build.network if self.network in ("", "default") else self.network
        env = tuple(sorted(state.env.items()))
        op = ExecOp(argv, env, state.cwd, state.config.user, network, (*scripts, *place.mounts))
        args = [f"{name}={state.env.get(name, value or '')}" for name, value in state.args.items()]
        said = " ".join((*([f"|{len(args)}", *args] if args else ()), *argv))
        warnings = (*command.warnings, *place.warnings, *expands.warnings)
        return Change(state, as_unicode(f"RUN {said}"), op, tuple(place.inputs), warnings)

    def _command(self) -> Tuple[CommandLine, Tuple[ScriptMount, ...]]:
        """What is run once the here-documents are where they belong (Dockerfile reference, "Here-Documents").

        A document that is all there is, is what the shell gets, or an executable file where it has a ``#!`` line; the
        shell is the one that reads all others, below its command.
        """
        if not self.files:
            return self.command, ()
        (text,) = self.command.words
        if not is_alone(text):
            below = "".join(f"\n{document.lines}" for document in self.files)
            return CommandLine((text + below,), in_shell=True), ()
        document = self.files[0]
        if not document.body.startswith("#!"):
            return CommandLine((document.body,), in_shell=True), ()
        path = f"{SCRIPTS}/{document.file_name}"
        return CommandLine((path,), in_shell=True), (ScriptMount(path, document.body),)


def _check_privileges(flags: FlagValues) -> None:
    security = flags.text("security")
    if security == "insecure":
        raise RefusedError(
            "--security=insecure asks for the machine's own privileges, which no build gets here",
            expected="--security=sandbox",
            hint="remove the flag; a RUN has the capabilities that a container of Docker has",
        )
    if security not in (None, "sandbox"):
        raise DockerfileSyntaxError(
            f'--security has the value "{security}"', expected="--security=sandbox"
        )
    for device in flags.all("device"):
        raise RefusedError(
            f"--device={device} asks for a device of the machine, which no build gets here",
            hint="remove the flag, and do what needs the device when the container runs",
        )
