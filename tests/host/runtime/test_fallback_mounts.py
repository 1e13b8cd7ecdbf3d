"""``auto`` on a machine that refuses mounts only when a RUN starts: what the weaker runtime can do, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

from imagebuild.errors import NamespacesUnavailableError
from imagebuild.runtime.chroot import ChrootRuntime
from imagebuild.runtime.fallback import FallbackRuntime
from imagebuild.runtime.spec import Bind, ExitStatus, Inline, Merged, Mount, Tmpfs


class Refusing:
    """A machine whose security profile forbids mounts."""

    name = "namespace"

    def run(self, *args: Any, **options: Any) -> ExitStatus:
        raise NamespacesUnavailableError("cannot make namespaces: Operation not permitted")


@pytest.fixture
def auto(chroot: Any) -> Any:
    chroot.runtime = FallbackRuntime(Refusing(), ChrootRuntime)
    return chroot


def test_what_can_be_copied_works(auto: Any, tmp_path: Path, capfd: Any) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("f\n")
    mounts: Tuple[Mount, ...] = (
        Bind("/b", str(tmp_path / "d"), readonly=True),
        Merged("/m", (str(tmp_path),), "d/f"),
        Inline("/dev/pipes/s", b"#!/bin/sh\necho script\n", 0o755, private=False),
        Tmpfs("/t"),
    )

    ran = auto.sh("cat /b/f /m; /dev/pipes/s; echo t > /t/t; cat /t/t", mounts=mounts)

    assert "f\nf\nscript\nt\n" == ran.out
    assert {} == ran.changes()
    assert "uses the chroot runtime, which isolates less" in capfd.readouterr().err


NEED_MOUNTS: Dict[str, Mount] = {
    "a secret": Inline("/x", b"secret"),
    "a directory that others may have": Bind("/x", "/tmp"),
}


@pytest.mark.parametrize("mount", NEED_MOUNTS.values(), ids=list(NEED_MOUNTS))
def test_what_needs_a_mount_says_so_and_why(auto: Any, mount: Mount) -> None:
    with pytest.raises(NamespacesUnavailableError) as error:
        auto.sh("true", mounts=(mount,))

    assert (
        "RUN --mount on /x needs a mount namespace: cannot make namespaces: Operation not permitted"
        == error.value.message
    )
    assert "CAP_SYS_ADMIN" in error.value.hint
