"""What the instructions of a Dockerfile say about a target's dependencies. Plain functions."""

from __future__ import annotations

from pathlib import PurePath
from typing import Iterable, List, Optional, Set, Tuple

from pants.core.goals.package import OutputPathField
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.engine.addresses import Address
from pants.engine.target import SingleSourceField, Target

from imagebuild.dockerfile.context import Context
from imagebuild.dockerfile.instructions.base import ContextPath
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ImageBuildError
from imagebuild.llb.plan import ContextEntry
from pants_kaniko.plans import DockerfileSource

_EVERYTHING = (".", "./", "/", "*")
"""Sources that name no dependency in particular."""


def copied_paths(source: DockerfileSource) -> Tuple[ContextPath, ...]:
    """What is copied or mounted from the context, as written; what holds variables is left out. None of a file that does not parse,
    for building it says why."""
    try:
        dockerfile = parse(source.text, source.path)
    except ImageBuildError:
        return ()
    instructions = (item for stage in dockerfile.stages for item in stage.instructions)
    found = dict.fromkeys(path for item in instructions for path in item.context_paths())
    return tuple(item for item in found if "$" not in item.path and item.path not in _EVERYTHING)


def packages(
    candidates: Iterable[Target], copied: Tuple[ContextPath, ...], root: str, own: Address
) -> List[Address]:
    """Targets whose package lands where a COPY takes it from. Endings of packages are not known beforehand: those of the
    copied paths are tried."""
    wanted = {_below(root, item.path.replace("/./", "/")) for item in copied}
    endings = {ending for path in wanted for ending in _endings(PurePath(path).name)}
    return [
        target.address
        for target in candidates
        if target.address != own
        and target.has_field(OutputPathField)
        and wanted & _outputs(target, endings)
    ]


def files(
    candidates: Iterable[Target], copied: Tuple[ContextPath, ...], root: str
) -> List[Address]:
    """`file` and `resource` targets that a COPY takes, by path, by pattern, or with their directory."""
    if not copied:
        return []
    owners = dict(_file_owners(candidates, root))
    context = Context([ContextEntry(path, "file") for path in owners])
    selected: Set[str] = set()
    for path, parents in copied:
        try:
            found = context.matches_with_parents(path) if parents else context.matches(path)
            selected.update(context.select(found).paths)
        except ImageBuildError:  # building says why
            continue
    return [owners[path] for path in sorted(selected)]


def _file_owners(candidates: Iterable[Target], root: str) -> Iterable[Tuple[str, Address]]:
    prefix = f"{root}/" if root else ""
    for target in candidates:
        for cls in (FileSourceField, ResourceSourceField):
            field = target.get(cls) if target.has_field(cls) else None
            if isinstance(field, SingleSourceField) and field.value:
                path = field.file_path
                if path.startswith(prefix):
                    yield path[len(prefix) :], target.address


def _endings(name: str) -> List[Optional[str]]:
    """Where the name of a target ends is not to be seen: ``a.tar.gz`` may end in ``tar.gz`` or in ``gz``."""
    parts = name.split(".")
    return [None, *(".".join(parts[at:]) for at in range(1, len(parts)) if parts[at])]


def _outputs(target: Target, endings: Iterable[Optional[str]]) -> Set[str]:
    field = target.get(OutputPathField)
    return {field.value_or_default(file_ending=ending) for ending in endings}


def _below(root: str, path: str) -> str:
    path = path.lstrip("/")
    while path.startswith("./"):
        path = path[2:]
    return f"{root}/{path}" if root else path
