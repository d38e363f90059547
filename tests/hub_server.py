"""A Hugging Face Hub on the loopback interface: one repo with several commits, and faults on request."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HubServer:
    """Serves `commits` (commit -> file -> contents) of `repo`, with "main" at `head`.

    `spoiled` counts down for each file how often it is sent with other contents of the same size; `status` answers
    every request with an error; `requests` holds what was asked for, as "METHOD /path".
    """

    def __init__(self, repo: str, commits: dict[str, dict[str, bytes]], head: str) -> None:
        self.repo, self.commits, self.head = repo, commits, head
        self.spoiled: dict[str, int] = {}
        self.status = 0
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0]
        self.requests.append(f"{request.command} {path}")
        if self.status:
            return _send(request, self.status, b"out of order")
        info, files = f"/api/models/{self.repo}", f"/{self.repo}/resolve/"
        if path == info or path.startswith(f"{info}/revision/"):
            commit = self._commit(path.rpartition("/revision/")[2]) if path != info else self.head
            if commit is None:
                return _send(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
            siblings = [{"rfilename": name} for name in self.commits[commit]]
            body = json.dumps({"id": self.repo, "sha": commit, "siblings": siblings}).encode()
            return _send(request, 200, body, {"Content-Type": "application/json"})
        if not path.startswith(files):
            return _send(request, 404, b"", {"X-Error-Code": "RepoNotFound"})
        revision, _, name = path.removeprefix(files).partition("/")
        commit = self._commit(revision)
        if commit is None or name not in self.commits[commit]:
            return _send(request, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit or ""})
        data = self.commits[commit][name]
        etag = hashlib.sha256(data).hexdigest()
        if request.command == "GET" and self.spoiled.get(name, 0):
            self.spoiled[name] -= 1
            data = bytes(255 - byte for byte in data)
        return _send(request, 200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

    def _commit(self, revision: str) -> str | None:
        return self.head if revision == "main" else revision if revision in self.commits else None


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
