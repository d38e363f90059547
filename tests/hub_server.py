"""A Hugging Face Hub on the loopback interface: repos with several commits, uploads, and faults on request."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Faults:
    """What goes wrong, and how often yet; -1 is for good.

    Attributes:
        spoiled: by file, sent with other contents of the same size.
        cut: by file, the bytes after which the connection is dropped; one is taken off the list at every try.
        status, after, busy: answers that are an error, their Retry-After, and how many.
        hang: seconds that a request waits before it is answered.
        ranges: whether a part of a file can be asked for.
        drip: seconds between the pieces of a file.
        moved: files lie at another address, to which the first one leads.
    """

    spoiled: dict[str, int] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    status: int = 503
    after: str = ""
    busy: int = 0
    hang: float = 0.0
    ranges: bool = True
    drip: float = 0.0
    moved: bool = False


class HubServer:
    """Serves `commits` (commit -> file -> contents) of `repo`, with "main" at `head`.

    `requests` holds what was asked for, as "METHOD /path"; `private` whether the repo was made so; uploads go to
    `commits` under names of their own, pull requests beside "main".
    """

    def __init__(self, repo: str, commits: dict[str, dict[str, bytes]], head: str) -> None:
        self.repo, self.commits, self.head = repo, commits, head
        self.faults = Faults()
        self.private = False
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.ranges: list[tuple[str, int, int]] = []  # file, first byte, and the one behind the last
        self.large: dict[str, bytes] = {}
        self.requested: list[str] = []  # commits that are pull requests
        self.before_commit: Any = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            do_HEAD = do_GET

            def do_POST(self) -> None:
                outer._receive(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

            do_PUT = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- reading

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0]
        self.requests.append(f"{request.command} {path}")
        faults = self.faults
        time.sleep(faults.hang)
        if faults.busy:
            faults.busy -= 1
            return _send(request, faults.status, b"", {"Retry-After": faults.after} if faults.after else None)
        info, files = f"/api/models/{self.repo}", f"/{self.repo}/resolve/"
        if path.startswith(f"{info}/tree/") and self.commits:
            return _send_json(request, self._tree(self._commit(path.rpartition("/tree/")[2]) or ""))
        if (path == info or path.startswith(f"{info}/revision/")) and self.commits:
            commit = self._commit(path.rpartition("/revision/")[2]) if path != info else self.head
            if commit is None:
                return _send(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
            siblings = [{"rfilename": name} for name in self.commits[commit]]
            return _send_json(request, {"id": self.repo, "sha": commit, "private": self.private, "siblings": siblings})
        if not path.startswith(files):
            return _send(request, 404, b"", {"X-Error-Code": "RepoNotFound"})
        revision, _, name = path.removeprefix(files).partition("/")
        commit = self._commit(revision)
        if commit is None:
            return _send(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        if name not in self.commits[commit]:
            return _send(request, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        self._file(request, name, commit)

    def _file(self, request: BaseHTTPRequestHandler, name: str, commit: str) -> None:
        data, faults = self.commits[commit][name], self.faults
        digest = hashlib.sha256(data).hexdigest() if _is_large(name) else _blob(data)
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": commit}
        if request.command == "GET" and faults.spoiled.get(name, 0):
            faults.spoiled[name] -= 1
            data = bytes(255 - byte for byte in data)
        status, begin, end = 200, 0, len(data)
        if faults.ranges and (asked := request.headers.get("Range", "")):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(end, int(last) + 1) if last else end
            if begin >= len(data):
                return _send(request, 416, b"")
            status = 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
            self.ranges.append((name, begin, end))
        if faults.moved and request.command == "GET" and "moved" not in request.path:
            address = f"{request.path}?moved=1"
            return _send(request, 302, b"", {**headers, "Location": address})
        if request.command == "GET" and faults.cut.get(name):
            return self._cut(request, status, data[begin:end], faults.cut[name].pop(0) - begin, headers)
        if request.command == "GET" and faults.drip:
            return self._cut(request, status, data[begin:end], end - begin, headers)
        _send(request, status, data[begin:end], headers)

    def _cut(
        self, request: BaseHTTPRequestHandler, status: int, data: bytes, most: int, headers: dict[str, str]
    ) -> None:
        """Promise all, send so many bytes, and hang up."""
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            request.send_header(name, value)
        request.end_headers()
        for at in range(0, max(0, most), 1 << 14):
            try:
                request.wfile.write(data[at : min(at + (1 << 14), most)])
                request.wfile.flush()
            except OSError:
                break
            time.sleep(self.faults.drip)
        request.close_connection = True

    def _tree(self, commit: str) -> list[dict[str, Any]]:
        tree = []
        for name, data in self.commits[commit].items():
            one: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": _blob(data)}
            if _is_large(name):
                one["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            tree.append(one)
        return tree

    def _commit(self, revision: str) -> str | None:
        return self.head if revision == "main" else revision if revision in self.commits else None

    # -- writing

    def _receive(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path, _, query = request.path.partition("?")
        self.requests.append(f"{request.command} {path}")
        if path == "/api/repos/create":
            told = json.loads(body)
            self.private = told.get("visibility") == "private" or bool(told.get("private"))
            self.commits, self.head = {"0" * 40: {}}, "0" * 40
            return _send_json(request, {"url": f"{self.url}/{self.repo}"})
        if path == "/api/validate-yaml":
            return _send_json(request, {"errors": [], "warnings": []})
        if path.startswith(f"/api/models/{self.repo}/preupload/"):
            files = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if _is_large(one["path"]) else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            return _send_json(request, {"files": files})
        if path == f"/{self.repo}.git/info/lfs/objects/batch":
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.url}/large/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return _send_json(request, {"transfer": "basic", "objects": objects})
        if path.startswith("/large/"):
            self.large[path.removeprefix("/large/")] = body
            return _send(request, 200, b"")
        if path.startswith(f"/api/models/{self.repo}/commit/"):
            return self._commit_files(request, body, "create_pr=1" in query)
        _send(request, 404, b"")

    def _commit_files(self, request: BaseHTTPRequestHandler, body: bytes, proposed: bool) -> None:
        if self.before_commit:
            self.before_commit()
        lines = [json.loads(line) for line in body.splitlines()]
        head = lines[0]["value"]
        if head.get("parentCommit", self.head) != self.head:
            return _send(request, 412, b'{"error": "A commit has happened since. Please refresh and try again."}')
        files = dict(self.commits[self.head])
        for line in lines[1:]:
            told = line["value"]
            data = self.large[told["oid"]] if line["key"] == "lfsFile" else base64.b64decode(told["content"])
            files[told["path"]] = data
        commit = hashlib.sha1(body + str(len(self.commits)).encode()).hexdigest()
        self.commits[commit] = files
        self.messages.append(head["summary"])
        answer = {"commitUrl": f"{self.url}/{self.repo}/commit/{commit}", "commitOid": commit}
        if proposed:
            self.requested.append(commit)
            answer["pullRequestUrl"] = f"{self.url}/{self.repo}/discussions/{len(self.requested)}"
        else:
            self.head = commit
        _send_json(request, answer)


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub take `url` for the Hub, in this process."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


def _is_large(name: str) -> bool:
    return name.endswith((".gguf", ".npz", ".bin"))


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _send_json(request: BaseHTTPRequestHandler, told: object) -> None:
    _send(request, 200, json.dumps(told).encode(), {"Content-Type": "application/json"})


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
