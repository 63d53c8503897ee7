"""Remove clips from a dataset repository on the Hub, on every branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from brickfilm.engine.tombstones import Tombstone
from brickfilm.hub.removal.branch import Branch, dataset_at
from brickfilm.hub.removal.branch_rows import delete_all, delete_rows
from brickfilm.hub.removal.removal_report import RemovalReport
from brickfilm.hub.removal.request import MatchedRows, RemovalRequest, find_rows
from brickfilm.schema.hub_errors import CommitConflictError, check_repo_id, hub_errors
from brickfilm.schema.plural import pluralize

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAX_ATTEMPTS = 4


def remove_from_hub(repo_id: str, report: RemovalReport, *, forget_history: bool) -> None:
    """Remove rows and media from every branch, and with `forget_history` from its history."""
    from huggingface_hub import HfApi

    check_repo_id(repo_id)
    api = HfApi()
    with hub_errors(repo_id):
        branches = [ref.name for ref in api.list_repo_refs(repo_id, repo_type="dataset").branches]
    changed = [name for name in branches if _remove_with_retries(api, repo_id, name, report)]
    if forget_history:
        with hub_errors(repo_id):
            if changed or _exists_in_history(api, repo_id, branches, report.request):
                _delete_history(api, repo_id, branches)
                report.actions.append(f"{repo_id}: all older versions deleted")
    elif changed:
        report.actions.append(f"{repo_id}: older versions of the repository still contain them")
        report.next_steps.append(
            f"older versions of {repo_id} still contain them: --forget-history deletes those too, "
            "permanently"
        )


def _remove_with_retries(api: HfApi, repo_id: str, name: str, report: RemovalReport) -> bool:
    """Call `_remove_from_branch`, again if somebody else commits at the same time."""

    def attempt() -> bool:
        with hub_errors(repo_id):
            return _remove_from_branch(Branch.read(api, repo_id, name), report)

    is_conflict = retry_if_exception_type(CommitConflictError)
    return Retrying(retry=is_conflict, stop=stop_after_attempt(MAX_ATTEMPTS), reraise=True)(attempt)


def _remove_from_branch(branch: Branch, report: RemovalReport) -> bool:
    """Remove matching rows and media in one commit; return whether there were any."""
    rows = find_rows(branch.frames, report.request)
    media = branch.media_files_of(_branch_tombstone(report, rows))
    if not (rows or media):
        return False
    report.add_rows(rows)
    message = f"Remove a {report.request.kind} on request"
    if not rows:
        branch.commit(media, {}, message)
        action = f"{pluralize(len(media), 'file')} of a broken push removed"
    elif len(rows.clips) == len(branch.frames["clips"]):
        delete_all(branch, message)
        action = "all rows removed, no clip was left"
    else:
        delete_rows(branch, rows, media, message)
        action = f"{rows.summary} removed"
    report.actions.append(f"{branch.repo_id}, branch {branch.name}: {action}")
    return True


def _branch_tombstone(report: RemovalReport, rows: MatchedRows) -> Tombstone:
    """Return the report's tombstone, with the videos that this branch has of it."""
    if report.request.kind == "clip":
        return report.tombstone
    return replace(report.tombstone, films=(*report.tombstone.films, *rows.video_ids))


def _exists_in_history(
    api: HfApi, repo_id: str, branches: Sequence[str], request: RemovalRequest
) -> bool:
    """Return whether any version has rows that match, as after a removal that kept the history."""
    commits = {
        commit.commit_id
        for branch in branches
        for commit in api.list_repo_commits(repo_id, revision=branch, repo_type="dataset")
    }
    datasets = (dataset_at(repo_id, commit) for commit in sorted(commits))
    return any(find_rows(dataset.to_pandas_by_config(), request) for dataset in datasets)


def _delete_history(api: HfApi, repo_id: str, branches: Sequence[str]) -> None:
    """Delete LFS files that no branch has any more, then the commits that named them."""
    trees = (
        api.list_repo_tree(repo_id, recursive=True, revision=branch, repo_type="dataset")
        for branch in branches
    )
    pointers = (getattr(entry, "lfs", None) for tree in trees for entry in tree)
    kept = {pointer.sha256 for pointer in pointers if pointer}
    unused = [f for f in api.list_lfs_files(repo_id, repo_type="dataset") if f.oid not in kept]
    api.permanently_delete_lfs_files(repo_id, unused, repo_type="dataset")
    for branch in branches:
        api.super_squash_history(repo_id, branch=branch, repo_type="dataset")
