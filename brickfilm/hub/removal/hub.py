"""Take clips out of a repository on the Hub: rewrite what holds them, on every branch."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from brickfilm.dataset.parquet import hf_features
from brickfilm.dataset.reader import (
    MEDIA_COLUMN,
    DatasetNotFoundError,
    SavedDataset,
    SplitKey,
    find_hub_dataset,
)
from brickfilm.dataset.required_columns import require_columns
from brickfilm.dataset.rewrite import copy_without_rows
from brickfilm.engine.tombstones import Tombstone
from brickfilm.files import disk_errors
from brickfilm.hub.publish import CARD_FILENAME, MANAGED_PATHS, MEDIA_FOLDER, MediaMode
from brickfilm.hub.publish.card import RenderedCard, render_card
from brickfilm.hub.publish.provenance import load_provenance
from brickfilm.hub.publish.stats import compute_stats
from brickfilm.hub.removal import (
    MatchedRows,
    RemovalReport,
    RemovalRequest,
    find_rows,
    pluralize,
    record_removed_rows,
)
from brickfilm.schema.hub_errors import CommitConflictError, hub_errors

if TYPE_CHECKING:
    import pandas as pd
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

MAX_ATTEMPTS = 4


@dataclass(frozen=True)
class Branch:
    """A branch as it was when we looked."""

    api: HfApi
    repo_id: str
    name: str
    head: str
    dataset: SavedDataset

    @cached_property
    def frames(self) -> Mapping[str, pd.DataFrame]:
        """The rows of every config without media."""
        return self.dataset.to_pandas_by_config()

    @cached_property
    def files_by_path(self) -> Mapping[str, RepoFile]:
        """Every file of the branch, by path."""
        from huggingface_hub.hf_api import RepoFile

        tree = self.api.list_repo_tree(
            self.repo_id, recursive=True, revision=self.head, repo_type="dataset"
        )
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    def download(self, name: str, folder: Path) -> Path:
        path = self.api.hf_hub_download(
            self.repo_id, name, revision=self.head, repo_type="dataset", local_dir=folder
        )
        return Path(path)

    def media_files_of(self, tombstone: Tombstone) -> list[str]:
        """Media files of what is meant, those that a broken push left included."""
        lying = (path for path in self.files_by_path if path.startswith(f"{MEDIA_FOLDER}/"))
        return [path for path in lying if tombstone.covers_id(path.rsplit("/", 1)[1])]

    @property
    def media_mode(self) -> MediaMode:
        """How the rows were pushed."""
        column = MEDIA_COLUMN["clips"]
        if column not in self.dataset.columns("clips"):
            return "none"
        split = self.dataset.splits("clips")[0]
        first = next(self.dataset.iter_tables("clips", split, [column]))[column][0].as_py()
        return "files" if first["bytes"] is None else "embed"

    def features(self, config: str) -> dict[str, Any]:
        """The features of a config as `datasets` wrote them down."""
        first = self.dataset.files[config, self.dataset.splits(config)[0]][0]
        with self.dataset.open_parquet(first) as file:
            return hf_features(file.schema_arrow)


@dataclass(frozen=True)
class RewrittenFiles:
    """Files of a branch after a removal, and the size that every split has then."""

    changed: Mapping[str, Path]
    emptied: Sequence[str]
    media: Sequence[str]
    sizes: Mapping[SplitKey, int]

    @property
    def removed_paths(self) -> list[str]:
        """Files of which the old bytes are no longer part of the branch."""
        return [*self.changed, *self.emptied, *self.media]


def remove_from_hub(repo_id: str, removal: RemovalReport, *, forget_history: bool) -> None:
    """Remove rows and media from every branch; somebody else's commit means trying again."""
    from huggingface_hub import HfApi

    api = HfApi()
    with hub_errors(repo_id):
        branches = [ref.name for ref in api.list_repo_refs(repo_id, repo_type="dataset").branches]
    gone: set[str] = set()
    for name in branches:
        gone |= _with_retries(api, repo_id, name, removal)
    if forget_history:
        with hub_errors(repo_id):
            if gone or _exists_in_history(api, repo_id, branches, removal.request):
                _destroy_history(api, repo_id, branches)
                removal.actions.append(f"{repo_id}: all older versions destroyed")
    elif gone:
        removal.actions.append(f"{repo_id}: older versions of the repository still hold them")
        removal.next_steps.append(
            f"older versions of {repo_id} still hold them: --forget-history destroys those too, "
            "for ever"
        )


def _with_retries(api: HfApi, repo_id: str, name: str, removal: RemovalReport) -> set[str]:
    """`_remove_from_branch`, again where somebody else's commit came between."""

    def once() -> set[str]:
        with hub_errors(repo_id):
            return _remove_from_branch(api, repo_id, name, removal)

    moved = retry_if_exception_type(CommitConflictError)
    return Retrying(retry=moved, stop=stop_after_attempt(MAX_ATTEMPTS), reraise=True)(once)


def _remove_from_branch(api: HfApi, repo_id: str, name: str, removal: RemovalReport) -> set[str]:
    """One commit; gives the digests of the LFS files that are no longer part of the branch."""
    head = str(api.dataset_info(repo_id, revision=name).sha)
    branch = Branch(api, repo_id, name, head, _dataset_at(repo_id, head))
    found = find_rows(branch.frames, removal.request)
    media = branch.media_files_of(_branch_tombstone(removal, found))
    if not (found or media):
        return set()
    record_removed_rows(removal, found)
    message = f"Remove a {removal.request.kind} on request"
    gone = media
    if not found:
        _commit(branch, media, {}, message)
        left = pluralize(len(media), "file")
        removal.actions.append(f"{repo_id}, branch {name}: {left} of a broken push removed")
    elif len(found.clips) == len(branch.frames["clips"]):
        gone = _remove_all(branch, message)
        removal.actions.append(f"{repo_id}, branch {name}: all of it, no clip was left")
    else:
        gone = _remove_rows(branch, found, media, message)
        removal.actions.append(f"{repo_id}, branch {name}: {found.summary} removed")
    pointers = [getattr(branch.files_by_path[path], "lfs", None) for path in gone]
    return {pointer.sha256 for pointer in pointers if pointer}


def _dataset_at(repo_id: str, revision: str) -> SavedDataset:
    """The dataset of a version; an empty saved where there is none of ours."""
    from huggingface_hub import HfFileSystem

    try:
        dataset = find_hub_dataset(repo_id, revision=revision)
        require_columns(dataset)
    except DatasetNotFoundError:
        return SavedDataset(HfFileSystem(), f"datasets/{repo_id}@{revision}", {}, repo_id=repo_id)
    return dataset


def _branch_tombstone(removal: RemovalReport, found: MatchedRows) -> Tombstone:
    """What is meant, with the films that this branch has of it."""
    if removal.request.kind == "clip":
        return removal.tombstone
    return replace(removal.tombstone, films=(*removal.tombstone.films, *found.video_ids))


def _remove_rows(
    branch: Branch, found: MatchedRows, media: Sequence[str], message: str
) -> list[str]:
    """Commit the files that hold these rows without them; gives the files whose bytes went."""
    with tempfile.TemporaryDirectory(prefix="brickfilm-") as folder, disk_errors(Path(folder)):
        rewritten = _rewrite_shards(branch, found, media, Path(folder))
        page = _render_remaining_card(branch, found, rewritten)
        doomed = [*rewritten.emptied, *rewritten.media]
        _commit(branch, doomed, {**rewritten.changed, **page.files}, message)
    return rewritten.removed_paths


def _remove_all(branch: Branch, message: str) -> list[str]:
    """Commit the end of the dataset: nothing of ours stays but a card that says so."""
    name = branch.repo_id.split("/")[1]
    words = "Every clip of this dataset was removed on request."
    card = f"---\ntags: [brickfilm]\n---\n\n# {name}\n\n{words}\n"
    doomed = [
        path
        for path in branch.files_by_path
        if path.startswith(MANAGED_PATHS) and path != CARD_FILENAME
    ]
    _commit(branch, doomed, {CARD_FILENAME: card.encode()}, message)
    return doomed


def _rewrite_shards(
    branch: Branch, found: MatchedRows, media: Sequence[str], folder: Path
) -> RewrittenFiles:
    """Download the shards that hold a row to remove, one at a time; write them without it."""
    changed: dict[str, Path] = {}
    for name, config in found.files.items():
        down = branch.download(name, folder / "down")
        draft = folder / name
        draft.parent.mkdir(parents=True, exist_ok=True)
        if copy_without_rows(down, draft, MEDIA_COLUMN[config], found.ids):
            changed[name] = draft
        down.unlink()
    emptied = [name for name in found.files if name not in changed]
    sizes: Counter[SplitKey] = Counter()
    for place, names in branch.dataset.files.items():
        for name in (name for name in names if name not in emptied):
            size = (
                changed[name].stat().st_size if name in changed else branch.files_by_path[name].size
            )
            sizes[place] += size
    return RewrittenFiles(changed, emptied, media, sizes)


def _render_remaining_card(
    branch: Branch, found: MatchedRows, rewritten: RewrittenFiles
) -> RenderedCard:
    """The card of what is left."""
    left = {config: rows[~rows.id.isin(found.ids)] for config, rows in branch.frames.items()}
    left = {config: rows for config, rows in left.items() if len(rows)}
    before = load_provenance(branch.dataset)
    build = replace(before, removed=before.removed + len(found.clips))
    features = {config: branch.features(config) for config in left}
    facts = compute_stats(left, build, rewritten.sizes)
    return render_card(facts, branch.repo_id, media=branch.media_mode, features=features)


def _commit(
    branch: Branch, doomed: Sequence[str], added: Mapping[str, Path | bytes], message: str
) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    branch.api.create_commit(
        branch.repo_id,
        [
            *(CommitOperationDelete(name) for name in doomed),
            *(CommitOperationAdd(name, content) for name, content in added.items()),
        ],
        commit_message=message,
        repo_type="dataset",
        revision=branch.name,
        parent_commit=branch.head,
    )


def _exists_in_history(
    api: HfApi, repo_id: str, branches: Sequence[str], request: RemovalRequest
) -> bool:
    """Whether an older version holds such rows: an earlier removal left it as it was."""
    kind: Any = {"repo_type": "dataset"}
    commits = {
        commit.commit_id
        for branch in branches
        for commit in api.list_repo_commits(repo_id, revision=branch, **kind)
    }
    dataset = (_dataset_at(repo_id, commit) for commit in sorted(commits))
    return any(find_rows(dataset.to_pandas_by_config(), request) for dataset in dataset)


def _destroy_history(api: HfApi, repo_id: str, branches: Sequence[str]) -> None:
    """Destroy the bytes that no branch holds any more, then the commits that named them."""
    trees = (
        api.list_repo_tree(repo_id, recursive=True, revision=branch, repo_type="dataset")
        for branch in branches
    )
    pointers = (getattr(entry, "lfs", None) for tree in trees for entry in tree)
    kept = {pointer.sha256 for pointer in pointers if pointer}
    doomed = [f for f in api.list_lfs_files(repo_id, repo_type="dataset") if f.oid not in kept]
    api.permanently_delete_lfs_files(repo_id, doomed, repo_type="dataset")
    for branch in branches:
        api.super_squash_history(repo_id, branch=branch, repo_type="dataset")
