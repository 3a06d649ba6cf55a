"""A model hub on loopback that answers like the Hugging Face Hub, for the real client library.

with ModelHub({"org/model": Repository({"config.json": b"{}", "model.safetensors": Large(b"...")})}) as hub:
    run(env={"HF_ENDPOINT": hub.url})

Facts that it follows: the listing is /api/models/<repo>[/revision/<rev>]?blobs=true; large files redirect to a content
server and have X-Linked-Size and X-Linked-ETag (their SHA-256), the others have the Git object ID as ETag; errors have
X-Error-Code and X-Error-Message; a repository that the client may not see is RepoNotFound, with 401 for clients without
a valid token; a gated repository is listed, and its files are GatedRepo; a renamed one redirects with 307.
"""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMIT", "Fault", "Large", "ModelHub", "Repository"]

COMMIT = "0" * 39 + "1"
OLDER = "0" * 39 + "2"


class Large(bytes):
    """The content of a file that the hub keeps on its content server."""


@dataclass
class Repository:
    """A repository.

    Attributes:
        files: the content of the branch ``main``, by name.
        revisions: the content of further branches, tags and pull requests.
        token: what clients need to see a private repository.
        gate: the token that may read the files of a gated repository.
        hashes: whether the listing has hashes.
        sizes: sizes in the listing that differ from the real ones.
        moved_to: the new name of a renamed repository.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    revisions: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    token: str = ""
    gate: str = ""
    hashes: bool = True
    sizes: Mapping[str, int] = field(default_factory=dict)
    moved_to: str = ""

    def at(self, revision: str) -> tuple[str, Mapping[str, bytes]] | None:
        """The commit and the files of a revision."""
        if revision in ("main", COMMIT):
            return COMMIT, self.files
        if revision == OLDER or revision in self.revisions:
            return OLDER, self.revisions.get(revision) or next(iter(self.revisions.values()))
        return None


@dataclass
class Fault:
    """What the hub answers instead, to the next ``times`` requests of one kind.

    Attributes:
        where: the listing, the metadata of a file (HEAD), or its content.
        status: of the answer. None sends the content and cuts it after ``cut`` bytes, or alters it.
        times: how many requests; -1 for all.
        headers: of the answer.
        body: of the answer.
        cut: the bytes that are sent before the connection ends.
        alter: whether the content is altered, with the same size.
    """

    where: Literal["list", "head", "content"]
    status: int | None = None
    times: int = -1
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    alter: bool = False


class ModelHub:
    """The hub; ``requests`` records the method, path and Range of each request."""

    def __init__(self, repositories: Mapping[str, Repository]) -> None:
        self.repositories = dict(repositories)
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, str]] = []
        self._lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        # Clients treat redirects to another host differently, so the content has a server of its own.
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        self.url, self.content_url = (f"http://127.0.0.1:{item.server_port}" for item in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fault(self, where: str) -> Fault | None:
        """The fault of the next request of this kind."""
        with self._lock:
            for fault in self.faults:
                if fault.where == where and fault.times != 0:
                    fault.times -= 1
                    return fault
        return None

    def of(self, kind: str) -> list[tuple[str, str, str]]:
        """The requests so far of one kind: their path contains this."""
        return [item for item in self.requests if kind in item[1]]


class _Handler(BaseHTTPRequestHandler):
    server_hub: ModelHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub, path = self.server_hub, urllib.parse.unquote(self.path.partition("?")[0])
        hub.requests.append((self.command, path, self.headers.get("Range") or ""))
        if path.startswith("/api/models/"):
            self._list(path.removeprefix("/api/models/"))
        elif path.startswith("/content/"):
            name, _, digest = path.removeprefix("/content/").rpartition("/")
            self._content(self._large(name, digest), digest)
        elif "/resolve/" in path:
            self._resolve(path[1:])
        else:
            self._answer(404)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass

    # ---- requests

    def _list(self, path: str) -> None:
        hub = self.server_hub
        if (fault := hub.fault("list")) is not None:
            return self._answer(fault.status or 500, fault.headers, fault.body)
        name, _, revision = path.partition("/revision/")
        repository = hub.repositories.get(name)
        if repository is not None and repository.moved_to:
            rest = f"/revision/{revision}" if revision else ""
            query = self.path.partition("?")[2]
            return self._answer(307, {"Location": f"/api/models/{repository.moved_to}{rest}?{query}"})
        if repository is None or not self._may_see(repository):
            return self._hidden()
        found = repository.at(revision or "main")
        if found is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        commit, files = found
        siblings = [self._sibling(repository, name, content) for name, content in files.items()]
        body = {
            "_id": "1",
            "id": name,
            "modelId": name,
            "private": False,
            "sha": commit,
            "siblings": siblings,
        }
        return self._answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _sibling(self, repository: Repository, name: str, content: bytes) -> dict[str, Any]:
        size = repository.sizes.get(name, len(content))
        entry: dict[str, Any] = {"rfilename": name, "size": size}
        if repository.hashes:
            entry["blobId"] = _git(content)
            if isinstance(content, Large):
                entry["lfs"] = {"sha256": _sha256(content), "size": size, "pointerSize": 134}
        return entry

    def _resolve(self, path: str) -> None:  # noqa: PLR0911 - one return for each answer
        hub = self.server_hub
        fault = hub.fault("head") if self.command == "HEAD" else None
        if fault is not None:
            return self._answer(fault.status or 500, fault.headers, fault.body)
        name, _, rest = path.partition("/resolve/")
        repository = hub.repositories.get(name)
        if repository is not None and repository.moved_to:
            return self._answer(307, {"Location": f"/{repository.moved_to}/resolve/{rest}"})
        if repository is None or not self._may_see(repository):
            return self._hidden()
        if repository.gate and self._token() != repository.gate:
            text = f"Access to model {name} is restricted and you are not in the authorized list."
            return self._error(403 if self._token() else 401, "GatedRepo", text)
        revision = next((item for item in (COMMIT, OLDER) if rest.startswith(item)), "")
        found = repository.at(revision)
        file = rest[len(revision) + 1 :]
        if found is None or file not in found[1]:
            return self._error(404, "EntryNotFound", "Entry not found")
        commit, content = found[0], found[1][file]
        if not isinstance(content, Large):
            return self._content(content, _git(content), {"X-Repo-Commit": commit})
        headers = {
            "Location": f"{hub.content_url}/content/{name}/{_sha256(content)}",
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(len(content)),
            "X-Linked-ETag": f'"{_sha256(content)}"',
        }
        return self._answer(302, headers)

    def _large(self, name: str, digest: str) -> bytes | None:
        repository = self.server_hub.repositories[name]
        for files in (repository.files, *repository.revisions.values()):
            for content in files.values():
                if _sha256(content) == digest:
                    return content
        return None

    def _content(self, content: bytes | None, tag: str, headers: Mapping[str, str] | None = None) -> None:
        if content is None:
            return self._answer(404)
        fault = self.server_hub.fault("content") if self.command == "GET" else None
        if fault is not None and fault.status is not None:
            return self._answer(fault.status, fault.headers, fault.body)
        if fault is not None and fault.alter:
            content = bytes(byte ^ 1 for byte in content)
        given = {**(headers or {}), "ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
        asked, status, start = self.headers.get("Range") or "", 200, 0
        if asked.startswith("bytes="):
            start, end = int(asked[6:].partition("-")[0]), len(content)
            given["Content-Range"] = f"bytes {start}-{end - 1}/{end}"
            status = 206
            if start >= end:
                return self._answer(416, {"Content-Range": f"bytes */{end}"})
        cut = fault.cut if fault is not None else None
        return self._answer(status, given, content[start:], cut=cut)

    # ---- answers

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _may_see(self, repository: Repository) -> bool:
        return not repository.token or self._token() == repository.token

    def _hidden(self) -> None:
        if self._token():
            return self._error(404, "RepoNotFound", "Repository not found")
        return self._error(401, "RepoNotFound", "Invalid username or password.")

    def _error(self, status: int, code: str, text: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": text}
        self._answer(status, headers, json.dumps({"error": text}).encode())

    def _answer(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"X-Request-Id": "Root=1-test", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
