"""Repositories that a work folder was pushed to, kept in the work folder for removals."""

from __future__ import annotations

from pathlib import Path

FILENAME = "pushed.txt"


def record_pushed_repo(work: Path, repo_id: str) -> None:
    """Add a repository to the list, before any byte is sent: removals must reach it."""
    repos = sorted({*pushed_repos(work), repo_id})
    (work / FILENAME).write_text("\n".join(repos) + "\n")


def pushed_repos(work: Path) -> list[str]:
    """Return the ids of the repositories that a work folder was pushed to."""
    path = work / FILENAME
    return path.read_text().split() if path.is_file() else []
