"""What keys are made of: a step as its layer depends on it, known before it runs or once its parents exist.

Apart from `llb.keys`, because running a step needs these two and no plan: its process starts the faster for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, Union

from imagebuild.llb.ops import Op
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.hash import Hash

FORMAT_VERSION = 1
"""Raised whenever the same key would name another layer: a changed op, encoding, layer format or default."""


@dataclass(frozen=True)
class Step:
    """Everything that a step's layer depends on; its canonical bytes are the content key's preimage.

    :param epoch: seconds; newer mtimes are clamped to it. None keeps real times (`reproducible=False`).
    :param parents: diffIDs of the tree it starts from, lowest first.
    :param inputs: digests of the files it reads, by input number.
    """

    KIND = "content"

    format_version: int
    op: Op
    platform: Platform
    epoch: Optional[int]
    parents: Tuple[Hash, ...]
    inputs: Tuple[Hash, ...]


@dataclass(frozen=True)
class BareStep:
    """What a step does, whatever it does it to. Where no record has it, there is none under any content key either."""

    KIND = "bare"

    format_version: int
    op: Op
    platform: Platform
    epoch: Optional[int]

    @staticmethod
    def of(step: Union[Step, InputStep]) -> BareStep:
        return BareStep(step.format_version, step.op, step.platform, step.epoch)


@dataclass(frozen=True)
class InputStep:
    """The input key's preimage: as `Step`, before anything is known of what the steps before it make.

    :param parent: input key of the parent step, manifest digest of the base image, or None for scratch.
    :param inputs: a context's digest, or the input key or manifest digest of the tree that is read.
    """

    KIND = "input"

    format_version: int
    op: Op
    platform: Platform
    epoch: Optional[int]
    parent: Optional[Hash]
    inputs: Tuple[Optional[Hash], ...]
