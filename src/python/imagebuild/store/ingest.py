"""Blobs on their way into the store."""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO, Optional

from imagebuild.errors import DigestMismatchError
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.store.files import store_errors, sync_directory


class Ingest:
    """A blob being written; nothing of it is in the store before it is whole and verified.

    With an expected descriptor, what is written is hashed and compared. Without one, `commit` takes the descriptor from
    whoever hashed the very bytes that were written: the layer writer.
    """

    def __init__(self, file: BinaryIO, blobs: str, expected: Optional[Descriptor]) -> None:
        self._file, self._blobs, self._expected = file, blobs, expected
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append `data`.

        :raises StoreFullError: when there is no room.
        """
        with store_errors(self._blobs, self._expected.size if self._expected else 0):
            self._file.write(data)
        if self._expected is not None:
            self._sha256.update(data)
        self.size += len(data)
        return len(data)

    def commit(self, descriptor: Descriptor) -> None:
        """Put the blob in its place: content, then name, then the directory reach the disk.

        :raises DigestMismatchError: when it is another blob; nothing is kept.
        """
        digest = Hash(self._sha256.hexdigest()) if self._expected else descriptor.digest
        if digest != descriptor.digest or self.size != descriptor.size:
            raise DigestMismatchError(
                f"a blob of {self.size} bytes (of {descriptor.size})",
                expected_digest=str(descriptor.digest),
                actual_digest=str(digest),
            )
        with store_errors(self._blobs, descriptor.size):
            self._file.flush()
            os.fsync(self._file.fileno())
            os.rename(self._file.name, os.path.join(self._blobs, digest.hex))
            sync_directory(self._blobs)
