"""Carry a command's output into log files.

A command that gets a file as its stdout could truncate it (``echo x > /dev/stdout``), and a USER that is not root could
not open /dev/stdout at all. So a file is written by us, and the command gets a pipe, as under Docker. Pipes and terminals
are handed on as they are.
"""

from __future__ import annotations

import os
import select
import stat
from contextlib import suppress
from typing import Dict, Sequence

from imagebuild.runtime.mask import Masker

_BLOCK = 1 << 16


class Output:
    """Where a command's stdout and stderr go; both into one pipe, in order, where they are the same file.

    :ivar stdout: the descriptor for the command.
    :ivar stderr: the descriptor for the command.
    """

    def __init__(self, stdout: int, stderr: int, masked: Sequence[bytes] = ()) -> None:
        """:param masked: texts that do not reach a file."""
        self._masked = masked
        self._files: Dict[int, int] = {}  # reading end -> file
        self._maskers: Dict[int, Masker] = {}  # reading end -> what its file must not show
        self._writers: Dict[int, int] = {}  # file -> writing end
        self.stdout, self.stderr = self._for_command(stdout), self._for_command(stderr)
        self._errors = stderr

    def _for_command(self, fd: int) -> int:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        if fd not in self._writers:
            read_end, self._writers[fd] = os.pipe()
            os.set_blocking(read_end, False)
            self._files[read_end] = fd
            self._maskers[read_end] = Masker(self._masked)
        return self._writers[fd]

    def close_writers(self) -> None:
        """In the parent, once the child has its copies."""
        for fd in self._writers.values():
            os.close(fd)
        self._writers = {}

    def close(self) -> None:
        self.close_writers()
        for fd in self._files:
            os.close(fd)
        self._files = {}

    def pump_until(self, status: int) -> bytes:
        """Carry output until everybody has closed the pipe ``status``; what was written to that one.

        :raises OSError: when a file cannot be written (ENOSPC).
        """
        poll = select.poll()
        for fd in (status, *self._files):
            poll.register(fd, select.POLLIN)
        data = b""
        while True:
            for fd, _ in poll.poll():
                if fd != status:
                    if not self._carry(fd):
                        poll.unregister(fd)
                    continue
                block = os.read(status, _BLOCK)
                if not block:
                    self._drain()
                    return data
                data += block

    def _carry(self, read_end: int) -> bool:
        """Carry one block; False at the end."""
        block = os.read(read_end, _BLOCK)
        masker = self._maskers[read_end]
        _write(self._files[read_end], masker.feed(block) if block else masker.finish())
        return bool(block)

    def _drain(self) -> None:
        """What is left in the pipes once everybody is dead."""
        for fd in self._files:
            with suppress(BlockingIOError):
                while self._carry(fd):
                    pass
            _write(self._files[fd], self._maskers[fd].finish())

    def note(self, text: str) -> None:
        """A line of our own, behind what the command wrote to its stderr."""
        line, masker = f"{text}\n".encode("utf-8", "backslashreplace"), Masker(self._masked)
        _write(self._errors, masker.feed(line) + masker.finish())


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
