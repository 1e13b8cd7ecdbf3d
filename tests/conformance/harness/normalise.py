"""What buildah does that is no matter of the Dockerfile: put right here, in one place, before anything is compared.

Each rule says what it is for. Nothing else of an image is changed, ours never.
"""

from __future__ import annotations

from typing import Any, Dict, Set, Tuple

from conformance.harness.cases import Case
from conformance.harness.flatten import Flat, shown

# A RUN of buildah leaves the places behind that it mounted something on, if the base did not have them.
MOUNT_POINTS = {
    "/dev": "dir ",
    "/proc": "dir ",
    "/sys": "dir ",
    "/etc": "dir ",
    "/run": "dir ",
    "/run/.containerenv": "file ",
    "/run/secrets": "dir ",
    "/etc/hosts": "file ",
    "/etc/resolv.conf": "file ",
    "/etc/hostname": "file ",
}

# Members of a docker config that say nothing when they are empty.
EMPTY: Tuple[Any, ...] = (None, "", [], {}, False)


def normal(case: Case, image: Flat, ours: Flat) -> Flat:
    """buildah's image, as it would be without buildah's own ways.

    :param ours: what our build has as well is there for a reason, and stays.
    """
    left_behind = {path for path, line in image.tree.items() if _is_stub(path, line)}
    left_behind |= _volume_directories(image)
    if "--mount=" in case.text:
        left_behind |= _empty_directories(image)
    tree = {
        path: line
        for path, line in image.tree.items()
        if path in ours.tree or path not in left_behind
    }
    return Flat(tree, _with_env_in_order(image.config, ours.config), image.platform)


def _volume_directories(image: Flat) -> Set[str]:
    """buildah makes the directories of some of the volumes; for BuildKit a volume is config alone."""
    made: Set[str] = set()
    for volume in image.config.get("Volumes") or {}:
        parts = volume.strip("/").split("/")
        made |= {shown("/".join(parts[: end + 1]).encode()) for end in range(len(parts))}
    return {path for path in made if image.tree.get(path) == "dir 0755 0:0"}


def _empty_directories(image: Flat) -> Set[str]:
    """buildah leaves the targets of a RUN's mounts behind, with the directories above; BuildKit removes what it made."""
    files = [path for path, line in image.tree.items() if not line.startswith("dir ")]
    return {
        path
        for path, line in image.tree.items()
        if line == "dir 0755 0:0" and not any(file.startswith(path + "/") for file in files)
    }


def _with_env_in_order(judge: Dict[str, Any], ours: Dict[str, Any]) -> Dict[str, Any]:
    """buildah moves PATH about in the list. The order means nothing; a written case holds ours to the reference."""
    theirs, env = judge.get("Env") or [], ours.get("Env") or []
    return {**judge, "Env": env} if sorted(theirs) == sorted(env) else judge


def _is_stub(path: str, line: str) -> bool:
    """An empty directory or file at a place that buildah mounts on."""
    if path not in MOUNT_POINTS or not line.startswith(MOUNT_POINTS[path]):
        return False
    return line.startswith("dir ") or '""' in line


def config(image: Flat) -> Dict[str, Any]:
    """The members that the Dockerfile decides on, in one spelling; of both builders' images."""
    found = {}
    for member in MEMBERS:
        value = image.config.get(member)
        if value not in EMPTY:
            found[member] = value
    return found


MEMBERS = (
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
)
