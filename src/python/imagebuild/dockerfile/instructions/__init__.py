"""The instructions of the language: one table, one class for each."""

from __future__ import annotations

from typing import Dict, Type

from imagebuild.dockerfile.instructions.add import Add
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.commands import Cmd, Entrypoint, Shell
from imagebuild.dockerfile.instructions.copy import Copy
from imagebuild.dockerfile.instructions.expose import Expose
from imagebuild.dockerfile.instructions.from_ import From
from imagebuild.dockerfile.instructions.healthcheck import Healthcheck
from imagebuild.dockerfile.instructions.onbuild import Onbuild
from imagebuild.dockerfile.instructions.run import Run
from imagebuild.dockerfile.instructions.settings import (
    Maintainer,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from imagebuild.dockerfile.instructions.variables import Arg, Env, Label

INSTRUCTIONS: Dict[str, Type[Instruction]] = {
    cls.KEYWORD: cls
    for cls in (
        Add,
        Arg,
        Cmd,
        Copy,
        Entrypoint,
        Env,
        Expose,
        From,
        Healthcheck,
        Label,
        Maintainer,
        Onbuild,
        Run,
        Shell,
        StopSignal,
        User,
        Volume,
        Workdir,
    )
}
