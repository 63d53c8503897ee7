"""Implement the Hub's HTTP protocol as functions from a call to a reply.

Enough for huggingface_hub and datasets without xet: repositories, branches, trees, LFS uploads,
commits with a parent check, downloads with ranges and the redirect to the file server.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote

from tests.kit.servers.hub_card import card_errors
from tests.kit.servers.hub_store import (
    Entry,
    HubError,
    Repo,
    Store,
    User,
    described,
    under,
    upload_mode,
)

LONG_AGO = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Reply:
    """A response; `file` with `span` is sent from disk instead of a body."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    span: tuple[int, int] | None = None


class Upload(NamedTuple):
    """An uploaded body: its file, and its sha256."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Call:
    """One request, with its parsed URL."""

    store: Store
    base: str
    user: User | None
    method: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    upload: Upload | None = None
    page_size: int = 1000
    path: str = ""
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> dict[str, Any]:
        if "json" in self.headers.get("Content-Type", ""):
            return dict(json.loads(self.body or b"{}"))
        return dict(parse_qs(self.body.decode()))

    @property
    def kind(self) -> str:
        return (self.named.get("kind") or "models/").rstrip("/").removesuffix("s")

    def readable(self) -> Repo:
        """Return the repository; raise HubError if the user may not know that it exists."""
        repo = self.store.repo(self.kind, self.named["id"])
        if repo.private and (self.user is None or self.user.name != repo.owner):
            status = 404 if self.user else 401
            raise HubError(status, "RepoNotFound", "Repository not found")
        return repo

    def open_gate(self) -> Repo:
        """Return the repository; raise HubError if the user may not read its files."""
        repo = self.readable()
        name = self.user.name if self.user else ""
        if repo.gated and name != repo.owner and name not in repo.readers:
            status = 403 if self.user else 401
            raise HubError(status, "GatedRepo", f"Access to {repo.kind} {repo.id} is restricted")
        return repo

    def writable(self) -> Repo:
        repo = self.readable()
        self.must_write(repo.owner)
        return repo

    def must_write(self, owner: str) -> None:
        if self.user is None:
            raise HubError(401, "", "Invalid username or password.")
        if self.user.role != "write" or self.user.name != owner:
            raise HubError(
                403, "", f"You don't have the rights to write to {owner!r} with this token"
            )


Route = Callable[[Call], Reply]


def whoami(call: Call) -> Reply:
    if call.user is None:
        raise HubError(401, "", "Invalid username or password.")
    token = {"role": call.user.role, "displayName": "test"}
    auth = {"type": "access_token", "accessToken": token}
    return Reply({"type": "user", "name": call.user.name, "orgs": [], "auth": auth})


def validate_yaml(call: Call) -> Reply:
    errors = card_errors(call.json["content"])
    body = {"errors": [{"message": message} for message in errors], "warnings": []}
    return Reply(body, status=400 if errors else 200)


def create(call: Call) -> Reply:
    asked = call.json
    if call.user is None:
        raise HubError(401, "", "Invalid username or password.")
    owner = asked.get("organization") or call.user.name
    call.must_write(owner)
    kind, repo_id = asked.get("type", "model"), f"{owner}/{asked['name']}"
    url = f"{call.base}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
    private = bool(asked.get("private")) or asked.get("visibility") == "private"
    try:
        call.store.create(kind, repo_id, private=private)
    except HubError as error:
        return Reply({"error": error.message, "url": url}, status=error.status)
    return Reply({"url": url, "name": repo_id, "id": repo_id})


def delete(call: Call) -> Reply:
    asked = call.json
    owner = asked.get("organization") or (call.user.name if call.user else "")
    kind, repo_id = asked.get("type", "model"), f"{owner}/{asked['name']}"
    call.must_write(call.store.repo(kind, repo_id).owner)
    del call.store.repos[kind, repo_id]
    return Reply()


def settings(call: Call) -> Reply:
    repo, asked = call.writable(), call.json
    if "gated" in asked:
        repo.gated = asked["gated"]
    if "visibility" in asked:
        repo.private = asked["visibility"] == "private"
    return Reply({"private": repo.private, "gated": repo.gated})


def info(call: Call) -> Reply:
    repo = call.readable()
    commit = repo.at(call.named.get("revision") or "main")
    siblings = [{"rfilename": path} for path in sorted(commit.files)]
    return Reply(
        {
            "_id": "1",
            "id": repo.id,
            "author": repo.owner,
            "sha": commit.sha,
            "private": repo.private,
            "gated": repo.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "lastModified": LONG_AGO,
            "createdAt": LONG_AGO,
            "siblings": siblings,
        }
    )


def refs(call: Call) -> Reply:
    repo = call.readable()
    return Reply(
        {
            "branches": [_ref("heads", name, sha) for name, sha in repo.branches.items()],
            "tags": [_ref("tags", name, sha) for name, sha in repo.tags.items()],
            "converts": [],
        }
    )


def _ref(folder: str, name: str, sha: str) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": sha}


def commits(call: Call) -> Reply:
    history = call.readable().history(call.named["revision"])
    shown = [{"id": c.sha, "title": c.title, "message": "", "date": LONG_AGO} for c in history]
    return Reply([{**commit, "authors": []} for commit in shown])


def branch(call: Call) -> Reply:
    """Create or delete a branch or a tag."""
    repo, name, asked = call.writable(), call.named["name"], call.json
    names = repo.tags if call.named["what"] == "tag" else repo.branches
    if call.method == "DELETE":
        if names.pop(name, None) is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {name}")
        return Reply()
    made = asked.get("tag", name) if names is repo.tags else name
    if made in names:
        raise HubError(409, "", f"Reference {made} already exists")
    start = name if names is repo.tags else asked.get("startingPoint", "main")
    names[made] = repo.at(start).sha
    return Reply()


def tree(call: Call) -> Reply:
    """List the files of a folder, in pages with Link headers."""
    repo, folder = call.readable(), call.named.get("folder") or ""
    recursive = call.query.get("recursive", "").lower() in ("true", "1")
    entries = list(under(repo.at(call.named["revision"]).files, folder, recursive=recursive))
    if folder and not entries:
        raise HubError(404, "EntryNotFound", f"{folder} does not exist")
    first = int(call.query.get("cursor", "0"))
    last = first + call.page_size
    following = "&".join(f"{k}={quote(v)}" for k, v in {**call.query, "cursor": str(last)}.items())
    link = {"Link": f'<{call.base}{call.path}?{following}>; rel="next"'}
    return Reply(entries[first:last], headers=link if last < len(entries) else {})


def paths_info(call: Call) -> Reply:
    commit = call.readable().at(call.named["revision"])
    paths = call.json.get("paths", [])
    return Reply(list(described(commit.files, [paths] if isinstance(paths, str) else paths)))


def preupload(call: Call) -> Reply:
    """Tell which files go to LFS, and which exist."""
    held = call.writable().at(call.named["revision"]).files
    files = [
        {
            "path": asked["path"],
            "uploadMode": upload_mode(asked["path"], asked["size"]),
            "shouldIgnore": False,
            "oid": held[asked["path"]].etag if asked["path"] in held else None,
        }
        for asked in call.json["files"]
    ]
    return Reply({"files": files})


def lfs_batch(call: Call) -> Reply:
    """Return an upload URL for each object that the Hub does not have."""
    call.writable()
    objects = []
    for asked in call.json["objects"]:
        known = {"oid": asked["oid"], "size": asked["size"], "authenticated": True}
        if not call.store.has(asked["oid"]):
            known["actions"] = {"upload": {"href": f"{call.base}/lfs/{asked['oid']}", "header": {}}}
        objects.append(known)
    kind = {"Content-Type": "application/vnd.git-lfs+json"}
    return Reply({"transfer": "basic", "objects": objects}, headers=kind)


def lfs_upload(call: Call) -> Reply:
    """Store an upload; raise HubError if its bytes have another sha256."""
    assert call.upload is not None
    if call.upload.sha256 != call.named["oid"]:
        raise HubError(400, "BadDigest", "the bytes do not have the announced sha256")
    call.upload.path.replace(call.store.blob(call.upload.sha256))
    return Reply()


def commit(call: Call) -> Reply:
    """Apply a list of operations; raise HubError if the branch is not at `parentCommit`."""
    repo, branch_name = call.writable(), call.named["revision"]
    before = repo.at(branch_name)
    files, title = dict(before.files), ""
    for line in call.body.splitlines():
        operation = json.loads(line)
        value = operation["value"]
        if operation["key"] == "header":
            title = value.get("summary", "")
            if value.get("parentCommit") not in (None, before.sha):
                raise HubError(
                    412, "", "A commit has happened since. Please refresh and try again."
                )
        else:
            _apply(call.store, files, operation["key"], value)
    sha = repo.add(branch_name, title, files).sha
    url = f"{call.base}/{repo.kind}s/{repo.id}/commit/{sha}"
    return Reply({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})


def _apply(store: Store, files: dict[str, Entry], key: str, value: Mapping[str, Any]) -> None:
    path = value["path"]
    match key:
        case "file":
            files[path] = store.keep(base64.b64decode(value["content"]), lfs=False)
        case "lfsFile":
            files[path] = store.pointer(value["oid"])
        case "deletedFile":
            if files.pop(path, None) is None:
                raise HubError(404, "EntryNotFound", f"cannot delete {path}: no such file")
        case "deletedFolder":
            for inside in [f for f in files if f.startswith(path.rstrip("/") + "/")]:
                del files[inside]


def squash(call: Call) -> Reply:
    repo, name = call.writable(), call.named["revision"]
    repo.add(name, call.json.get("message", ""), repo.at(name).files, root=True)
    repo.forget_unreachable()
    return Reply()


def lfs_files(call: Call) -> Reply:
    """List every LFS object that a commit of the repository refers to."""
    repo = call.writable()
    held = {e.sha256: (p, e) for c in repo.commits.values() for p, e in c.files.items() if e.lfs}
    shown = [
        {"fileOid": sha, "filename": path, "oid": sha, "size": entry.size, "pushedAt": LONG_AGO}
        for sha, (path, entry) in sorted(held.items())
    ]
    return Reply(shown)


def lfs_purge(call: Call) -> Reply:
    call.store.purge(call.writable(), set(call.json["deletions"]["sha"]))
    return Reply()


def resolve(call: Call) -> Reply:
    """Return a file's bytes, or for an LFS file a redirect to the file server."""
    found = call.open_gate().at(call.named["revision"])
    seen = {"X-Repo-Commit": found.sha}
    entry = found.files.get(call.named["file"])
    if entry is None or not call.store.has(entry.sha256):
        missing = {**seen, "X-Error-Code": "EntryNotFound"}
        return Reply({"error": "Entry not found"}, status=404, headers=missing)
    seen |= {"ETag": f'"{entry.etag}"'}
    if not entry.lfs:
        return ranged(call, entry.sha256, seen)
    seen |= {"X-Linked-Size": str(entry.size), "X-Linked-ETag": f'"{entry.sha256}"'}
    elsewhere = call.base.replace("127.0.0.1", "localhost")  # clients stop at another host
    return Reply(status=302, headers={**seen, "Location": f"{elsewhere}/cdn/{entry.sha256}"})


def cdn(call: Call) -> Reply:
    """Serve a blob of the file server, without a token, as signed URLs do."""
    return ranged(call, call.named["oid"], {"ETag": f'"{call.named["oid"]}"'})


def ranged(call: Call, sha256: str, headers: Mapping[str, str]) -> Reply:
    """Return a blob, or the bytes of a Range header."""
    path = call.store.blob(sha256)
    size = path.stat().st_size
    kinds = {**headers, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
    if not asked:
        return Reply(file=path, span=(0, size), headers=kinds)
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= size:
        return Reply(status=416, headers={"Content-Range": f"bytes */{size}"})
    kinds["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Reply(status=206, file=path, span=(start, end), headers=kinds)


API = r"/api/(?P<kind>(?:models|datasets|spaces)/)(?P<id>[^/]+/[^/]+)"
WEB = r"/(?P<kind>(?:datasets/|spaces/)?)(?P<id>[^/]+/[^/]+)"
REV = r"(?P<revision>[^/]+)"
ROUTES: tuple[tuple[str, str, Route], ...] = (
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("POST", "/api/repos/create", create),
    ("DELETE", "/api/repos/delete", delete),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", lfs_upload),
    ("GET", "/cdn/(?P<oid>[0-9a-f]{64})", cdn),
    ("GET", API, info),
    ("GET", f"{API}/revision/{REV}", info),
    ("GET", f"{API}/refs", refs),
    ("GET", f"{API}/commits/{REV}", commits),
    ("GET", f"{API}/tree/{REV}(?:/(?P<folder>.+))?", tree),
    ("POST", f"{API}/paths-info/{REV}", paths_info),
    ("POST", f"{API}/preupload/{REV}", preupload),
    ("POST", f"{API}/commit/{REV}", commit),
    ("POST|DELETE", f"{API}/(?P<what>branch|tag)/(?P<name>[^/]+)", branch),
    ("POST", f"{API}/super-squash/{REV}", squash),
    ("GET", f"{API}/lfs-files", lfs_files),
    ("POST", f"{API}/lfs-files/batch", lfs_purge),
    ("PUT", f"{API}/settings", settings),
    ("POST", rf"{WEB}\.git/info/lfs/objects/batch", lfs_batch),
    ("GET", f"{WEB}/resolve/{REV}/(?P<file>.+)", resolve),
)
