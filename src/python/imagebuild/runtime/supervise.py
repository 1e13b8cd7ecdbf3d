"""Start a confined child, forward signals to it, and make sure that nothing of it outlives us.

    caller --fork--> keeper --fork--> the command

The keeper runs no code of the image. In the namespace runtime it is the first process of a pid namespace of its own,
around the command's: when it dies, and it dies with the caller (PR_SET_PDEATHSIG), the kernel kills everything inside,
whatever the command did to detach itself. The command, being alone in its own pid namespace, is process 1 there as
under Docker, and sees neither keeper nor caller. In the chroot runtime the keeper is the subreaper of the command's
descendants and kills what is left.

One pipe, from child and keeper to the caller, carries records of one tag byte, a length and a body.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from contextlib import suppress
from typing import Callable, Dict, Iterable, List, NoReturn, Optional, Tuple

from imagebuild.errors import HostError, ImageBuildError, NamespacesUnavailableError
from imagebuild.runtime import syscalls
from imagebuild.runtime.confine import STATUS_FD
from imagebuild.runtime.failure import CannotStartError, decode, encode, unexpected
from imagebuild.runtime.output import Output
from imagebuild.runtime.spec import ExitStatus
from imagebuild.runtime.terminal import lent_terminal

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: What a terminal sends to the whole foreground group by itself.
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
#: Seconds from the first forwarded signal to SIGKILL.
GRACE = 5.0

PARENT_DIED = signal.SIGPWR
_FAILED, _CANNOT_START, _EXITED = b"F", b"C", b"E"

_BAD_SYSTEM_CALL = "a program was killed for a system call of the 32-bit interface, which the sandbox does not allow"

#: The child's work; it gets the status pipe, and ends in execve or raises.
Child = Callable[[int], NoReturn]


def supervise(
    child: Child,
    *,
    pid_namespace: bool,
    terminal: bool,
    output: Output,
    meanwhile: Callable[[], None] = lambda: None,
) -> ExitStatus:
    """Run ``child`` in a forked process and wait for its end and that of everything it started.

    :param pid_namespace: give it a pid namespace (needs CAP_SYS_ADMIN).
    :param output: what ``child`` takes its stdout and stderr from; closed at the end.
    :param meanwhile: called once the child has been forked; the caller's, with nothing of the image.
    :raises ImageBuildError: what the child could not set up.
    """
    read_end, write_end = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
    try:
        try:
            pid = _fork_keeper(child, read_end, write_end, pid_namespace, terminal)
        finally:
            os.close(write_end)
            output.close_writers()
        with lent_terminal(terminal), _Forwarding(pid, mask, terminal) as forwarding:
            try:
                meanwhile()
                records = _parse(output.pump_until(read_end))
            except OSError as error:
                _end(pid)
                raise unexpected(error, "write the log of a RUN") from error
            except BaseException:
                _end(pid)
                raise
            os.waitpid(pid, 0)
    finally:
        os.close(read_end)
        output.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _conclude(records, forwarding.first, output)


def _fork_keeper(
    child: Child, read_end: int, write_end: int, pid_namespace: bool, terminal: bool
) -> int:
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC) if pid_namespace else -1
    if pid_namespace:
        _unshare_pid()
    try:
        pid = os.fork()
    finally:
        if pid_namespace and os.getpid() != 1:
            syscalls.setns(own, syscalls.CLONE_NEWPID)
            os.close(own)
    if pid:
        return pid
    try:
        os.close(read_end)
        _keep(child, write_end, pid_namespace, terminal)
    finally:
        os._exit(70)


def _unshare_pid() -> None:
    try:
        syscalls.unshare(syscalls.CLONE_NEWPID)
    except OSError as error:
        raise NamespacesUnavailableError(
            f"cannot make a pid namespace: {os.strerror(error.errno or 0)}",
            hint="run the builder as root with CAP_SYS_ADMIN, or set [kaniko].runtime to chroot",
        ) from error


def _end(pid: int) -> None:
    """End the keeper and all that it keeps; told more than once, for it may have been forked a moment ago."""
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        os.kill(pid, PARENT_DIED)
        time.sleep(0.05)


def _keep(child: Child, status: int, pid_namespace: bool, terminal: bool) -> None:
    """The keeper: everything after its fork. Signals are blocked, and taken one by one."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL if pid_namespace else PARENT_DIED)
    signal.pthread_sigmask(signal.SIG_BLOCK, {PARENT_DIED})
    if _caller_is_gone(status):  # it died before the line above
        return
    if pid_namespace:
        syscalls.unshare(syscalls.CLONE_NEWPID)
    else:
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    pid = os.fork()
    if pid == 0:
        _become(child, status)
    code = _wait(pid, terminal)
    if not pid_namespace:
        _kill_descendants()
    _send(status, _EXITED, struct.pack("=i", code))
    os._exit(0)


def _caller_is_gone(status: int) -> bool:
    """Whether nobody holds the reading end of the status pipe any more."""
    poll = select.poll()
    poll.register(status, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _become(child: Child, status: int) -> NoReturn:
    """The child: report what it raises, on the status pipe wherever it is by then."""
    record: Tuple[bytes, bytes]
    try:
        child(status)
    except CannotStartError as error:
        record = _CANNOT_START, bytes([error.code]) + error.message.encode(
            "utf-8", "backslashreplace"
        )
    except ImageBuildError as error:
        record = _FAILED, encode(error)
    except OSError as error:
        record = _FAILED, encode(unexpected(error, "set up the root of a RUN"))
    except BaseException as error:
        record = _FAILED, encode(HostError(f"internal error in a RUN's set-up: {error!r}"))
    for fd in (status, STATUS_FD):
        try:
            _send(fd, *record)
            break
        except OSError:
            continue
    os._exit(71)


def _send(status: int, tag: bytes, body: bytes) -> None:
    body = body[: select.PIPE_BUF - 8]  # written in one piece
    os.write(status, tag + struct.pack("=I", len(body)) + body)


def _wait(pid: int, terminal: bool) -> int:
    """Wait for the command, forwarding signals; a wait status as of waitpid(2)."""
    signals = {*FORWARDED, signal.SIGCHLD, PARENT_DIED}
    interrupted = False
    while True:
        received = (
            signal.sigtimedwait(signals, GRACE) if interrupted else signal.sigwaitinfo(signals)
        )
        if received is None or received.si_signo == PARENT_DIED:
            os.kill(pid, signal.SIGKILL)
        elif received.si_signo != signal.SIGCHLD:
            if not (terminal and received.si_signo in _FROM_TERMINAL):
                os.kill(pid, received.si_signo)
                interrupted = True
            continue
        ended = _reap(pid)
        if ended is not None:
            return ended


def _reap(pid: int) -> Optional[int]:
    """Reap whoever ended; the status of ``pid`` where it did."""
    while True:
        who, status = os.waitpid(-1, os.WNOHANG)
        if who in (0, pid):
            return status if who else None


def _kill_descendants() -> None:
    """Kill what the command left behind; as a subreaper we are the parent of all of it, sooner or later."""
    while True:
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> List[int]:
    me, out = os.getpid(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == me:
                out.append(int(name))
    return out


class _Forwarding:
    """While active, signals to the caller go to the keeper; a second one of a kind kills at once."""

    def __init__(self, pid: int, mask: Iterable[int], terminal: bool) -> None:
        self.pid, self.mask, self.terminal, self.first = pid, mask, terminal, 0
        self.former: Dict[int, object] = {}

    def __enter__(self) -> _Forwarding:
        with suppress(ValueError):  # Python gives signals to its main thread only
            for number in FORWARDED:
                self.former[number] = signal.signal(number, self._forward)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        return self

    def _forward(self, number: int, frame: object) -> None:
        if self.terminal and number in _FROM_TERMINAL:
            return
        os.kill(self.pid, PARENT_DIED if self.first else number)
        self.first = self.first or number

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def _parse(data: bytes) -> Dict[bytes, bytes]:
    records: Dict[bytes, bytes] = {}
    while len(data) >= 5:
        (length,) = struct.unpack_from("=I", data, 1)
        records[data[:1]] = data[5 : 5 + length]
        data = data[5 + length :]
    return records


def _conclude(records: Dict[bytes, bytes], interrupted: int, output: Output) -> ExitStatus:
    if _FAILED in records:
        raise decode(records[_FAILED])
    if _CANNOT_START in records:
        body = records[_CANNOT_START]
        message = body[1:].decode("utf-8", "replace")
        output.note(message)
        return ExitStatus(body[0], 0, interrupted, message)
    if _EXITED not in records:  # somebody killed the keeper, and the kernel the command with it
        return ExitStatus(128 + signal.SIGKILL, signal.SIGKILL, interrupted)
    (status,) = struct.unpack("=i", records[_EXITED])
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    code = 128 + number if number else os.WEXITSTATUS(status)
    message = _BAD_SYSTEM_CALL if code == 128 + signal.SIGSYS else ""
    if message:
        output.note(message)
    return ExitStatus(code, number, interrupted, message)
