"""Blobs into a registry (distribution-spec, "Pushing blobs"): found, mounted from a neighbour, or uploaded in chunks.

An upload that breaks off asks how far it came and goes on from there; where the registry has forgotten it, it starts again.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from typing import BinaryIO, Callable, Optional, Sequence, Tuple, cast
from urllib.parse import quote, urljoin

from imagebuild.errors import AuthenticationError, IntegrityError, RegistryError, UnreachableError
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.reference import Repository
from imagebuild.registry.endpoints import Endpoints, Remote
from imagebuild.registry.exchange import MAX_ATTEMPTS, Reply, Request
from imagebuild.registry.failures import failure
from imagebuild.registry.origin import Origin
from imagebuild.registry.transport import Transport

# Small blobs go in one request. Proxies in front of registries refuse bodies over 100 MB; chunks stay well below.
_ONE_REQUEST = 4 << 20
MAX_UNASKED = 1 << 16
"""Bytes that take hardly longer to send than to ask for."""
_CHUNK = 32 << 20
_MAX_CHUNK = 512 << 20
_MAX_STALLS = 5
_MAX_STARTS = 3
_CHECKS = 3
_BROKE_OFF = ("broken", "timeout", "refused")
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)\Z")
_OCTETS = ("Content-Type", "application/octet-stream")


class _Window:
    """The part of a file that one chunk is: `size` bytes from `start`."""

    def __init__(self, stream: BinaryIO, start: int, size: int) -> None:
        stream.seek(start)
        self._stream, self._left = stream, size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._stream.read(wanted) if wanted else b""
        if wanted and not piece:
            raise IntegrityError(
                "a blob's file is shorter than its descriptor says",
                hint="it was changed while it was pushed",
            )
        self._left -= len(piece)
        return piece

    def __enter__(self) -> _Window:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


@dataclass(frozen=True)
class _Session:
    """An upload that is open at the registry: where it goes on, how many bytes are there, how long a chunk is."""

    location: str
    offset: int = 0
    chunk: int = _CHUNK


_NEW = _Session("")


class _ForgottenError(Exception):
    """The registry no longer knows the upload, or is at odds with us about it."""


class Upload:
    """One blob on its way into one repository."""

    def __init__(
        self,
        transport: Transport,
        endpoints: Endpoints,
        remote: Remote,
        descriptor: Descriptor,
        open_source: Callable[[], BinaryIO],
        purpose: str,
    ) -> None:
        self._transport, self._endpoints, self._remote = transport, endpoints, remote
        self._descriptor, self._open, self._purpose = descriptor, open_source, purpose
        self._authorization = endpoints.authorize(remote, "pull,push")

    def run(self, mount_from: Sequence[Repository], *, new: bool = False) -> str:
        """ "exists", "mounted" or "uploaded"; see `RegistryClient.push_blob`."""
        unasked = new and self._descriptor.size <= MAX_UNASKED
        if not unasked and self._is_there():
            return "exists"
        session: Optional[_Session] = None
        for source in mount_from:
            if session is not None:
                self._cancel(session)
            mounted, session = self._mount(source)
            if mounted:
                return "mounted"
        for start in range(_MAX_STARTS):
            try:
                self._send(session or self._start())
                if self._is_there_at_last():
                    return "uploaded"
                why = "the registry took the blob and does not have it"
            except _ForgottenError as error:
                why = str(error)
            session = None
            if start + 1 < _MAX_STARTS:
                self._transport.pause(self._purpose, why, start)
        raise RegistryError(
            f"{self._purpose}: {why}, {_MAX_STARTS} times",
            hint="look into the registry's log and storage",
        )

    def _is_there(self) -> bool:
        request = Request(
            "HEAD", self._remote.url(f"blobs/{self._descriptor.digest}"), self._purpose
        )
        return (
            self._transport.expect(request, self._authorization, statuses=(200, 404)).status == 200
        )

    def _is_there_at_last(self) -> bool:
        """A registry with several replicas may need a moment."""
        for attempt in range(_CHECKS):
            if self._is_there():
                return True
            if attempt + 1 < _CHECKS:
                self._transport.pause(
                    self._purpose, "the registry does not show the blob yet", attempt
                )
        return False

    def _mount(self, source: Repository) -> Tuple[bool, Optional[_Session]]:
        url = (
            f"{self._uploads()}?mount={self._descriptor.digest}&from={quote(source.path, safe='/')}"
        )
        scope = f"repository:{source.path}:pull"
        authorization = self._endpoints.authorize(self._remote, "pull,push", scope)
        request = Request("POST", url, self._purpose)
        try:
            reply = self._transport.fetch(request, authorization)
        except AuthenticationError:
            return (
                False,
                None,
            )  # a token server that refuses it all rather than the part that is not ours
        if reply.status == 202 and reply.header("location"):
            return False, self._session(reply)
        return reply.status == 201, None

    def _start(self) -> _Session:
        reply = self._transport.expect(
            Request("POST", self._uploads(), self._purpose), self._authorization, statuses=(202,)
        )
        return self._session(reply)

    def _send(self, session: _Session) -> None:
        size = self._descriptor.size
        if size <= _ONE_REQUEST:
            self._finish(session, size)
            return
        stalls = 0
        while session.offset < size:
            before = session.offset
            session = self._patch(session)
            stalls = stalls + 1 if session.offset <= before else 0
            if stalls > _MAX_STALLS:
                raise RegistryError(
                    f"{self._purpose}: the upload does not get beyond byte {before}"
                )
        self._finish(session, 0)

    def _patch(self, session: _Session) -> _Session:
        size = min(session.chunk, self._descriptor.size - session.offset)
        headers = (_OCTETS, ("Content-Range", f"{session.offset}-{session.offset + size - 1}"))
        request = self._bodied("PATCH", session.location, headers, session.offset, size)
        try:
            reply = self._transport.fetch(request, self._authorization)
        except UnreachableError as error:
            if error.kind not in _BROKE_OFF:
                raise
            self._transport.pause(
                self._purpose, f"the upload broke off behind byte {session.offset}", 0
            )
            return self._resume(session)
        if reply.status in (408, 416, 429) or reply.status >= 500:
            self._transport.pause(self._purpose, f"the registry answered {reply.status}", 1)
            return self._resume(session)
        if reply.status == 404:
            raise _ForgottenError("the registry forgot the upload")
        if reply.status not in (201, 202, 204):
            raise failure(request, reply, self._authorization)
        return self._session(reply, session, default_offset=session.offset + size)

    def _resume(self, session: _Session) -> _Session:
        """Ask how far the upload came (distribution-spec, "Pushing a blob in chunks")."""
        reply = self._transport.fetch(self._about(session, "GET"), self._authorization)
        if reply.status not in (200, 204) or not _RANGE.match(reply.header("range")):
            raise _ForgottenError("the registry can't say how far the upload came")
        return self._session(reply, session)

    def _finish(self, session: _Session, size: int) -> None:
        mark = "&" if "?" in session.location else "?"
        url = f"{session.location}{mark}digest={self._descriptor.digest}"
        request = self._bodied("PUT", url, (_OCTETS,), 0, size)
        try:
            reply = self._transport.fetch(request, self._authorization)
        except UnreachableError as error:
            if error.kind not in _BROKE_OFF:
                raise
            raise _ForgottenError("the connection broke at the end of the upload") from None
        if reply.status in (404, 416) or reply.status >= 500:
            raise _ForgottenError(f"the registry answered {reply.status} at the end of the upload")
        if reply.status not in (201, 202, 204):
            raise failure(request, reply, self._authorization)

    def _cancel(self, session: _Session) -> None:
        """Best effort: registries throw abandoned uploads away by themselves."""
        request = self._about(session, "DELETE", attempts=1)
        with contextlib.suppress(RegistryError):
            self._transport.fetch(request, self._authorization)

    def _about(self, session: _Session, method: str, attempts: int = MAX_ATTEMPTS) -> Request:
        request = Request(method, session.location, self._purpose, attempts=attempts)
        return replace(request, sent_by=self._remote.origin)

    def _bodied(
        self, method: str, url: str, headers: Tuple[Tuple[str, str], ...], start: int, size: int
    ) -> Request:
        """Bodies are tried once: how to go on depends on how much of it arrived."""

        def open_body() -> BinaryIO:
            return cast(BinaryIO, _Window(self._open(), start, size))

        request = Request(method, url, self._purpose, headers, open_body, size, attempts=1)
        return replace(request, sent_by=self._remote.origin)

    def _session(self, reply: Reply, before: _Session = _NEW, default_offset: int = 0) -> _Session:
        location = urljoin(reply.url, reply.header("location") or before.location)
        here, there = Origin.of(reply.url), Origin.of(location)
        if here.scheme == "https" and there.scheme != "https":
            raise RegistryError(
                f"{self._purpose}: {here} wants the upload sent unencrypted to {there}, which is refused"
            )
        match = _RANGE.match(reply.header("range"))
        minimum = reply.header("oci-chunk-min-length")
        chunk = (
            min(_MAX_CHUNK, max(before.chunk, int(minimum[:12])))
            if minimum.isdigit()
            else before.chunk
        )
        # "0-0" means one byte in the spec and none in registries that have just begun; nobody sends a chunk of one byte.
        offset = int(match[1]) + 1 if match and int(match[1]) else default_offset
        if offset > self._descriptor.size:
            raise _ForgottenError("the registry has more of the upload than there is")
        return _Session(location, offset, chunk)

    def _uploads(self) -> str:
        return self._remote.url("blobs/uploads/")
