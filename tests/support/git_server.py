"""Git repositories over HTTP: git's own server behind a small one, or plain files, and what was asked of it."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Union

Content = Union[str, bytes]


@dataclass
class Repository:
    """A repository with a work tree, at `path`."""

    path: Path

    @staticmethod
    def make(path: Path) -> Repository:
        path.mkdir(parents=True)
        repository = Repository(path)
        repository.git("init", "-q", "-b", "main")
        return repository

    def git(self, *arguments: str, **environ: str) -> str:
        """Run git there, as nobody in particular at a fixed time."""
        identity = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "t"), ("EMAIL", "t@t"), ("DATE", "2020-01-01T00:00:00Z"))
        }
        alone = {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": "/nonexistent",
        }
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.path,
            env={"PATH": os.environ["PATH"], **identity, **alone, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = done.stdout.decode()
        assert done.returncode == 0, f"git {' '.join(arguments)}: {text}"
        return text.strip()

    def commit(self, files: Mapping[str, Optional[Content]], message: str = "more") -> str:
        """Write (None: remove) files and commit them; "NAME*" is executable, "->TARGET" a link."""
        for name, content in files.items():
            path = self.path / name.rstrip("*")
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            elif isinstance(content, str) and content.startswith("->"):
                path.symlink_to(content[2:])
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
                path.chmod(0o755 if name.endswith("*") else 0o644)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@dataclass
class GitServer:
    """:param seen: "METHOD PATH" of every request.
    :param old: speak protocol version 0 only, in which a client gets what refs name and nothing else.
    """

    root: Path
    address: str
    seen: List[str] = field(default_factory=list)
    dumb: bool = False
    old: bool = False
    options: Dict[str, str] = field(default_factory=dict)

    def url(self, name: str) -> str:
        return f"http://{self.address}/{name}"

    def publish(self, repository: Repository, name: str) -> str:
        """Put a copy of the repository there, under a name that ends in .git; its URL."""
        bare = self.root / name
        shutil.rmtree(bare, ignore_errors=True)
        repository.git("clone", "-q", "--mirror", str(repository.path), str(bare))
        for key, value in {"http.receivepack": "false", **self.options}.items():
            repository.git("--git-dir", str(bare), "config", key, value)
        repository.git("--git-dir", str(bare), "update-server-info")
        return self.url(name)


@contextlib.contextmanager
def git_server(root: Path, *, dumb: bool = False) -> Iterator[GitServer]:
    """Serve what is published in `root` until the block ends.

    :param dumb: as plain files, as any web server would.
    """
    root.mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    described = GitServer(root, f"127.0.0.1:{server.server_address[1]}", dumb=dumb)
    server.git = described  # type: ignore[attr-defined]
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield described
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def answer_any(self) -> None:
        server: GitServer = self.server.git  # type: ignore[attr-defined]
        server.seen.append(f"{self.command} {self.path}")
        path, _, query = self.path.partition("?")
        if server.dumb:
            self._file(server.root / path.lstrip("/"))
            return
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding") or "",
            "GIT_PROTOCOL": "" if server.old else self.headers.get("git-protocol") or "",
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "http-backend"],
            input=body,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    def _file(self, path: Path) -> None:
        if path.is_file():
            self._answer(200, {"Content-Type": "application/octet-stream"}, path.read_bytes())
        else:
            self._answer(404, {}, b"")

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


for _method in ("GET", "POST"):
    setattr(_Handler, f"do_{_method}", _Handler.answer_any)
