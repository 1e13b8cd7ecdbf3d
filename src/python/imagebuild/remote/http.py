"""A file behind a URL: streamed to disk, resumed where it broke off, checked to the last byte.

Nobody is told who we are: no credential is ever sent, but to a proxy. A Content-Encoding is not undone: the bytes are those
that the server keeps under this URL, which is what a digest of them is about.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Optional, Tuple

from imagebuild.errors import ChecksumError, ImageBuildError, RemoteError
from imagebuild.llb.plan import HttpSource
from imagebuild.llb.remote import shown
from imagebuild.registry.endurance import Pace, persist
from imagebuild.registry.exchange import Request
from imagebuild.registry.transport import Transport
from imagebuild.remote.complaints import translated
from imagebuild.remote.urls import check_name, sendable

if TYPE_CHECKING:
    from imagebuild.registry.wire import Answer

MAX_FILE_BYTES = 64 << 30
"""A server that never ends fills no disk for ever."""

_PIECE = 1 << 18
_MAX_HEADER = 1024
_NOT_MODIFIED = 304
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)\Z")


@dataclass(frozen=True)
class Visit:
    """What a server said of a file when it was fetched.

    :param checksum: of the file, "sha256:HEX".
    :param etag: and `last_modified` are the headers of these names, "" where there were none.
    """

    checksum: str
    etag: str = ""
    last_modified: str = ""

    @property
    def mtime(self) -> int:
        """Seconds; 0 where the server told no time."""
        from email.utils import parsedate_to_datetime

        try:
            return max(0, int(parsedate_to_datetime(self.last_modified).timestamp()))
        except (TypeError, ValueError, IndexError, OverflowError):
            return 0


class HttpFetch:
    """One file on its way to `file`, an empty one.

    :param max_bytes: what it may have.
    """

    def __init__(
        self,
        transport: Transport,
        source: HttpSource,
        file: BinaryIO,
        *,
        max_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._transport, self._source, self._file = transport, source, file
        self._max_bytes = max_bytes
        self._url = sendable(source.url)
        check_name(source.url, source.name)
        self._purpose = f'fetching "{shown(source)}"'
        self._sha256, self._offset = hashlib.sha256(), 0
        self._visit = Visit("")

    def run(self, known: Optional[Visit] = None) -> Optional[Visit]:
        """Fetch the file, or nothing where it is still the one of `known`: then None is the answer.

        :raises RemoteError: when it cannot be had. :raises ChecksumError: when it is another than the source names.
        """
        conditions = _conditions(known) if known else ()
        try:
            persist(
                self._transport,
                lambda: self._request(conditions),
                lambda: self._once(conditions),
                lambda: self._offset,
            )
        except _NotModifiedError:
            return None
        except RemoteError:
            raise
        except ImageBuildError as error:
            raise translated(error, self._purpose) from None
        visit = replace(self._visit, checksum=f"sha256:{self._sha256.hexdigest()}")
        self._check(visit.checksum)
        return visit

    def _check(self, actual: str) -> None:
        expected = self._source.checksum
        if expected and actual != expected:
            raise ChecksumError(
                f'"{shown(self._source)}" has another digest than it should',
                expected=f"{expected}, got {actual}",
                hint="if the file has changed for a reason, write its new digest into --checksum (where there is none, "
                "build again); else do not use it",
            )

    def _once(self, conditions: Tuple[Tuple[str, str], ...]) -> None:
        try:
            answer = self._transport.stream(self._request(conditions))
        except ImageBuildError as error:
            status = getattr(error, "status", 0)
            if conditions and status == _NOT_MODIFIED:
                raise _NotModifiedError from None
            raise
        with answer:
            self._begin(answer)
            pace = Pace(self._transport.clock)
            while True:
                piece = answer.read(_PIECE)
                if not piece:
                    return
                self._take(piece)
                pace.count(len(piece))

    def _take(self, piece: bytes) -> None:
        self._offset += len(piece)
        if self._offset > self._max_bytes:
            raise self._too_long()
        self._sha256.update(piece)
        self._file.write(piece)

    def _begin(self, answer: Answer) -> None:
        """Where the answer goes on; a whole one, though a part was asked for, begins the file anew."""
        length = answer.header("content-length")
        if answer.status == 206:
            match = _CONTENT_RANGE.match(answer.header("content-range"))
            if not match or int(match[1]) != self._offset or not self._offset:
                raise RemoteError(
                    f"{self._purpose}: the answer is another part of the file than was asked for"
                )
        elif self._offset:
            self._rewind()
        if length.isdigit() and self._offset + int(length[:20]) > self._max_bytes:
            raise self._too_long()
        if not self._offset:
            self._visit = Visit("", _kept(answer, "etag"), _kept(answer, "last-modified"))

    def _rewind(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._sha256, self._offset = hashlib.sha256(), 0

    def _request(self, conditions: Tuple[Tuple[str, str], ...]) -> Request:
        """The rest of the file is asked for only where the server can say that it is still the same file (RFC 9110 13.1.5)."""
        validator = self._visit.etag or self._visit.last_modified
        if self._offset and validator and not validator.startswith("W/"):
            ranged = (("Range", f"bytes={self._offset}-"), ("If-Range", validator))
            return Request("GET", self._url, self._purpose, ranged)
        return Request("GET", self._url, self._purpose, () if self._offset else conditions)

    def _too_long(self) -> RemoteError:
        return RemoteError(
            f"{self._purpose}: the file is too long", expected=f"at most {self._max_bytes} bytes"
        )


class _NotModifiedError(Exception):
    """The server still has the file that we know."""


def _kept(answer: Answer, name: str) -> str:
    """A header that will be sent back: a plain one, or none."""
    value = answer.header(name)
    return value if len(value) <= _MAX_HEADER and value.isascii() and value.isprintable() else ""


def _conditions(known: Visit) -> Tuple[Tuple[str, str], ...]:
    if known.etag:
        return (("If-None-Match", known.etag),)
    return (("If-Modified-Since", known.last_modified),) if known.last_modified else ()
