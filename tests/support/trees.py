"""Trees on disk as comparable values, and canaries that must stay as they are."""

from __future__ import annotations

import ctypes
import hashlib
import os
import pickle
import stat
import tempfile
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple, TypeVar

T = TypeVar("T")


def tree_state(
    root: Path, *, times: bool = True, links: bool = True
) -> Dict[bytes, Tuple[Any, ...]]:
    """All that can be told apart about every path under `root`: kind, mode, owner, device, content, target, xattrs, names."""
    state: Dict[bytes, Tuple[Any, ...]] = {}
    first: Dict[int, bytes] = {}
    base = os.fsencode(root)
    for path in sorted(_walk(base)):
        status = os.lstat(path)
        name = os.path.relpath(path, base)
        shared = (
            first.setdefault(status.st_ino, name)
            if stat.S_ISREG(status.st_mode) and links
            else name
        )
        state[name] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            status.st_mtime_ns if times else None,
            _content(path, status),
            _xattrs(path),
            shared,
        )
    return state


def _walk(base: bytes) -> List[bytes]:
    found = [base]
    for directory, names, files in os.walk(base):
        found.extend(os.path.join(directory, name) for name in (*names, *files))
    # overlayfs lists a whiteout in a directory that no other layer has, and then says that it is not there
    return [path for path in found if os.path.lexists(path)]


def _content(path: bytes, status: os.stat_result) -> Any:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return status.st_size, hashlib.sha256(file.read()).hexdigest()
    return None


def _xattrs(path: bytes) -> Tuple[Tuple[str, bytes], ...]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    kept = [name for name in names if not name.startswith("trusted.overlay.")]
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in kept)


def plant_canary(where: Path) -> Path:
    """A tree that an escape would hit: what ``/etc/passwd`` and the like mean from outside the root."""
    etc = where / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_bytes(b"canary")
    (etc / "secret").write_bytes(b"the secret of the host")
    (etc / "setuid").write_bytes(b"#!")
    (etc / "setuid").chmod(0o4711)
    os.mkfifo(etc / "fifo")
    (etc / "kept").mkdir()
    (etc / "link").symlink_to("passwd")
    return etc


def in_overlay(layers: Sequence[str], look: Callable[[Path], T], *, upper: str = "") -> T:
    """What `look` gives for the root of an overlay of `layers` (lowest first), in a mount namespace of its own.

    It needs root, and fails without.

    :param upper: an empty directory that takes what `look` writes, "" where it only reads.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with tempfile.TemporaryDirectory() as point, os.fdopen(writer, "wb") as out:
                _mount_overlay(layers, point, upper)
                try:
                    pickle.dump(look(Path(point)), out)
                finally:
                    _check(_libc.umount2(point.encode(), 2))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    assert 0 == os.waitpid(child, 0)[1], "the mount failed: these tests need root"
    result: T = pickle.loads(data)
    return result


_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _PRIVATE = 0x20000, 0x44000


def _mount_overlay(layers: Sequence[str], point: str, upper: str) -> None:
    _check(_libc.unshare(_NEWNS))
    _check(_libc.mount(b"none", b"/", None, _PRIVATE, None))
    empty = os.path.join(os.path.dirname(layers[0]), "empty")
    os.makedirs(empty, exist_ok=True)
    options = "lowerdir=" + ":".join([*reversed(layers), empty])
    if upper:
        os.mkdir(f"{upper}.work")
        options += f",upperdir={upper},workdir={upper}.work,index=off,metacopy=off,redirect_dir=off"
    _check(_libc.mount(b"overlay", point.encode(), b"overlay", 0, options.encode()))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
