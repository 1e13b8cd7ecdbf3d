"""A record says which layer a step made, and carries what its keys were made of.

So a hit can be checked (a record filed under a key it does not hash to is no hit: CVE-2024-24557), and a miss explained
(the difference of two preimages).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from imagebuild import canonical
from imagebuild.errors import MalformedError
from imagebuild.llb.step import BareStep, InputStep, Step
from imagebuild.oci.descriptor import Layer
from imagebuild.oci.hash import Hash


@dataclass(frozen=True)
class LayerRecord:
    """:param input_step: None while only the step itself has spoken (it does not know its input key).
    :param layer: None for a step that changed nothing.
    """

    step: Step
    layer: Optional[Layer]
    input_step: Optional[InputStep] = None

    @property
    def content_key(self) -> Hash:
        return canonical.fingerprint(self.step)

    @property
    def input_key(self) -> Optional[Hash]:
        return canonical.fingerprint(self.input_step) if self.input_step else None

    @property
    def bare_key(self) -> Hash:
        return canonical.fingerprint(BareStep.of(self.step))

    def answers(self, key: Hash) -> bool:
        """Whether this record belongs under `key`."""
        return key in (self.content_key, self.input_key)


def parse(raw: bytes, key: Hash) -> Optional[LayerRecord]:
    """The record that `raw` holds, or None when it is not one for `key`: damaged, foreign, or of another version."""
    try:
        record = canonical.loads(LayerRecord, raw)
    except MalformedError:
        return None
    return record if record.answers(key) else None
