"""Find out what ADD fetches."""

from __future__ import annotations

from typing import Any, Iterable

from pants.engine.rules import Get, collect_rules, rule
from pants.util.logging import LogLevel

from imagebuild import canonical
from imagebuild.execute.requests import RemotesResult
from pants_kaniko import remotes, report
from pants_kaniko.calls import ExecutorAnswer, ExecutorCall
from pants_kaniko.plans import PinnedRemotes, RefreshBucket, RemotesRequest


@rule(desc="Ask for remote files and repositories", level=LogLevel.DEBUG)
async def pin_remotes(request: RemotesRequest, bucket: RefreshBucket) -> PinnedRemotes:
    if not request.sources:
        return PinnedRemotes(())
    answer = await Get(ExecutorAnswer, ExecutorCall, remotes.remotes_call(request, bucket.value))
    raw = report.remotes_of(answer, request)
    return PinnedRemotes(canonical.loads(RemotesResult, raw).sources)


def rules() -> Iterable[Any]:
    return collect_rules()
