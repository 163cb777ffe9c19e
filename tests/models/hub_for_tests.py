"""A hub on this machine that speaks as much of the Hugging Face hub's HTTP interface as publishing needs."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

COMMIT = "c" * 40


class Hub:
    """What it holds.

    Attributes:
        files: Repository -> file -> bytes; of a revision that is not the newest under REPOSITORY@REVISION.
        private: Repository -> whether it was made private.
        refuses: Status with which every change is refused; None lets it through.
        spoils: Name of a file that is given out with other bytes than it was given.
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.refuses: int | None = None
        self.spoils: str | None = None
        self.url = ""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """The hub, as long as the block lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _json(self, value: Any, status: int = 200) -> None:
            self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _missing(self, code: str) -> None:
            self._answer(404, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(self.path.split("?")[0])
            if path == "/":
                self._answer(200)
            elif path.startswith("/api/models/"):
                repository = "/".join(path.split("/")[3:5])
                files = hub.files.get(repository)
                if files is None:
                    self._missing("RepoNotFound")
                elif "/tree/" in path:
                    self._json([{"type": "file", "path": n, "size": len(b), "oid": _oid(b)} for n, b in files.items()])
                else:
                    names = [{"rfilename": name} for name in files]
                    self._json({"id": repository, "modelId": repository, "sha": COMMIT, "siblings": names, "tags": []})
            elif "/resolve/" in path:
                repository, _, rest = path[1:].partition("/resolve/")
                revision, _, name = rest.partition("/")
                newest = revision in ("main", COMMIT)
                held = hub.files.get(repository if newest else f"{repository}@{revision}")
                if held is None and repository in hub.files:
                    self._missing("RevisionNotFound")
                    return
                body = (held or {}).get(name)
                if body is None:
                    self._missing("EntryNotFound" if repository in hub.files else "RepoNotFound")
                    return
                body = body[::-1] if name == hub.spoils else body
                self._answer(
                    200,
                    body,
                    {"ETag": f'"{_oid(body)}"', "X-Repo-Commit": COMMIT if newest else _oid(revision.encode())},
                )
            else:
                self._missing("EntryNotFound")

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self._chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self.rfile.read(length)
            if hub.refuses is not None and "validate" not in self.path:
                self._answer(hub.refuses, b'{"error": "no"}')
            elif self.path == "/api/repos/create":
                asked = json.loads(body)
                repository = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
                hub.files.setdefault(repository, {})
                hub.private[repository] = asked.get("private") is True or asked.get("visibility") == "private"
                self._json({"url": f"{hub.url}/{repository}", "name": repository})
            elif self.path == "/api/validate-yaml":
                self._json({"warnings": [], "errors": []})
            elif "/preupload/" in self.path:
                asked = json.loads(body)["files"]
                mode = {"uploadMode": "regular", "shouldIgnore": False}
                self._json({"files": [{"path": one["path"], **mode} for one in asked]})
            elif "/commit/" in self.path:
                repository = "/".join(self.path.split("/")[3:5])
                for line in body.splitlines():
                    part = json.loads(line)
                    if part["key"] == "file":
                        hub.files[repository][part["value"]["path"]] = base64.b64decode(part["value"]["content"])
                url = f"{hub.url}/{repository}/commit/{COMMIT}"
                self._json({"success": True, "commitUrl": url, "commitOid": COMMIT})
            else:
                self._missing("EntryNotFound")

        def _chunks(self) -> bytes:
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole

    return Handler


def _oid(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()
