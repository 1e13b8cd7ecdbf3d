"""The wheels of a lockfile that are for the Python that runs this: those that Pex would take."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Tuple

from pants.backend.python.util_rules.pex_requirements import strip_comments_from_pex_json_lockfile


def links(lockfile: bytes) -> Tuple[str, ...]:
    """Where the wheels of all that is locked are, best first by their tags (PEP 425), each with its hash as pip writes it,
    ``https://.../x.whl#sha256=...``; none if one of them has no wheel for this Python.

    :param lockfile: of Pex, as Pants writes it, in the universal style: it locks one version of everything.
    """
    from packaging.tags import sys_tags  # no library is loaded into Pants but where it is used

    document = json.loads(strip_comments_from_pex_json_lockfile(lockfile))
    (resolve,) = document["locked_resolves"]
    ranks = {str(tag): rank for rank, tag in enumerate(sys_tags())}
    best = [_best(locked["artifacts"], ranks) for locked in resolve["locked_requirements"]]
    return tuple(best) if all(best) else ()


def _best(artifacts: List[Dict[str, Any]], ranks: Dict[str, int]) -> str:
    from packaging.utils import parse_wheel_filename

    fitting = [
        (ranks[str(tag)], f"{artifact['url']}#{artifact['algorithm']}={artifact['hash']}")
        for artifact in artifacts
        if artifact["url"].endswith(".whl")
        for tag in parse_wheel_filename(artifact["url"].rpartition("/")[2])[3]
        if str(tag) in ranks
    ]
    return min(fitting, default=(0, ""))[1]
