"""``kaniko-executor SUBCOMMAND --request FILE --result FILE``: one request value in, one result value out.

Each subcommand imports only what it needs: starting up is most of what a small step costs.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from imagebuild import canonical
from imagebuild.command_line import options_of
from imagebuild.errors import (
    EXIT_LOST,
    EXIT_NOT_FOR_LONG,
    EXIT_OUR_BUG,
    ImageBuildError,
    UsageError,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """A subcommand's result value (None for those whose result is an effect) and exit code."""

    result: Any = None
    exit_code: int = 0


@dataclass(frozen=True)
class Invocation:
    """The command line, with its request still as bytes."""

    request: bytes
    store: str
    arguments: Tuple[str, ...]

    def read(self, cls: type[T]) -> T:
        return canonical.loads(cls, self.request)

    def open_store(self) -> Any:
        from imagebuild.store.store import Store

        return Store(self.store)

    def effects(self) -> Any:
        from imagebuild.execute.effects import Effects

        return Effects(self.open_store(), os.environ)


def _step(call: Invocation) -> Outcome:
    from imagebuild.execute.pure_requests import StepRequest
    from imagebuild.execute.step import run_step

    return Outcome(run_step(call.read(StepRequest), call.open_store(), "context"))


def _outcome(call: Invocation) -> Outcome:
    from imagebuild.serve.aside import GoesOn, outcome
    from imagebuild.store.scratch import WORK

    name = os.path.basename(call.read(GoesOn).name)
    found = outcome(os.path.join(call.store, WORK, name))
    if found is None:
        return Outcome(None, EXIT_LOST)
    code, stdout, stderr = found
    sys.stdout.buffer.write(stdout)
    sys.stderr.buffer.write(stderr)
    return Outcome(None, code if code >= 0 else EXIT_OUR_BUG)


def _resolve(call: Invocation) -> Outcome:
    from imagebuild.execute.requests import ResolveRequest
    from imagebuild.execute.resolve import resolve

    result = resolve(call.read(ResolveRequest), call.effects())
    return _passing(result, bool(result.unread))


def _fetch_remote(call: Invocation) -> Outcome:
    from imagebuild.execute.remotes import pin_remotes
    from imagebuild.execute.requests import RemotesRequest

    return Outcome(pin_remotes(call.read(RemotesRequest), call.effects()))


def _lookup(call: Invocation) -> Outcome:
    from imagebuild.execute.lookup import lookup
    from imagebuild.execute.requests import LookupRequest

    result = lookup(call.read(LookupRequest), call.effects())
    return _passing(result, not all(result.hits) or bool(result.warnings))


def _prepare(call: Invocation) -> Outcome:
    from imagebuild.execute.prepare import prepare
    from imagebuild.execute.requests import PrepareRequest

    result = prepare(call.read(PrepareRequest), call.effects())
    return _passing(result, bool(result.missing or result.warnings))


def _record(call: Invocation) -> Outcome:
    from imagebuild.execute.record import record
    from imagebuild.execute.requests import RecordRequest

    result = record(call.read(RecordRequest), call.effects())
    return _passing(result, bool(result.warnings))


def _fetch(call: Invocation) -> Outcome:
    from imagebuild.execute.fetch import fetch
    from imagebuild.execute.requests import FetchRequest

    result = fetch(call.read(FetchRequest), call.effects())
    return _passing(result, bool(result.missing))


def _locate(call: Invocation) -> Outcome:
    from imagebuild.execute.locate import locate
    from imagebuild.execute.requests import FetchRequest

    result = locate(call.read(FetchRequest), call.effects())
    return _passing(result, bool(result.missing))


def _passing(result: Any, passing: bool) -> Outcome:
    return Outcome(result, EXIT_NOT_FOR_LONG if passing else 0)


def _export(call: Invocation) -> Outcome:
    from imagebuild.execute.export import export
    from imagebuild.execute.pure_requests import ExportRequest

    export(call.read(ExportRequest), call.open_store(), ".")
    return Outcome()


def _docker_archive(call: Invocation) -> Outcome:
    from imagebuild.execute.docker_archive import docker_archive
    from imagebuild.execute.pure_requests import DockerArchiveRequest

    docker_archive(call.read(DockerArchiveRequest), ".")
    return Outcome()


def _push(call: Invocation) -> Outcome:
    from imagebuild.execute.push import push
    from imagebuild.execute.requests import PushRequest

    push(call.read(PushRequest), call.effects(), lambda line: print(line, flush=True))
    return Outcome()


def _run(call: Invocation) -> Outcome:
    from imagebuild.execute.requests import RunImageRequest
    from imagebuild.execute.run_image import run_image

    return Outcome(None, run_image(call.read(RunImageRequest), call.arguments, call.effects()))


SUBCOMMANDS: Dict[str, Tuple[Callable[[Invocation], Outcome], str]] = {
    "resolve": (_resolve, "resolve image names to manifests, configs and layers"),
    "fetch-remote": (_fetch_remote, "find out what the URLs and git references of ADD mean now"),
    "lookup": (_lookup, "look all steps of a build up in the store and the cache repository"),
    "prepare": (_prepare, "look one step up by content, and bring what it needs into the store"),
    "step": (_step, "run one step and leave its layer in the store (pure)"),
    "outcome": (_outcome, "give the answer of a step that was set aside"),
    "record": (_record, "file results in the store and push them to the cache repository"),
    "fetch": (_fetch, "bring layers into the store"),
    "locate": (_locate, "find out which layers are neither in the store nor in a registry"),
    "export": (_export, "copy a blob out of the store (pure)"),
    "docker-archive": (_docker_archive, "turn an image layout into a tar for docker load (pure)"),
    "push": (_push, "push an image to registries"),
    "run": (_run, "start an image"),
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run a subcommand; an `ImageBuildError` is printed and becomes its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _main(arguments)
    except ImageBuildError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception:
        import traceback

        traceback.print_exc()
        return EXIT_OUR_BUG


def _main(arguments: List[str]) -> int:
    options = options_of(arguments, {name: text for name, (_, text) in SUBCOMMANDS.items()})
    run, _ = SUBCOMMANDS[options.subcommand]
    outcome = run(Invocation(_read(options.request), options.store, options.arguments))
    if outcome.result is not None:
        _write(options.result, canonical.dumps(outcome.result))
    return outcome.exit_code or (EXIT_NOT_FOR_LONG if options.once else 0)


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f'the request "{path}" cannot be read: {error.strerror}') from None


def _write(path: str, data: bytes) -> None:
    if path == "-":
        sys.stdout.buffer.write(data + b"\n")
        return
    with open(path, "wb") as file:
        file.write(data)
