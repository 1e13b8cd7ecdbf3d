"""Content identifiers (image-spec descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Iterable

from imagebuild.errors import MalformedError

_DIGITS = "0123456789abcdef"


@dataclass(frozen=True, order=True)
class Hash:
    """``sha256:<64 lower-case hex>``; "digest" is left to Pants (directory digests) and REAPI.

    sha256 is the only algorithm registries and Pants share, so it is the only one accepted.
    """

    hex: str

    def __post_init__(self) -> None:
        if len(self.hex) != 64 or self.hex.strip(_DIGITS):
            raise MalformedError(f'"{self.hex[:80]}" is not a sha256 in lower-case hex')

    @staticmethod
    def parse(text: str) -> Hash:
        """:raises MalformedError: unless `text` is ``sha256:`` and 64 lower-case hex digits."""
        algorithm, _, digits = text.partition(":")
        if algorithm != "sha256":
            raise MalformedError(
                f'digest "{text[:80]}" is not a sha256', expected="sha256:<64 hex digits>"
            )
        return Hash(digits)

    @staticmethod
    def of(data: bytes) -> Hash:
        return Hash(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


def chain_id(diff_ids: Iterable[Hash]) -> Hash:
    """ChainID of an ordered list of layers (image-spec config.md, "Layer ChainID").

    :raises ValueError: for no layers; the empty filesystem has no ChainID.
    """
    chain = None
    for diff_id in diff_ids:
        chain = diff_id if chain is None else Hash.of(f"{chain} {diff_id}".encode())
    if chain is None:
        raise ValueError("no layers, no ChainID")
    return chain
