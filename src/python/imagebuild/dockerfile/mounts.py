"""``RUN --mount``: comma-separated options to mounts (Dockerfile reference, "RUN --mount").

`mount_options` has the table of what a mount may be told; each kind of mount has its lowering here.
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from imagebuild.dockerfile.mount_options import (
    BY_NAME,
    OPTIONS,
    SHARING,
    MountValues,
    check_kinds,
)
from imagebuild.dockerfile.source import did_you_mean
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.ops import BindMount, CacheMount, Mount, SecretMount, SshMount, TmpfsMount
from imagebuild.llb.plan import StepInput, TreeInput
from imagebuild.llb.state import StageState, absolute

_EXPECTED = "--mount=type=KIND,OPTION=VALUE,..."
_SECRETS = "/run/secrets"
_AGENTS = "/run/buildkit/ssh_agent"
_END = "\r\n"
CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"
"""A build argument that sets the caches of one build apart (Dockerfile reference, "BuildKit built-in build args")."""
_VARIABLE = re.compile(r"\$.", re.DOTALL)


@dataclass(frozen=True)
class MountSpec:
    """A mount as it is written.

    :param options: names in lower case with their values, variables still in them; None where there is no equals sign.
    """

    options: Tuple[Tuple[str, Optional[str]], ...]

    def __str__(self) -> str:
        fields = [name if value is None else f"{name}={value}" for name, value in self.options]
        line = io.StringIO()
        csv.writer(line, lineterminator=_END).writerow(fields)
        return line.getvalue()[: -len(_END)]

    @property
    def tree(self) -> str:
        """The stage or image that it reads, as it is named; "" for the context or nothing."""
        values = self._values(str)
        return values.text("from") if values.text("type").lower() not in ("tmpfs", "ssh") else ""

    @property
    def context_path(self) -> str:
        """What it reads of the context, "" for nothing."""
        values = self._values(str)
        is_bind = values.text("type").lower() in ("", "bind")
        return (values.text("source") or ".") if is_bind and not self.tree else ""

    def _values(self, expands: Callable[[str], str]) -> MountValues:
        return MountValues(
            {
                BY_NAME[name].name: "true" if value is None else expands(value)
                for name, value in self.options
            }
        )

    def lower(self, expands: Callable[[str], str], place: MountPlace) -> None:
        """Add the op's mount, and what it reads, to `place`.

        :raises ImageBuildError: for values that are none, and files that are not there.
        """
        values = self._values(expands)
        kind = values.kind
        place.warnings.extend(check_kinds(kind, [name for name, _ in self.options]))
        place.mounts.append(_LOWERINGS[kind](values, place))


class MountPlace:
    """What the mounts of one RUN come to, in the order of the text."""

    def __init__(self, state: StageState) -> None:
        self.state = state
        self.mounts: List[Mount] = []
        self.inputs: List[StepInput] = []
        self.warnings: List[str] = []

    def target(self, text: str) -> str:
        """:raises DockerfileSyntaxError: for the root."""
        target = absolute(text, self.state.cwd)
        if target == "/":
            raise DockerfileSyntaxError(
                "--mount has the root as its target",
                expected="target=PATH, a directory or file below it",
                hint="add target=..., or set WORKDIR to where it belongs",
            )
        return target

    def cache_id(self, name: str) -> str:
        namespace = self.state.build.build_args.get(CACHE_NAMESPACE)
        return f"{namespace}/{name}" if namespace else name

    def read(self, tree: str, source: str) -> int:
        """The number of the input that holds `source` of `tree`, or of the context for ""."""
        context = self.state.build.context
        found = TreeInput(self.state.sources[tree]) if tree else context.at(source)
        if found not in self.inputs:
            self.inputs.append(found)
        return self.inputs.index(found)


def parse_mount(text: str) -> MountSpec:
    """:raises DockerfileSyntaxError: for what is wrong with it before variables have values."""
    options: Dict[str, Optional[str]] = {}
    for field in _fields(text):
        name, equals, value = field.partition("=")
        name = name.lower()
        option = BY_NAME.get(name)
        if option is None:
            raise _unknown(name)
        if not equals and not option.bare:
            raise DockerfileSyntaxError(
                f'"{field}" of --mount has no value', expected=f"{name}=VALUE"
            )
        if name == "from" and _VARIABLE.search(value):
            raise DockerfileSyntaxError(
                f"--mount=from={value}: variables are not replaced here",
                expected="a stage's name or number, or an image",
                hint=f"add a stage `FROM {value} AS NAME`, with an ARG before the first FROM, and use from=NAME",
            )
        options[name] = value if equals else None
    kind = options.get("type", "bind") or ""
    if "$" not in kind:
        check_kinds(MountValues({"type": kind}).kind, tuple(options))
    return MountSpec(tuple(options.items()))


def _fields(text: str) -> Sequence[str]:
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise DockerfileSyntaxError(
            f'"{text}" of --mount is not a list of options ({error})',
            expected=_EXPECTED,
            hint='put an option that holds a comma into double quotes, and write each quote as \\"',
        ) from None
    if not fields:
        raise DockerfileSyntaxError("--mount says nothing", expected=_EXPECTED)
    return fields


def _unknown(name: str) -> DockerfileSyntaxError:
    close = did_you_mean(name, BY_NAME)
    return DockerfileSyntaxError(
        f'"{name}" is not an option of --mount',
        expected=", ".join(option.name for option in OPTIONS),
        hint=f"did you mean {close}?" if close else "remove it",
    )


def _bind(values: MountValues, place: MountPlace) -> Mount:
    source = values.text("source")
    return BindMount(
        place.target(values.text("target")),
        place.read(values.text("from"), source),
        absolute(source, "/"),
        writable=_writable(values, False),
    )


def _cache(values: MountValues, place: MountPlace) -> Mount:
    tree, source = values.text("from"), values.text("source")
    if source and not tree:
        raise DockerfileSyntaxError(
            "a cache has a source, and nothing that it is in",
            expected="source=PATH together with from=STAGE or from=IMAGE",
            hint="add from=..., or remove the source",
        )
    target = values.text("target")
    return CacheMount(
        place.target(target),
        place.cache_id(values.text("id") or posixpath.normpath(target)),
        values.choice("sharing", SHARING),
        not _writable(values, True),
        place.read(tree, source) if tree else None,
        absolute(source, "/"),
        values.mode(0o755),
        values.number("uid"),
        values.number("gid"),
    )


def _tmpfs(values: MountValues, place: MountPlace) -> Mount:
    return TmpfsMount(place.target(values.text("target")), values.size())


def _secret(values: MountValues, place: MountPlace) -> Mount:
    target, env = values.text("target"), values.text("env")
    if values.text("id") and values.text("source"):
        raise DockerfileSyntaxError(
            "a secret has both an id and a source", expected="one of them", hint="keep the id"
        )
    name = values.text("id") or values.text("source") or posixpath.basename(target)
    if not name:
        raise DockerfileSyntaxError(
            "a secret has no id",
            expected="--mount=type=secret,id=NAME",
            hint="name the secret that the target's field `secrets` gives",
        )
    if "env" in values.texts and (not env or "=" in env):
        raise DockerfileSyntaxError(
            f'env of --mount has the value "{env}"', expected="the name of a variable"
        )
    if not target and not env:
        target = f"{_SECRETS}/{posixpath.basename(name)}"
    return SecretMount(
        name,
        place.target(target) if target else "",
        env,
        values.flag("required", False),
        values.mode(0o400),
        values.number("uid"),
        values.number("gid"),
    )


def _ssh(values: MountValues, place: MountPlace) -> Mount:
    number = sum(isinstance(mount, SshMount) for mount in place.mounts)
    return SshMount(
        place.target(values.text("target") or f"{_AGENTS}.{number}"),
        values.text("id") or "default",
        values.flag("required", False),
        values.mode(0o600),
        values.number("uid"),
        values.number("gid"),
    )


def _writable(values: MountValues, default: bool) -> bool:
    """Of `readonly` and `readwrite`, the later one wins."""
    writable = default
    for name in values.texts:
        if name in ("readonly", "readwrite"):
            writable = values.flag(name, True) == (name == "readwrite")
    return writable


_LOWERINGS: Mapping[str, Callable[[MountValues, MountPlace], Mount]] = {
    "bind": _bind,
    "cache": _cache,
    "tmpfs": _tmpfs,
    "secret": _secret,
    "ssh": _ssh,
}
