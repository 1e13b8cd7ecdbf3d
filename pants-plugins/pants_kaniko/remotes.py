"""What ADD names by its URL, on the way from a plan to what it means now. Plain functions."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple, Union

from pants.engine.process import ProcessCacheScope

from imagebuild import canonical
from imagebuild.dockerfile.model import Dockerfile
from imagebuild.execute import requests as wire
from imagebuild.execute.credentials import ssh_for_remotes
from imagebuild.execute.pure_requests import SshSource
from imagebuild.llb.plan import ContextInput, Plan, RemoteSource, StepInput
from imagebuild.llb.remote import first_user, pinned, remote_base, shown
from imagebuild.oci.hash import Hash
from pants_kaniko.calls import ExecutorCall
from pants_kaniko.plans import PinnedRemotes, Place, PlanHandle, RemotesRequest
from pants_kaniko.requests import BuildStep, BuiltStep
from pants_kaniko.stack import chain_of


def wanted(
    plan: Plan, dockerfile: Dockerfile, epoch: Optional[int], ssh: Tuple[SshSource, ...]
) -> RemotesRequest:
    """Those sources of `plan` that do not say themselves what they hold."""
    sources = tuple(source for source in plan.remotes if pinned(source) is None)
    places = tuple(_place(plan, dockerfile, source) for source in sources)
    return RemotesRequest(sources, places, epoch, ssh_for_remotes(sources, ssh))


def with_remotes(plan: Plan, asked: RemotesRequest, answered: PinnedRemotes) -> Plan:
    """The plan that can be run: nothing has to be fetched for it yet.

    :param answered: what those of `asked` mean now.
    """
    meant = dict(zip(asked.sources, answered.sources))
    sources = (pinned(source) or meant[source] for source in plan.remotes)
    return plan.with_remotes([remote_base(source, plan.platform) for source in sources])


def remotes_call(request: RemotesRequest, bucket: str) -> ExecutorCall:
    """A URL without a checksum, a branch and a tag are asked for as often as tags of base images."""
    body = wire.RemotesRequest(request.sources, request.epoch, request.ssh)
    return ExecutorCall(
        "fetch-remote",
        canonical.dumps(body),
        f"Ask for {', '.join(map(shown, request.sources))}",
        pure=False,
        scope=ProcessCacheScope.SUCCESSFUL if bucket else ProcessCacheScope.PER_SESSION,
        salt=bucket,
    )


def prepared_input(
    handle: PlanHandle, item: StepInput, below: Sequence[BuiltStep]
) -> Union[wire.ContextDigest, wire.TreeLayers, wire.RemoteTree]:
    """What `prepare` is told of an input."""
    if isinstance(item, ContextInput):
        return wire.ContextDigest(item.digest)
    remote = handle.plan.remote_of(item.state)
    if remote is not None:
        return wire.RemoteTree(remote)
    return wire.TreeLayers(chain_of(handle, item.state, below))


def trees_of(
    request: BuildStep, below: Sequence[BuiltStep], fetched: Sequence[Hash]
) -> Tuple[Tuple[Hash, ...], ...]:
    """For each input of a step, the diffIDs of the tree that it reads; () for files of the context.

    :param fetched: those of what was fetched for it, in the order of its inputs.
    """
    left = iter(fetched)
    trees: List[Tuple[Hash, ...]] = []
    for item in request.handle.graph.steps[request.number].inputs:
        if isinstance(item, ContextInput):
            trees.append(())
        elif request.handle.plan.remote_of(item.state):
            trees.append((next(left),))
        else:
            chain = chain_of(request.handle, item.state, below)
            trees.append(tuple(source.layer.diff_id for source in chain))
    return tuple(trees)


def _place(plan: Plan, dockerfile: Dockerfile, source: RemoteSource) -> Place:
    number = first_user(plan, source)
    assert number is not None, "a plan has only what its steps read"
    origin = plan.origins[number].source
    return Place(origin, dockerfile.source.excerpt(origin))
