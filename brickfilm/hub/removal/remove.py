"""Remove clips permanently: from the work folder, its saved dataset, and the Hub.

The tombstone is written first, so that an interrupted removal can be completed by running it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from brickfilm.engine.build_shard import find_shards
from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.errors import BrickfilmError
from brickfilm.hub.publish import pushed_repos
from brickfilm.hub.removal.removal_report import (
    NothingToRemoveError,
    PartialRemovalError,
    RemovalReport,
)
from brickfilm.hub.removal.repository import remove_from_hub
from brickfilm.hub.removal.request import RemovalRequest
from brickfilm.hub.removal.work import remove_from_work


def remove(
    where: str | Path,
    request: RemovalRequest,
    *,
    forget_history: bool = False,
    include_hub: bool = True,
) -> RemovalReport:
    """Remove from a work folder and all repositories it was pushed to, or from one repository.

    forget_history: also delete old versions of the changed files on the Hub, permanently.
    include_hub: False leaves repositories alone. Raises NothingToRemoveError, and
    PartialRemovalError if a repository could not be changed: run it again.
    """
    report = RemovalReport(request, datetime.now(UTC).date().isoformat())
    folder = Path(where)
    if not folder.is_dir():
        remove_from_hub(str(where), report, forget_history=forget_history)
    else:
        work = _remove_from_build(folder, report)
        _remove_from_repos(pushed_repos(work) if include_hub else [], report, forget_history)
    if not report.actions:
        raise NothingToRemoveError(_no_match_message(where, report))
    return report


def _remove_from_build(folder: Path, report: RemovalReport) -> Path:
    """Remove from a work folder and its shards, or the next merge would bring it back."""
    is_merged = (folder / LEDGER).is_file() or not find_shards(folder)
    work = remove_from_work(folder, report) if is_merged else folder
    for shard in find_shards(work).values():
        if (shard / LEDGER).is_file():
            remove_from_work(shard, report)
    return work


def _remove_from_repos(repos: Sequence[str], report: RemovalReport, forget_history: bool) -> None:
    """Remove from every repository, even if another one fails; then raise PartialRemovalError."""
    errors: list[BrickfilmError] = []
    for repo_id in repos:
        try:
            remove_from_hub(repo_id, report, forget_history=forget_history)
        except BrickfilmError as error:
            errors.append(error)
    if errors:
        raise PartialRemovalError(report, errors) from errors[0]


def _no_match_message(where: str | Path, report: RemovalReport) -> str:
    request = report.request
    if report.has_tombstone:
        return f"{request.kind} {request.name!r} was removed before: nothing of it is left"
    return (
        f"no row of {str(where)!r} has the {request.kind} {request.name!r}: give a value of the "
        "column 'id', 'source_id', 'source_url' or 'uploader'"
    )
