"""Store repositories, their commits, and blobs on disk; without HTTP."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LFS_SUFFIXES = {".parquet", ".arrow", ".mp4", ".jpg", ".png", ".bin", ".safetensors", ".zip", ".pt"}
LFS_FROM_BYTES = 10 * 2**20
"""Larger text files become LFS files, as on the real Hub."""


class HubError(Exception):
    """An error response: status, the Hub's error code, and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class User:
    """The user of a token, and the token's role."""

    name: str
    role: str = "write"


@dataclass(frozen=True)
class Entry:
    """One file of a commit; its content is in the blob folder, named by its sha256."""

    sha256: str
    size: int
    git_oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid

    def listing(self, path: str) -> dict[str, object]:
        shown = {"type": "file", "oid": self.git_oid, "size": self.size, "path": path}
        if self.lfs:
            shown["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 130}
        return shown


@dataclass(frozen=True)
class Commit:
    sha: str
    title: str
    files: Mapping[str, Entry]
    parent: str | None = None


@dataclass
class Repo:
    """A repository: its commits, branches and tags."""

    id: str
    kind: str
    """model, dataset or space"""
    private: bool = False
    gated: str | bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    """Users with access to a gated repository."""

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    def at(self, revision: str) -> Commit:
        """Return the commit of a branch, a tag or a sha (or its first digits)."""
        sha = self.branches.get(revision) or self.tags.get(revision)
        if not sha:
            sha = next(
                (s for s in self.commits if len(revision) > 6 and s.startswith(revision)), None
            )
        if not sha:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[sha]

    def history(self, revision: str) -> Iterator[Commit]:
        """Yield the commits from a revision back to the first."""
        commit: Commit | None = self.at(revision)
        while commit:
            yield commit
            commit = self.commits.get(commit.parent or "")

    def add(
        self, branch: str, title: str, files: Mapping[str, Entry], *, root: bool = False
    ) -> Commit:
        """Commit `files` on `branch`; with `root`, without a parent (a squash)."""
        parent = None if root else self.branches.get(branch)
        commit = Commit(secrets.token_hex(20), title, dict(files), parent)
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha
        return commit

    def forget_unreachable(self) -> None:
        """Delete commits that no branch or tag reaches."""
        names = itertools.chain(self.branches, self.tags)
        alive = {commit.sha for name in names for commit in self.history(name)}
        self.commits = {sha: commit for sha, commit in self.commits.items() if sha in alive}


class Store:
    """All repositories, and the blobs of their files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repos: dict[tuple[str, str], Repo] = {}

    def repo(self, kind: str, repo_id: str) -> Repo:
        try:
            return self.repos[kind, repo_id]
        except KeyError:
            raise HubError(404, "RepoNotFound", "Repository not found") from None

    def create(self, kind: str, repo_id: str, *, private: bool) -> Repo:
        if (kind, repo_id) in self.repos:
            raise HubError(409, "RepoExists", f"You already created this {kind} repo: {repo_id}")
        repo = self.repos[kind, repo_id] = Repo(repo_id, kind, private=private)
        attributes = self.keep(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", lfs=False)
        repo.add("main", "initial commit", {".gitattributes": attributes})
        return repo

    def blob(self, sha256: str) -> Path:
        return self.folder / sha256

    def has(self, sha256: str) -> bool:
        return self.blob(sha256).exists()

    def keep(self, content: bytes, *, lfs: bool) -> Entry:
        """Store bytes, and return their entry."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.blob(sha256).write_bytes(content)
        return Entry(sha256, len(content), git_oid(content), lfs)

    def pointer(self, sha256: str) -> Entry:
        """Return the entry of an LFS file whose bytes were uploaded before."""
        if not self.has(sha256):
            raise HubError(400, "LfsMissing", f"LFS object {sha256} was never uploaded")
        size = self.blob(sha256).stat().st_size
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return Entry(sha256, size, git_oid(text.encode()), lfs=True)

    def purge(self, repo: Repo, sha256s: set[str]) -> None:
        """Delete LFS blobs permanently, and their files from every commit."""
        for sha in sha256s:
            self.blob(sha).unlink(missing_ok=True)
        for sha, commit in repo.commits.items():
            files = {p: e for p, e in commit.files.items() if e.sha256 not in sha256s}
            repo.commits[sha] = Commit(sha, commit.title, files, commit.parent)


def git_oid(content: bytes) -> str:
    """Return the git object id of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def upload_mode(path: str, size: int) -> str:
    return "lfs" if Path(path).suffix in LFS_SUFFIXES or size > LFS_FROM_BYTES else "regular"


def under(
    files: Mapping[str, Entry], folder: str, *, recursive: bool
) -> Iterator[dict[str, object]]:
    """Yield the tree below a folder, each directory before its content."""
    prefix = folder.rstrip("/") + "/" if folder else ""
    seen: set[str] = set()
    for path in sorted(files):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            directory = prefix + "/".join(parts[:depth])
            if directory not in seen:
                seen.add(directory)
                yield _directory(directory)
        if recursive or len(parts) == 1:
            yield files[path].listing(path)


def described(files: Mapping[str, Entry], paths: list[str]) -> Iterator[dict[str, object]]:
    """Yield the `paths-info` entries of known paths."""
    for path in (asked.strip("/") for asked in paths):
        if path in files:
            yield files[path].listing(path)
        elif any(known.startswith(path + "/") for known in files):
            yield _directory(path)


def _directory(path: str) -> dict[str, object]:
    return {"type": "directory", "oid": git_oid(path.encode()), "size": 0, "path": path}
