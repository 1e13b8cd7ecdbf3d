"""The executor, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

from pants.engine.fs import EMPTY_DIGEST, Digest
from pants.engine.process import ProcessCacheScope
from pants.util.frozendict import FrozenDict


@dataclass(frozen=True)
class Executor:
    """The program that runs steps.

    :param digest: a directory of compiled modules: imagebuild and what it needs, and a ``main.py``.
    :param python: the interpreter that `digest` was made for, by its absolute path.
    :param link: a link to it in a named cache, relative to the sandbox; "" for none. Processes are started through it, so
        that where a user keeps interpreters is no part of their keys.
    :param resident: whether it may stay as a server (see imagebuild.serve.server): this is Linux.
    """

    digest: Digest
    python: str
    link: str = ""
    resident: bool = False


@dataclass(frozen=True)
class Daemon:
    """The daemon of Pants that this is; `name` is no other's.

    :param hears: whether what it downloads from this machine comes from this machine, and through no proxy.
    """

    name: str
    hears: bool = True


@dataclass(frozen=True)
class ExecutorCall:
    """One run of a subcommand.

    :param request: the request file's bytes.
    :param pure: False for what reaches registries: it gets the user's environment.
    :param files: the sandbox besides the request.
    :param outputs: files to capture; none for a call that answers on stdout.
    :param salt: part of the command line, so that equal requests are run again.
    :param patient: whether it may go on without a slot of Pants' while it waits (see imagebuild.serve.aside): of its sandbox
        it needs the request alone, and that only when it starts.
    """

    subcommand: str
    request: bytes
    description: str
    pure: bool
    scope: ProcessCacheScope
    files: Digest = EMPTY_DIGEST
    outputs: Tuple[str, ...] = ()
    salt: str = ""
    patient: bool = False


@dataclass(frozen=True)
class SetAside:
    """`call` goes on without a slot.

    :param said: a `GoesOn` in canonical bytes.
    :param milliseconds: that it took until then.
    """

    call: ExecutorCall
    said: bytes
    milliseconds: int = field(compare=False)


@dataclass(frozen=True)
class ExecutorAnswer:
    """:param result: what it answers, b"" where outputs were asked for instead, or the call failed."""

    exit_code: int
    result: bytes
    stderr: str
    output: Digest
    milliseconds: int = field(compare=False, default=0)


@dataclass(frozen=True)
class EffectEnvironment:
    """Environment of calls that are not pure."""

    variables: FrozenDict[str, str]
