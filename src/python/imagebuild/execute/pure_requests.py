"""Requests and results of the pure subcommands: `step`, `export`, `docker-archive`.

A request holds only what its result depends on: no registry, no credential, no path of a machine. Apart from ``requests``,
because these processes are many and short, and start the faster for the classes that they do not define.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from imagebuild.llb.ops import EnvVars
from imagebuild.llb.step import Step
from imagebuild.oci.descriptor import Descriptor, Layer
from imagebuild.oci.hash import Hash


@dataclass(frozen=True)
class SecretSource:
    """Where the value of a secret is: the file's absolute path, never the value."""

    id: str
    path: str


@dataclass(frozen=True)
class SshSource:
    """What answers for an ssh mount.

    :param paths: absolute: the socket of an agent, or private keys; () for an agent that is not running.
    """

    id: str
    paths: Tuple[str, ...] = ()


@dataclass(frozen=True)
class StepRequest:
    """``step`` (pure): run one step.

    :param trees: aligned with the step's inputs: the diffIDs of the tree behind a tree input (its bytes are read from
        there; the key only has the digest of what is selected), () for a context.
    :param compression: "gzip", "zstd" or "none" for the new layer's blob.
    :param runtime: "auto", "namespace" or "chroot".
    :param use_records: False to run even if the store has a record for it.
    :param proxy_env: added to a RUN's environment; in no key, because where bytes come through does not change them.
    :param secrets: and `ssh`: those that the step mounts, as far as there are any. Values are read by the step itself.
    :param plain: context files that are not executable, whatever their mode in the sandbox says: Pants' store has large
        files executable, and lends them as they are.
    :param unread: inputs that nobody has looked into yet: `step` has the ChainID of their trees, and the digest of what the
        step selects from them is worked out first of all.
    """

    step: Step
    trees: Tuple[Tuple[Hash, ...], ...] = ()
    compression: str = "gzip"
    runtime: str = "auto"
    use_records: bool = True
    proxy_env: EnvVars = ()
    secrets: Tuple[SecretSource, ...] = ()
    ssh: Tuple[SshSource, ...] = ()
    plain: Tuple[str, ...] = ()
    unread: Tuple[int, ...] = ()


@dataclass(frozen=True)
class StepResult:
    """:param step: the content key's preimage, where the request left something of it open."""

    layer: Optional[Layer]
    step: Optional[Step] = None


@dataclass(frozen=True)
class ExportRequest:
    """``export`` (pure): put blobs of the store into the working directory, each at the path beside it."""

    blobs: Tuple[Tuple[Descriptor, str], ...]


@dataclass(frozen=True)
class DockerArchiveRequest:
    """``docker-archive`` (pure): one tar for ``docker load``, from an image layout at `layout`, to `path`."""

    layout: str
    path: str
    tags: Tuple[str, ...]
