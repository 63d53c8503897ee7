"""Delete the history of a dataset repository, permanently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from brickfilm.hub.removal.branch import dataset_at
from brickfilm.hub.removal.request import RemovalRequest, find_rows

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def exists_in_history(
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


def delete_history(api: HfApi, repo_id: str, branches: Sequence[str]) -> None:
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
