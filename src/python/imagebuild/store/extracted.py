"""Layers extracted for use as lower directories of overlayfs, each once for all processes."""

from __future__ import annotations

import contextlib
import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

from imagebuild.errors import DigestMismatchError, IntegrityError, LayerMissingError
from imagebuild.layer.entry import ROOT
from imagebuild.layer.removal import remove_path
from imagebuild.oci.descriptor import Layer
from imagebuild.oci.hash import Hash, chain_id
from imagebuild.store.boots import Boots
from imagebuild.store.parallel import run_forked
from imagebuild.store.scratch import exclusive

if TYPE_CHECKING:
    from imagebuild.layer.extract import ExtractResult
    from imagebuild.store.store import Store


Root = Tuple[int, int, int]  # mode, uid, gid

_DEFAULT_ROOT: Root = (0o755, 0, 0)
_WORTH_A_HELPER = 1 << 18  # bytes of a blob; a fork takes as long as some hundred small files


class ExtractedLayers:
    """The directories under ``layers/``.

    A layer that stands on its own is kept under its diff_id. One whose directories take their metadata from below, or that
    links to files below, is another tree over other layers: it is kept under the ChainID.
    """

    def __init__(self, store: Store, path: str, boots: Boots) -> None:
        self._store = store
        self.path = path
        self._boots = boots
        self._roots: Dict[Hash, Optional[Root]] = {}

    def all(self, diff_ids: Sequence[Hash]) -> Tuple[str, ...]:
        """Directories of the layers, lowest first; what is missing is extracted.

        :raises LayerMissingError: naming every layer whose blob is not in the store.
        """
        missing = self._missing(diff_ids)
        with contextlib.ExitStack() as held:
            # In one order for everybody, and no other lock is waited for meanwhile: nobody waits in a circle.
            for key in sorted(layer.diff_id.hex for layer in missing):
                held.enter_context(exclusive(self._store.lock_path(Hash(key))))
            drafts: Dict[Hash, str] = {}
            if len(missing) > 1:
                work = held.enter_context(self._store.work_dir())
                drafts = self._side_by_side(self._missing(diff_ids), work)
            found: List[str] = []
            for number in range(1, len(diff_ids) + 1):
                chain = diff_ids[:number]
                path = self._find(chain)
                if path is None:
                    lower = tuple(reversed(found))
                    draft = drafts.pop(chain[-1], None)
                    path = (
                        self._settle(chain, lower, draft) if draft else self._extract(chain, lower)
                    )
                found.append(path)
            return tuple(found)

    def _side_by_side(self, layers: Sequence[Layer], work: str) -> Dict[Hash, str]:
        """Extract several layers at once into `work`, each as if nothing lay below it; gives what has come out whole.

        Nobody else sees these before they are settled on what does lie below. A layer that failed is left to `_extract`,
        which says why; one that links to files below is among these.
        """
        drafts = {layer.diff_id: os.path.join(work, layer.diff_id.hex) for layer in layers}
        largest_first = sorted(layers, key=lambda layer: -layer.descriptor.size)
        run_forked([partial(self._draft, layer, drafts[layer.diff_id]) for layer in largest_first])
        return {diff_id: path for diff_id, path in drafts.items() if os.path.isdir(path)}

    def _draft(self, layer: Layer, path: str) -> None:
        unfinished = path + ".part"
        os.mkdir(unfinished, 0o755)
        try:
            self._store.add_layer(layer, self._read(layer, unfinished, ()).index)
        except BaseException:
            remove_path(unfinished)  # whoever tries again may need the room
            raise
        os.rename(unfinished, path)

    def _settle(self, chain: Sequence[Hash], lower: Tuple[str, ...], draft: str) -> str:
        """Give a draft what it takes from the layers below it, and its place. Where that fails, `_extract` says why."""
        from imagebuild.layer.settle import settle_alone

        index = self._store.index_of(chain[-1])
        assert index is not None, "extracting a layer indexes it"
        fd = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            settle_alone(fd, index, lower)
        except (OSError, IntegrityError):
            return self._extract(chain, lower)
        finally:
            os.close(fd)
        return self._place(draft, chain, leans=index.implied)

    def adopt(self, diff_id: Hash, directory: str) -> str:
        """Take a finished directory over as the extracted layer; gives its new path."""
        target = self._at(diff_id)
        with exclusive(self._store.lock_path(diff_id)):
            if self._is_there(target, diff_id):
                remove_path(directory)
            else:
                self._move(directory, target)
        return target

    def _at(self, key: Hash) -> str:
        return os.path.join(self.path, key.hex)

    def _find(self, chain: Sequence[Hash]) -> Optional[str]:
        """Where the topmost layer of `chain` is extracted, if it is."""
        alone = self._at(chain[-1])
        if (
            self._stands_alone(chain[-1])
            and self._is_there(alone, chain[-1])
            and self._has_root_of(alone, chain)
        ):
            return alone
        whole = self._at(chain_id(chain))
        return whole if self._is_there(whole, chain[-1]) else None

    def _is_there(self, path: str, diff_id: Hash) -> bool:
        """Whether the layer is extracted at `path`. What a power cut has left of one goes."""
        name = os.path.basename(path)
        if not os.path.isdir(path):
            return False
        if not self._boots.is_whole(name, path, self._store.index_of(diff_id)):
            self._boots.remove(name, self._set_aside)
        return os.path.isdir(path)

    def _set_aside(self, name: str) -> None:
        with self._store.work_dir() as work:
            os.rename(os.path.join(self.path, name), os.path.join(work, name))

    def _stands_alone(self, diff_id: Hash) -> bool:
        index = self._store.index_of(diff_id)
        return index is not None and not (index.implied or index.foreign)

    def _has_root_of(self, path: str, chain: Sequence[Hash]) -> bool:
        """Does the root of this extraction look as the root of the stack has to? Overlayfs shows the topmost one's.

        Few layers record their root, so the same layer over two bases can need two extractions (Fedora's root is 0555).
        """
        recorded = (self._recorded_root(diff_id) for diff_id in reversed(chain))
        expected = next((root for root in recorded if root is not None), _DEFAULT_ROOT)
        status = os.stat(path)
        return expected == (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)

    def _recorded_root(self, diff_id: Hash) -> Optional[Root]:
        if diff_id not in self._roots:
            index = self._store.index_of(diff_id)
            if index is None:
                return None
            entry = index.get(ROOT)
            self._roots[diff_id] = None if entry is None else (entry.mode, entry.uid, entry.gid)
        return self._roots[diff_id]

    def _missing(self, diff_ids: Sequence[Hash]) -> List[Layer]:
        """The layers that have to be extracted.

        :raises LayerMissingError: naming those whose blob is not here.
        """
        wanted = [
            diff_id
            for number, diff_id in enumerate(diff_ids)
            if self._find(diff_ids[: number + 1]) is None
        ]
        missing = tuple(str(diff_id) for diff_id in wanted if not self._store.has_layer(diff_id))
        if missing:
            raise LayerMissingError(
                f"the store lacks {len(missing)} layers that are needed",
                diff_ids=missing,
                hint="they are fetched or built again",
            )
        layers = [self._store.layer_of(diff_id) for diff_id in dict.fromkeys(wanted)]
        return [layer for layer in layers if layer is not None]

    def _extract(self, chain: Sequence[Hash], lower: Tuple[str, ...]) -> str:
        layer = self._store.layer_of(chain[-1])
        assert layer is not None, "looked for before"
        with self._store.work_dir() as work:
            directory = os.path.join(work, "layer")
            os.mkdir(directory, 0o755)
            result = self._read(layer, directory, lower)
            self._store.add_layer(layer, result.index)
            return self._place(directory, chain, leans=result.implied or result.foreign_links)

    def _place(self, directory: str, chain: Sequence[Hash], *, leans: bool) -> str:
        alone = not leans or len(chain) == 1
        alone = alone and not os.path.isdir(self._at(chain[-1]))
        target = self._at(chain[-1] if alone else chain_id(chain))
        self._move(directory, target)
        return target

    def _move(self, directory: str, target: str) -> None:
        self._boots.note(os.path.basename(target))
        os.rename(directory, target)

    def _read(self, layer: Layer, directory: str, lower: Tuple[str, ...]) -> ExtractResult:
        from imagebuild.layer.extract import extract_layer  # most processes extract nothing

        diff_id, blob = layer.diff_id, layer.descriptor
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self._store.open_blob(blob) as stream:
                helper = blob.size >= _WORTH_A_HELPER
                result = extract_layer(stream, fd, lower=lower, helper=helper)
        except LayerMissingError as error:
            raise LayerMissingError(
                f"layer {diff_id}: {error.message}", diff_ids=(str(diff_id),), hint=error.hint
            ) from error
        except IntegrityError as error:
            self._store.check_blob(
                blob
            )  # a blob that went bad in the store is fetched again, not the image's fault
            raise type(error)(
                f"layer {diff_id}: {error.message}", expected=error.expected, hint=error.hint
            ) from error
        finally:
            os.close(fd)
        if result.diff_id != diff_id:
            self._store.check_blob(blob)
            raise DigestMismatchError(
                f"the content of layer blob {blob.digest}",
                expected_digest=str(diff_id),
                actual_digest=str(result.diff_id),
            )
        return result
