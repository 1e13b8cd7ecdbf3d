"""Blobs out of a registry: streamed, resumed where they broke off, never longer than promised, checked to the last byte."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Optional

from imagebuild.errors import DigestMismatchError, RegistryError
from imagebuild.oci.descriptor import Descriptor
from imagebuild.registry.endpoints import Endpoints, Remote
from imagebuild.registry.endurance import Pace, persist
from imagebuild.registry.exchange import Request, WireError
from imagebuild.registry.transport import Transport

if TYPE_CHECKING:
    from imagebuild.registry.wire import Answer

_PIECE = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)\Z")


class Download:
    """One blob on its way to `sink` (anything with ``write``). What was written counts over all attempts and sources."""

    def __init__(
        self,
        transport: Transport,
        endpoints: Endpoints,
        descriptor: Descriptor,
        sink: Any,
        purpose: str,
    ) -> None:
        self._transport, self._endpoints, self._descriptor, self._sink = (
            transport,
            endpoints,
            descriptor,
            sink,
        )
        self._purpose = purpose
        self._hash, self._offset = hashlib.sha256(), 0
        self._spoiled: Optional[DigestMismatchError] = None

    def run(self, remote: Remote) -> None:
        """Fetch what is still missing from `remote`.

        :raises DigestMismatchError: when the bytes or their number are others than the descriptor's.
        :raises RegistryError: when the blob can't be had there; another `remote` may carry on.
        """
        if self._spoiled is not None:
            raise self._spoiled
        try:
            self._persist(remote)
            actual = f"sha256:{self._hash.hexdigest()}"
            if actual != str(self._descriptor.digest):
                raise self._mismatch(actual)
        except DigestMismatchError as error:
            if not self._rewind():
                self._spoiled = error
            raise

    def _persist(self, remote: Remote) -> None:
        persist(
            self._transport,
            lambda: self._request(remote),
            lambda: self._once(remote),
            lambda: self._offset,
        )

    def _rewind(self) -> bool:
        """Take back what was written, where the sink can; False where it can't and has bytes already."""
        if self._offset:
            try:
                self._sink.seek(-self._offset, 1)
                self._sink.truncate()
            except (AttributeError, OSError, ValueError):
                return False
        self._hash, self._offset = hashlib.sha256(), 0
        return True

    def _once(self, remote: Remote) -> None:
        with self._transport.stream(
            self._request(remote), self._endpoints.authorize(remote, "pull")
        ) as answer:
            skip = self._begin(answer)
            left = self._descriptor.size - self._offset + skip
            pace = Pace(self._transport.clock)
            # One byte is asked for beyond the end: a blob that goes on is not the one that was promised.
            while True:
                piece = answer.read(min(_PIECE, max(left, 1)))
                if not piece:
                    break
                if len(piece) > left:
                    raise self._mismatch(f"more than {self._descriptor.size} bytes")
                left -= len(piece)
                skip = self._take(piece, skip)
                pace.count(len(piece))
            if left:
                raise WireError("broken", "the answer ended early", temporary=True)

    def _take(self, piece: bytes, skip: int) -> int:
        if skip:
            skipped = min(skip, len(piece))
            piece, skip = piece[skipped:], skip - skipped
        if piece:
            self._hash.update(piece)
            self._sink.write(piece)
            self._offset += len(piece)
        return skip

    def _begin(self, answer: Answer) -> int:
        """Bytes to pass over: a server that knows no ranges starts again from the first."""
        start = 0
        if answer.status == 206:
            match = _CONTENT_RANGE.match(answer.header("content-range"))
            start = int(match[1]) if match else -1
            if not 0 <= start <= self._offset:
                raise RegistryError(
                    f"{self._purpose}: the answer is another range than was asked for", status=206
                )
        length = answer.header("content-length")
        if length.isdigit() and int(length) != self._descriptor.size - start:
            raise self._mismatch(f"{int(length) + start} bytes instead of {self._descriptor.size}")
        return self._offset - start

    def _request(self, remote: Remote) -> Request:
        ranged = (("Range", f"bytes={self._offset}-"),) if self._offset else ()
        url = remote.url(f"blobs/{self._descriptor.digest}")
        return Request("GET", url, self._purpose, ranged, attempts=remote.attempts)

    def _mismatch(self, actual: str) -> DigestMismatchError:
        digest = str(self._descriptor.digest)
        return DigestMismatchError(self._purpose, expected_digest=digest, actual_digest=actual)
