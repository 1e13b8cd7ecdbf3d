"""What buildah does that is no matter of the Dockerfile: put right here, in one place, before anything is compared.

Each rule says what it is for. Nothing else of an image is changed, ours never.
"""

from __future__ import annotations

from typing import Any, Dict

from conformance.harness.flatten import Flat

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
EMPTY = (None, "", [], {}, False)


def normal(image: Flat, base: Flat, ours: Flat) -> Flat:
    """buildah's image, as it would be without buildah's own ways.

    :param ours: a mount point that our build has as well is there for a reason.
    """
    tree = {
        path: line
        for path, line in image.tree.items()
        if not (_is_stub(path, line) and path not in base.tree and path not in ours.tree)
    }
    return Flat(tree, _with_env_in_order(image.config, ours.config), image.platform)


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
