"""What a case's Dockerfile may fetch: ``http://files/NAME`` and ``http://git/repo.git``.

``served/NAME`` of a case's context is what ``http://files/NAME`` answers; what is below ``repo/`` is the repository's one
commit, on the branch main, with the tag v1. Neither is part of the context then.
"""

from __future__ import annotations

import contextlib
import http.server
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from support.git_server import GitServer, Repository, git_server

FILES, GIT = "http://files/", "http://git/"
SERVED, REPOSITORY = "served", "repo"

_MODIFIED = "Wed, 01 Jan 2020 00:00:00 GMT"


@dataclass(frozen=True)
class Remotes:
    """Two servers that run now."""

    directory: Path
    files: str
    git: GitServer

    def take(self, context: Path) -> None:
        """Move what a case wants served out of its context."""
        served, repository = self.directory / SERVED, self.directory / REPOSITORY
        for place in (served, repository):
            shutil.rmtree(place, ignore_errors=True)
        if (context / SERVED).is_dir():
            (context / SERVED).rename(served)
        if (context / REPOSITORY).is_dir():
            made = Repository.make(repository)
            for path in (context / REPOSITORY).iterdir():
                path.rename(repository / path.name)
            shutil.rmtree(context / REPOSITORY)
            made.commit({})
            made.git("tag", "v1")
            self.git.publish(made, "repo.git")

    def named(self, dockerfile: str) -> str:
        """The Dockerfile with the servers' real addresses."""
        return dockerfile.replace(FILES, f"http://{self.files}/").replace(GIT, self.git.url(""))


@contextlib.contextmanager
def remotes(directory: Path) -> Iterator[Remotes]:
    """Both servers, until the block ends."""
    directory.mkdir(parents=True)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(directory / SERVED))

        def log_message(self, *_: Any) -> None:
            pass

        def date_time_string(self, timestamp: Any = None) -> str:
            return _MODIFIED

        def send_head(self) -> Any:
            redirected = self.path.partition("/redirect/")[2]
            if not redirected:
                return super().send_head()
            self.send_response(302)
            self.send_header("Location", f"/{redirected}?after=redirect")
            self.end_headers()
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with git_server(directory / "git") as git:
            yield Remotes(directory, f"127.0.0.1:{server.server_address[1]}", git)
        server.shutdown()
