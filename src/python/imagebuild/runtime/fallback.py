"""The ``auto`` runtime: the strongest that starts, told where it is not the strongest there is."""

from __future__ import annotations

import sys
from typing import Callable, Optional, Sequence

from imagebuild.errors import NamespacesUnavailableError, OverlayUnavailableError
from imagebuild.runtime.spec import ExitStatus, ProcessSpec, Runtime


class FallbackRuntime:
    """Runs with ``first``; where the host refuses it before the command has started, with what ``second`` makes.

    What a host refuses (an AppArmor profile without mounts, a seccomp filter, an odd filesystem) shows only when it is
    tried. Trying costs nothing where it works.
    """

    def __init__(self, first: Runtime, second: Callable[[], Runtime]) -> None:
        self.first, self.second, self.name = first, second, first.name

    def run(
        self,
        lower: Sequence[str],
        upper: str,
        work: str,
        spec: ProcessSpec,
        *,
        stdout: int,
        stderr: int,
        stdin: Optional[int] = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> ExitStatus:
        """As `spec.Runtime` says; a note on our stderr tells of the weaker runtime."""

        def run(runtime: Runtime) -> ExitStatus:
            return runtime.run(
                lower,
                upper,
                work,
                spec,
                stdout=stdout,
                stderr=stderr,
                stdin=stdin,
                meanwhile=meanwhile,
            )

        try:
            return run(self.first)
        except (NamespacesUnavailableError, OverlayUnavailableError) as error:
            from imagebuild.runtime.placed import refuse_others

            reason = error.message
            refuse_others(spec.mounts, reason)
        second = self.second()
        self.name = second.name
        sys.stderr.write(
            f"note: the {self.first.name} runtime does not work here ({reason}); "
            f"this RUN uses the {second.name} runtime, which isolates less\n"
        )
        return run(second)
