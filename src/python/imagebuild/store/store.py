"""The local store: what builds on one machine share.

    blobs/sha256/<hex>   layer blobs, verified when they enter
    diffids/<hex>        JSON of the layer's descriptor, by diff_id
    indexes/<hex>        layer indexes, by diff_id
    layers/<hex>/        extracted layers, by diff_id or ChainID
    records/<hex>        results of steps, by key
    marks/<hex>          notes that something has been done
    logs/<hex>.log       output of RUN steps, by key
    caches/<hex>/<n>/    directories that RUN steps keep (`cache_dirs`)
    ingest/ work/ locks/ temporary things, and locks

Any number of processes may use one store at once. Everything appears by a rename, so a process that is killed leaves nothing
half-made, and what it leaves in ``ingest/`` and ``work/`` the next one removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from functools import partial
from typing import BinaryIO, ContextManager, Dict, Iterator, Optional, Sequence, Tuple

from imagebuild import canonical
from imagebuild.errors import DigestMismatchError, LayerMissingError, MalformedError
from imagebuild.layer.index import LayerIndex
from imagebuild.oci.descriptor import Descriptor, Layer
from imagebuild.oci.hash import Hash
from imagebuild.store.boots import Boots
from imagebuild.store.extracted import ExtractedLayers
from imagebuild.store.files import read_whole, store_errors, translated, write_whole
from imagebuild.store.ingest import Ingest
from imagebuild.store.scratch import WORK, Scratch

_DIRECTORIES = (
    "blobs/sha256",
    "diffids",
    "indexes",
    "layers",
    "records",
    "marks",
    "logs",
    "caches",
    "ingest",
    WORK,
    "locks",
)
MAX_INDEX = 1 << 30


class Store:
    """One store at `root`, which is made (0700) when it is missing."""

    def __init__(self, root: str) -> None:
        """:raises HostError: when the directory cannot be made or used."""
        self.root = os.path.abspath(root)
        self._indexes: Dict[Hash, LayerIndex] = {}
        with store_errors(self.root):
            if not os.path.isdir(self._at("locks")):
                os.makedirs(os.path.realpath(self.root), 0o700, exist_ok=True)
                os.chmod(self.root, 0o700)
                for name in _DIRECTORIES:
                    os.makedirs(self._at(name), 0o700, exist_ok=True)
            self._ingest, self._work = Scratch(self._at("ingest")), Scratch(self._at(WORK))
            self._ingest.clean()
            self._work.clean()
        self._extracted = ExtractedLayers(self, self._at("layers"), Boots(self._at("boots")))

    def _at(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    def lock_path(self, key: Hash) -> str:
        return self._at("locks", key.hex)

    def log_path(self, key: Hash) -> str:
        """Where the output of the step with this key goes."""
        return self._at("logs", f"{key.hex}.log")

    def work_dir(self) -> ContextManager[str]:
        """A new empty directory on the store's file system; gone with what is in it when the context ends."""
        return self._work.directory()

    # Blobs

    def blob_path(self, digest: Hash) -> str:
        return self._at("blobs", "sha256", digest.hex)

    def has_blob(self, digest: Hash) -> bool:
        return os.path.isfile(self.blob_path(digest))

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """The blob, unbuffered. Its digest was verified when it entered; its size is now.

        :raises LayerMissingError: when it is not there, or was damaged and is not there any more.
        """
        path = self.blob_path(descriptor.digest)
        try:
            file = open(path, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:
            raise self._missing(descriptor) from None
        except OSError as error:
            raise translated(error, self.root) from error
        if os.fstat(file.fileno()).st_size != descriptor.size:
            file.close()
            self._drop_blob(descriptor.digest)
            raise self._missing(descriptor)
        return file

    @contextlib.contextmanager
    def ingest(self, expected: Optional[Descriptor] = None) -> Iterator[Ingest]:
        """A blob to be written: with `expected`, it is verified and kept when the context ends well; without, on `commit`.

        :raises DigestMismatchError: when something else was written.
        :raises StoreFullError: when there is no room.
        """
        with self._ingest.file() as file:
            sink = Ingest(file, self._at("blobs", "sha256"), expected)
            yield sink
            if expected is not None:
                sink.commit(expected)

    def check_blob(self, descriptor: Descriptor) -> None:
        """Read a blob and compare it with its name; one that is damaged is removed, so that it is fetched again.

        :raises LayerMissingError: when it was damaged.
        """
        sha256 = hashlib.sha256()
        with self.open_blob(descriptor) as file:
            for piece in iter(partial(file.read, 1 << 20), b""):
                sha256.update(piece)
        if sha256.hexdigest() != descriptor.digest.hex:
            self._drop_blob(descriptor.digest)
            raise self._missing(descriptor)

    def _drop_blob(self, digest: Hash) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.blob_path(digest))

    @staticmethod
    def _missing(descriptor: Descriptor) -> LayerMissingError:
        return LayerMissingError(
            f"the store does not have blob {descriptor.digest} of {descriptor.size} bytes",
            diff_ids=(str(descriptor.digest),),
            hint="it is fetched or built again",
        )

    # Layers

    def add_layer(self, layer: Layer, index: Optional[LayerIndex] = None) -> None:
        """Make a layer known under its diff_id. Its blob is in the store, or will be."""
        if index is not None and not os.path.exists(self._at("indexes", layer.diff_id.hex)):
            write_whole(self._ingest, self._at("indexes", layer.diff_id.hex), index.data)
        if self.layer_of(layer.diff_id) != layer:
            data = canonical.dumps(layer.descriptor.to_json())
            # What a power cut leaves of it is no JSON, and the layer is fetched or built again.
            write_whole(self._ingest, self._at("diffids", layer.diff_id.hex), data, durable=False)

    def layer_of(self, diff_id: Hash) -> Optional[Layer]:
        """The layer with this diff_id, if the store has heard of it; its blob need not be there."""
        data = read_whole(self._at("diffids", diff_id.hex))
        if data is None:
            return None
        try:
            return Layer(diff_id, Descriptor.from_json(json.loads(data)))
        except (ValueError, MalformedError):
            with contextlib.suppress(FileNotFoundError):  # another process was as quick
                os.unlink(self._at("diffids", diff_id.hex))
            return None

    def has_layer(self, diff_id: Hash) -> bool:
        """Is the layer known and its blob here?"""
        layer = self.layer_of(diff_id)
        if layer is None:
            return False
        try:
            return os.stat(self.blob_path(layer.descriptor.digest)).st_size == layer.descriptor.size
        except FileNotFoundError:
            return False

    def extracted(self, diff_ids: Sequence[Hash]) -> Tuple[str, ...]:
        """Directories of the layers, lowest first, for overlayfs; what is missing is extracted. Never write to them.

        :raises LayerMissingError: naming every layer that the store does not have.
        :raises IntegrityError: for a layer that is hostile, damaged, or not what its diff_id says.
        """
        return self._extracted.all(tuple(diff_ids))

    def adopt_extracted(self, diff_id: Hash, upper_dir: str) -> str:
        """Take a captured upper directory over as the layer's extracted form; gives its new path.

        It must be on the store's file system, and its index already added.
        """
        return self._extracted.adopt(diff_id, upper_dir)

    # Indexes

    def index_of(self, diff_id: Hash) -> Optional[LayerIndex]:
        """The layer's index, if it has been made or fetched."""
        known = self._indexes.get(diff_id)
        if known is None:
            path = self._at("indexes", diff_id.hex)
            try:
                known = LayerIndex.open(path)
            except FileNotFoundError:
                return None
            except MalformedError:
                os.unlink(path)
                return None
            self._indexes[diff_id] = known
        return known

    def index_layer(self, layer: Layer) -> LayerIndex:
        """Make the index of a layer whose blob is here, without extracting it.

        :raises LayerMissingError: when the blob is not here.
        :raises IntegrityError: when the blob is not what `layer` says.
        """
        from imagebuild.layer.extract import index_layer

        with self.open_blob(layer.descriptor) as stream:
            diff_id, _, index = index_layer(stream)
        if diff_id != layer.diff_id:
            self.check_blob(layer.descriptor)
            raise DigestMismatchError(
                f"the content of layer blob {layer.descriptor.digest}",
                expected_digest=str(layer.diff_id),
                actual_digest=str(diff_id),
            )
        self.add_layer(layer, index)
        return index

    def packed_index(self, diff_id: Hash) -> Optional[bytes]:
        """The layer's index as it goes to a registry (gzip, the same bytes each time), None where there is none."""
        from imagebuild.layer.compression import compressor

        index = self.index_of(diff_id)
        if index is None:
            return None
        gzip = compressor("gzip")
        return gzip.compress(index.data) + gzip.flush()

    def put_index(self, diff_id: Hash, packed: bytes) -> None:
        """Take in what `packed_index` gave on another machine.

        :raises MalformedError: when it is no index, or unpacks to more than 1 GiB.
        """
        import io

        from imagebuild.layer.compression import decompress

        source, pieces, size = decompress(io.BytesIO(packed)), [], 0
        while True:
            piece = source.read(1 << 20)
            size += len(piece)
            if size > MAX_INDEX:
                raise MalformedError("a layer index is larger than 1 GiB")
            if not piece:
                break
            pieces.append(piece)
        data = b"".join(pieces)
        LayerIndex(data)
        write_whole(self._ingest, self._at("indexes", diff_id.hex), data)

    # Records and marks

    def get_record(self, key: Hash) -> Optional[bytes]:
        return read_whole(self._at("records", key.hex))

    def put_record(self, key: Hash, data: bytes) -> None:
        """File `data` under `key`; a later record replaces an earlier one."""
        if self.get_record(key) != data:
            write_whole(self._ingest, self._at("records", key.hex), data)

    def is_marked(self, text: str) -> bool:
        """Has `mark` been called with this text?"""
        return os.path.exists(self._mark_path(text))

    def mark(self, text: str) -> None:
        """Note that something has been done; losing the note must do no harm."""
        write_whole(self._ingest, self._mark_path(text), text.encode(), durable=False)

    def _mark_path(self, text: str) -> str:
        return self._at("marks", Hash.of(text.encode()).hex)
