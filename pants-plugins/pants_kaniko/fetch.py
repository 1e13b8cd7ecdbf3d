"""Runs under the executor's interpreter: ``fetch.py DIRECTORY URL#sha256=HASH ...`` downloads files, all at once.

Pex does that as well, but looks for a pip, starts it for each file and once more to install it: 5 s and more where nothing
is cached. These are wheels of a lockfile, which are only to be unpacked.
"""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Tuple

SILENT = 5.0
"""Seconds that a server may say nothing, before it is left to Pex."""
LARGEST = 64 << 20
"""Bytes of a file."""


def fetch(link: str) -> Tuple[str, bytes]:
    """The name and content of a file.

    :raises OSError: when it cannot be had, or is another than its hash says.
    """
    url, _, sha256 = link.partition("#sha256=")
    if not url.startswith("https://"):
        raise OSError(f"{url} is not https")
    try:
        with urllib.request.urlopen(url, timeout=SILENT) as response:  # noqa: S310 - see above
            content: bytes = response.read(LARGEST)
    except (HTTPException, OSError) as error:
        raise OSError(f"{url}: {error}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise OSError(f"{url} is not what the lockfile says")
    return url.rpartition("/")[2], content


def main(directory: str, *links: str) -> None:
    os.mkdir(directory)
    with ThreadPoolExecutor(len(links)) as pool:
        for name, content in pool.map(fetch, links):
            with open(os.path.join(directory, name), "wb") as file:
                file.write(content)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(str(error))
