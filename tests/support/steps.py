"""Single RUN steps with their mounts, run as the executor runs them, over a store with a busybox base."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

from imagebuild import canonical
from imagebuild.execute.child import in_child
from imagebuild.execute.pure_requests import StepRequest
from imagebuild.execute.step import run_step
from imagebuild.llb.ops import ExecOp, Mount
from imagebuild.llb.step import FORMAT_VERSION, Step
from imagebuild.oci.descriptor import Layer
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store
from support.base_image import busybox, busybox_layer
from support.builds import HERE, Files, write_files
from support.stores import put, put_layer

ENV = (("PATH", "/bin"),)


@dataclass(frozen=True)
class Ran:
    """:param log: what the command printed, as the store keeps it.
    :param layer: paths of the new layer, but for its root.
    """

    log: str
    layer: Tuple[str, ...]


@dataclass
class Steps:
    """A store, and steps over its base.

    :ivar trees: behind the inputs, as in a StepRequest.
    """

    directory: Path
    store: Store
    base: Hash
    context: Path
    runtime: str = "namespace"
    trees: List[Tuple[Hash, ...]] = field(default_factory=lambda: [()])

    @staticmethod
    def at(directory: Path, **options: Any) -> Steps:
        store = Store(str(directory / "store"))
        base = add_layer(store, _base())
        context = directory / "context"
        context.mkdir()
        return Steps(directory, store, base, context, **options)

    def files(self, files: Files) -> None:
        write_files(self.context, files)

    def tree(self, *members: Any) -> int:
        """A tree of one layer; its number as an input."""
        self.trees.append((put_layer(self.store, *members).diff_id,))
        return len(self.trees) - 1

    def request(self, script: str, mounts: Sequence[Mount], **options: Any) -> StepRequest:
        op_options = {key: options.pop(key) for key in ("user", "network") if key in options}
        op = ExecOp(
            options.pop("args", ("/bin/sh", "-c", script)),
            options.pop("env", ENV),
            "/",
            op_options.get("user", ""),
            op_options.get("network", "host"),
            tuple(mounts),
        )
        inputs = tuple(Hash.of(str(tree).encode()) for tree in self.trees)
        epoch: Optional[int] = options.pop("epoch", 0)
        step = Step(FORMAT_VERSION, op, HERE, epoch, (self.base,), inputs)
        options.setdefault("use_records", False)
        return StepRequest(step, tuple(self.trees), "none", self.runtime, **options)

    def run(self, script: str, *mounts: Mount, **options: Any) -> Ran:
        """:raises ImageBuildError: what the step raises."""
        request = self.request(script, mounts, **options)
        layer = in_child(lambda: run_step(request, self.store, str(self.context))).layer
        assert layer is not None
        index = self.store.index_of(layer.diff_id)
        assert index is not None
        paths = sorted(entry.path.decode() for entry in index.scan())
        return Ran(self.log_of(request), tuple(path for path in paths if path not in ("", ".")))

    def log_of(self, request: StepRequest) -> str:
        log = Path(self.store.log_path(canonical.fingerprint(request.step)))
        return log.read_text(encoding="utf-8", errors="replace")


@lru_cache(maxsize=None)
def _base() -> bytes:
    return busybox_layer(busybox())


def add_layer(store: Store, data: bytes) -> Hash:
    """A layer of a whole tar."""
    layer = Layer(Hash.of(data), put(store, data))
    store.add_layer(layer)
    return layer.diff_id
