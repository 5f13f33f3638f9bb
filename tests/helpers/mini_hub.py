"""The few addresses of the Hugging Face hub that `datasets` reads, served from a folder; and hubs that give no answer."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

REVISION = "0" * 39 + "1"
Answer = tuple[int, bytes, dict[str, str]]
MISSING: Answer = (404, b"", {"X-Error-Code": "EntryNotFound"})


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MiniHub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body, headers = self.server.answer(unquote(urlsplit(self.path).path).strip("/").split("/"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


class MiniHub(http.server.ThreadingHTTPServer):
    """Serves OWNER/NAME of a folder as data sets; `asked` holds what was asked for. status: what its front page answers."""

    daemon_threads = True

    def __init__(self, folder: Path, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.status = folder, status
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> MiniHub:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def answer(self, path: list[str]) -> Answer:
        match path:
            case [""]:
                return self.status, b"", {}
            case ["datasets", owner, name, "resolve", _, *file]:
                return _file(self.folder.joinpath(owner, name, *file))
            case ["api", "datasets", owner, name, "revision", _]:
                return _json({"id": f"{owner}/{name}", "sha": REVISION, "siblings": []})
            case ["api", "datasets", owner, name, "tree", _, *under]:
                return _tree(self.folder / owner / name, self.folder.joinpath(owner, name, *under))
        return MISSING


def _file(path: Path) -> Answer:
    if not path.is_file():
        return MISSING
    content = path.read_bytes()
    return 200, content, {"X-Repo-Commit": REVISION, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}


def _tree(root: Path, folder: Path) -> Answer:
    if not folder.is_dir():
        return MISSING
    entries = []
    for path in sorted(folder.iterdir()):
        kind, content = ("directory", b"") if path.is_dir() else ("file", path.read_bytes())
        name = path.relative_to(root).as_posix()
        entries.append({"type": kind, "oid": hashlib.sha1(content).hexdigest(), "size": len(content), "path": name})
    return _json(entries)


def _json(value: object) -> Answer:
    return 200, json.dumps(value).encode(), {}


@contextmanager
def refusing() -> Iterator[str]:
    """A port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def mute() -> Iterator[str]:
    """A port that takes a connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def hanging() -> Iterator[str]:
    """A port whose queue is full, so that a connection is neither made nor refused, as behind a firewall that drops packets."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
