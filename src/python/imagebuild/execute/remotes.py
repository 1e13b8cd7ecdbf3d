"""``fetch-remote``: what the URLs and git references of ADD mean now. And their trees, for whoever needs them.

A source that names its content (a checksum, a whole commit) is asked nothing: it is fetched when a step has to run that
reads it, and never where the step is cached. Of a URL without a checksum the server is asked whether it has changed; of a
branch or a tag, which commit it is. That is as often as for the tags of base images, and fails where they do not answer.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Iterator, Optional, Sequence, Tuple, Type, TypeVar

from imagebuild import canonical
from imagebuild.errors import MalformedError
from imagebuild.execute.effects import Effects
from imagebuild.execute.pure_requests import SshSource
from imagebuild.execute.requests import RemotesRequest, RemotesResult
from imagebuild.llb.ops import SshMount
from imagebuild.llb.plan import GitSource, HttpSource, RemoteSource
from imagebuild.llb.remote import identity, pinned
from imagebuild.oci.descriptor import Layer
from imagebuild.oci.hash import Hash
from imagebuild.registry.concurrency import concurrently
from imagebuild.store.scratch import exclusive
from imagebuild.store.store import Store

if TYPE_CHECKING:
    from imagebuild.remote.git import Git
    from imagebuild.remote.http import Visit

_T = TypeVar("_T")


def pin_remotes(request: RemotesRequest, effects: Effects) -> RemotesResult:
    """:raises RemoteError: for a source that cannot be had, quoting its URL.
    :raises ChecksumError: for a ref that is another commit than it should be.
    """

    def pin(source: RemoteSource) -> RemoteSource:
        return pinned(source) or _ask(source, request, effects)

    return RemotesResult(tuple(concurrently(pin, request.sources)))


def fetched_tree(
    source: RemoteSource, epoch: Optional[int], effects: Effects, ssh: Sequence[SshSource] = ()
) -> Layer:
    """The layer of a pinned source, in the store with its bytes and its index.

    :param ssh: as in `RemotesRequest`.

    :raises RemoteError: when it cannot be had. :raises ChecksumError: when it is not what it was pinned to.
    """
    key = _tree_key(identity(source), epoch)
    layer = _there(effects.store, key)
    if layer is not None:
        return layer
    with exclusive(effects.store.lock_path(key)):  # another step may be at it
        layer = _there(effects.store, key)
        if layer is None:
            layer = _fetch(source, epoch, effects, ssh)
            effects.store.put_record(key, canonical.dumps(layer))
    return layer


def known_tree(store: Store, name: Hash, epoch: Optional[int]) -> Optional[Layer]:
    """The layer of the source whose identity is `name`, if the store has its index; its bytes need not be there."""
    layer = _recorded(store, _tree_key(name, epoch))
    return layer if layer and store.index_of(layer.diff_id) is not None else None


def _ask(source: RemoteSource, request: RemotesRequest, effects: Effects) -> RemoteSource:
    if not isinstance(source, GitSource):
        return _visit(source, request.epoch, effects)
    from imagebuild.remote.git_refs import resolve_ref

    with effects.store.work_dir() as work, _git(source, work, effects, request.ssh) as git:
        return resolve_ref(git, source)


def _visit(source: HttpSource, epoch: Optional[int], effects: Effects) -> HttpSource:
    """Fetch a file, unless its server says that it is the one that the store has."""
    from imagebuild.remote.http import Visit

    key = canonical.fingerprint(["remote visit", source.url])
    known = _read(effects.store, key, Visit)
    if known is not None:
        pin = replace(source, checksum=known.checksum)
        if _there(effects.store, _tree_key(identity(pin), epoch)) is None:
            known = None
    visit, layer = _download(source, epoch, effects, known)
    if visit is None or layer is None:
        assert known is not None, "only what is known can be unchanged"
        return replace(source, checksum=known.checksum)
    pin = replace(source, checksum=visit.checksum)
    effects.store.put_record(_tree_key(identity(pin), epoch), canonical.dumps(layer))
    effects.store.put_record(key, canonical.dumps(visit))
    return pin


def _fetch(
    source: RemoteSource, epoch: Optional[int], effects: Effects, ssh: Sequence[SshSource]
) -> Layer:
    if isinstance(source, GitSource):
        return _clone(source, epoch, effects, ssh)
    layer = _download(source, epoch, effects, None)[1]
    assert layer is not None, "what is asked for without a condition comes"
    return layer


def _download(
    source: HttpSource, epoch: Optional[int], effects: Effects, known: Optional[Visit]
) -> Tuple[Optional[Visit], Optional[Layer]]:
    from imagebuild.remote.http import HttpFetch
    from imagebuild.remote.tree import file_tree

    with effects.store.work_dir() as work:
        path = os.path.join(work, "file")
        with effects.web() as transport, open(path, "x+b") as file:
            visit = HttpFetch(transport, source, file).run(known)
        if visit is None:
            return None, None
        # The time a server tells is in no layer that others should get too.
        mtime = visit.mtime if epoch is None else epoch
        return visit, file_tree(effects.store, path, source.name, mtime)


def _clone(
    source: GitSource, epoch: Optional[int], effects: Effects, ssh: Sequence[SshSource]
) -> Layer:
    from imagebuild.remote.git_fetch import GitCheckout
    from imagebuild.remote.tree import directory_tree

    with effects.store.work_dir() as work, _git(source, work, effects, ssh) as git:
        directory = os.path.join(work, "tree")
        os.mkdir(directory)
        made = GitCheckout(git, source, directory).make()
        return directory_tree(effects.store, os.fsencode(made), epoch)


@contextmanager
def _git(source: GitSource, work: str, effects: Effects, ssh: Sequence[SshSource]) -> Iterator[Git]:
    """The machine's git, with the agent that `source` may be fetched with."""
    from imagebuild.execute.credentials import lent_socket, ssh_for_remotes
    from imagebuild.remote.git import Git

    mount = SshMount("", uid=os.getuid(), gid=os.getgid())
    lent = ssh_for_remotes([source], ssh)
    with lent_socket(mount, lent, os.path.join(work, "agent")) as socket:
        yield Git(work, {**effects.environ, **({"SSH_AUTH_SOCK": socket} if socket else {})})


def _tree_key(name: Hash, epoch: Optional[int]) -> Hash:
    """Under what the layer of a fetched source is filed in the store; this key leaves no machine."""
    return canonical.fingerprint(["remote tree", name, epoch])


def _there(store: Store, key: Hash) -> Optional[Layer]:
    layer = _recorded(store, key)
    if layer is None or not store.has_layer(layer.diff_id):
        return None
    return layer if store.index_of(layer.diff_id) is not None else None


def _recorded(store: Store, key: Hash) -> Optional[Layer]:
    return _read(store, key, Layer)


def _read(store: Store, key: Hash, cls: Type[_T]) -> Optional[_T]:
    raw = store.get_record(key)
    try:
        return canonical.loads(cls, raw) if raw else None
    except MalformedError:
        return None
