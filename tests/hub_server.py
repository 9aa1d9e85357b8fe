"""A small Hugging Face Hub on this machine: model repositories and Jobs, as far as the real client asks for them.

A test in this process takes the fixture `hub`; another process gets `hub.environment()`, which is `HF_ENDPOINT` and
what belongs to it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN, READER = "hf_writes", "hf_reads"  # of the user `me`; the second may not write


@dataclass
class Repo:
    """One repository: files by commit, commits by branch; `messages` tells the commits in their order."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, changes: dict[str, bytes | None], message: str) -> str:
        files = dict(self.commits.get(self.branches.get(branch, ""), {}))
        for path, content in changes.items():
            if content is None:
                files.pop(path, None)
            else:
                files[path] = content
        self.messages.append(message)
        sha = hashlib.sha1(f"{len(self.commits)} {message}".encode()).hexdigest()
        self.commits[sha], self.branches[branch] = files, sha
        return sha

    def files(self, revision: str = "main") -> dict[str, bytes] | None:
        return self.commits.get(self.branches.get(revision, revision))


class HubServer:
    """The server and everything on it.

    Attributes:
        repos: by id.
        jobs: by id, as the Jobs API tells them; `spec` is what was asked, `console` the lines of its log.
        asked: method, path and Authorization of every request, in order.
        faults: (part of "METHOD /path", status, message): whatever fits fails; status 0 never answers.
        sizes: a file's size as the API tells it, where it is not the true one.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.faults: list[tuple[str, int, str]] = []
        self.sizes: dict[str, int | None] = {}
        self.on_job: Callable[[str, dict[str, Any]], None] = lambda identity, spec: None
        self.stored: dict[str, bytes] = {}
        self.lock = threading.RLock()
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self, home: Path, token: str | None = TOKEN) -> dict[str, str]:
        """For a process that shall take this server for the Hub, with `home` for what it keeps."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        kept |= {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "no_proxy": "*"}
        return kept | ({"HF_TOKEN": token} if token else {})

    def add(self, repo_id: str, files: dict[str, bytes], *, private: bool = False, branch: str = "main") -> str:
        """Puts a repository there, or a commit into it; returns the commit."""
        with self.lock:
            repo = self.repos.setdefault(repo_id, Repo(private))
            return repo.commit(branch, dict(files), "by hand")

    def add_folder(self, repo_id: str, folder: Path, **options: Any) -> str:
        return self.add(repo_id, {path.name: path.read_bytes() for path in folder.iterdir()}, **options)

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        return dict(self.repos[repo_id].files(revision) or {})

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        hub, parts = self.hub, urlsplit(self.path)
        path, self.query = unquote(parts.path), parse_qs(parts.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        authorization = self.headers.get("Authorization", "")
        self.token = authorization.removeprefix("Bearer ")
        hub.asked.append((self.command, path, authorization))
        for part, status, message in hub.faults:
            if part in f"{self.command} {path}":
                if not status:
                    hub.closing.wait(30)
                    return
                return self._json({"error": message}, status, {"X-Error-Message": message})
        if authorization and self.token not in (TOKEN, READER):
            message = "Invalid credentials in Authorization header"
            return self._json({"error": message}, 401, {"X-Error-Message": message})
        words = path.strip("/").split("/")
        with hub.lock:
            if words[0] == "lfs":
                return self._large_file(words[1])
            if words[:2] == ["api", "jobs"]:
                return self._job(words[2], words[3:])
            if words[:1] == ["api"]:
                return self._api(words[1:])
            if words[2:] == ["info", "lfs", "objects", "batch"]:
                return self._batch()
            if words[2:3] == ["resolve"]:
                return self._file("/".join(words[:2]), words[3], "/".join(words[4:]))
        self._json({"error": "nothing here"}, 404)

    def _send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | (headers or {}))

    def _refuse(self, status: int, message: str, code: str = "") -> None:
        self._json({"error": message}, status, {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}))

    def _writes(self, owner: str) -> bool:
        if self.token == TOKEN and owner == "me":
            return True
        if self.token:
            self._refuse(403, f"You don't have the rights to write to the namespace {owner}")
        else:
            self._refuse(401, "Invalid username or password.")
        return False

    def _api(self, words: list[str]) -> None:
        if words == ["whoami-v2"]:
            if not self.token:
                return self._refuse(401, "Invalid username or password.")
            return self._json({"name": "me", "type": "user", "id": "1"})
        if words == ["validate-yaml"]:
            return self._json({"errors": [], "warnings": []})
        if words == ["repos", "create"]:
            return self._create(json.loads(self.body))
        if words[0] != "models" or len(words) < 3:  # what the client's own command line asks beside
            return self._refuse(404, "nothing here")
        _, owner, name, *rest = words
        repo = self.hub.repos.get(f"{owner}/{name}")
        if repo is None or (repo.private and not self.token):
            return self._refuse(404 if self.token else 401, "Repository not found", "RepoNotFound")
        if not rest or rest[0] == "revision":
            return self._info(f"{owner}/{name}", repo, rest[1] if rest else "main")
        if not self._writes(owner):
            return None
        if rest[0] == "branch":
            repo.branches.setdefault(rest[1], repo.branches.get("main", ""))
            return self._json({})
        asked = [json.loads(line) for line in self.body.splitlines()]
        if rest[0] == "preupload":
            files = [
                {"path": file["path"], "uploadMode": self._mode(file["path"]), "shouldIgnore": False, "oid": None}
                for file in asked[0]["files"]
            ]
            return self._json({"files": files})
        assert rest[0] == "commit", rest
        changes: dict[str, bytes | None] = {}
        for line in asked[1:]:
            value = line["value"]
            if line["key"] == "deletedFile":
                changes[value["path"]] = None
            elif line["key"] == "lfsFile":
                changes[value["path"]] = self.hub.stored[value["oid"]]
            else:
                changes[value["path"]] = base64.b64decode(value["content"])
        sha = repo.commit(rest[1], changes, asked[0]["value"]["summary"])
        self._json({"commitUrl": f"{self.hub.url}/{owner}/{name}/commit/{sha}", "commitOid": sha})

    @staticmethod
    def _mode(path: str) -> str:
        return "lfs" if path.endswith((".safetensors", ".pack", ".pt", ".zip")) else "regular"

    def _create(self, asked: dict[str, Any]) -> None:
        owner = asked["organization"] or "me"
        if not self._writes(owner):
            return None
        repo_id = f"{owner}/{asked['name']}"
        if repo_id in self.hub.repos:
            return self._json({"url": f"{self.hub.url}/{repo_id}", "error": "exists"}, 409)
        repo = self.hub.repos[repo_id] = Repo(asked.get("visibility") == "private" or asked.get("private") is True)
        repo.commit("main", {".gitattributes": b""}, "initial commit")
        self._json({"url": f"{self.hub.url}/{repo_id}"})

    def _info(self, repo_id: str, repo: Repo, revision: str) -> None:
        files = repo.files(revision)
        if files is None:
            return self._refuse(404, "Invalid rev id", "RevisionNotFound")
        siblings = [
            {
                "rfilename": path,
                "size": self.hub.sizes.get(path, len(content)),
                "blobId": hashlib.sha1(content).hexdigest(),
            }
            for path, content in files.items()
        ]
        sha = repo.branches.get(revision, revision)
        self._json({"id": repo_id, "sha": sha, "private": repo.private, "siblings": siblings, "tags": []})

    def _file(self, repo_id: str, revision: str, path: str) -> None:
        repo = self.hub.repos.get(repo_id)
        files = repo and repo.files(revision)
        if not files or (repo.private and not self.token):
            return self._refuse(404, "Repository not found", "RepoNotFound")
        if path not in files:
            return self._refuse(404, "Entry not found", "EntryNotFound")
        sha, content = repo.branches.get(revision, revision), files[path]
        self._send(content, 200, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": sha})

    def _batch(self) -> None:
        asked = json.loads(self.body)["objects"]
        self._json({"transfer": "basic", "objects": [
            {**item, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}} for item in asked
        ]})  # fmt: skip

    def _large_file(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.stored[oid] = self.body
        self._send(b"")

    def _job(self, owner: str, words: list[str]) -> None:
        if not self._writes(owner):
            return None
        if not words:
            spec = json.loads(self.body)
            identity = f"{len(self.hub.jobs) + 1:024x}"
            self.hub.jobs[identity] = {"spec": spec, "stage": "SCHEDULING", "message": None, "console": []}
            self.hub.on_job(identity, spec)
            return self._tell(owner, identity)
        job = self.hub.jobs.get(words[0])
        if job is None:
            return self._refuse(404, "Job not found")
        if words[1:] == ["cancel"]:
            job["stage"] = "CANCELED"
        if words[1:] == ["logs"]:
            last = int(self.query.get("tail", ["1000000"])[0])
            now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
            lines = [json.dumps({"data": line, "timestamp": now}) for line in job["console"][-last:]]
            body = "".join(f"data: {line}\n\n" for line in lines).encode()
            return self._send(body, 200, {"Content-Type": "text/event-stream"})
        self._tell(owner, words[0])

    def _tell(self, owner: str, identity: str) -> None:
        job = self.hub.jobs[identity]
        spec = job["spec"]
        self._json({
            "id": identity, "createdAt": "2026-01-01T00:00:00.000Z",
            "owner": {"id": "1", "name": owner, "type": "user"},
            "dockerImage": spec.get("dockerImage"), "spaceId": spec.get("spaceId"), "command": spec["command"],
            "arguments": [], "environment": spec["environment"], "secrets": {}, "flavor": spec["flavor"],
            "status": {"stage": job["stage"], "message": job["message"]},
        })  # fmt: skip
