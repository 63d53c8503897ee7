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
from brickfilm.dataset.reader import MEDIA_COLUMN, NoDataset, Place, SavedDataset, on_the_hub
from brickfilm.dataset.required_columns import must_have_columns
from brickfilm.dataset.rewrite import without_rows
from brickfilm.engine.tombstones import Tombstone
from brickfilm.files import disk_errors
from brickfilm.hub.publish import CARD, MEDIA, OURS, Media
from brickfilm.hub.publish.card import CardPage, render_card
from brickfilm.hub.publish.facts import build_facts, facts_of
from brickfilm.hub.removal import Found, Removal, Request, find_rows, many, note_removed
from brickfilm.schema.hub_errors import RepoMoved, hub_errors

if TYPE_CHECKING:
    import pandas as pd
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

TRIES = 4


@dataclass(frozen=True)
class Branch:
    """A branch as it was when we looked."""

    api: HfApi
    repo_id: str
    name: str
    head: str
    saved: SavedDataset

    @cached_property
    def frames(self) -> Mapping[str, pd.DataFrame]:
        """The rows of every config without media."""
        return self.saved.frames()

    @cached_property
    def held(self) -> Mapping[str, RepoFile]:
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

    def media_of(self, mark: Tombstone) -> list[str]:
        """Media files of what is meant, those that a broken push left included."""
        lying = (path for path in self.held if path.startswith(f"{MEDIA}/"))
        return [path for path in lying if mark.covers_id(path.rsplit("/", 1)[1])]

    @property
    def media(self) -> Media:
        """How the rows were pushed."""
        column = MEDIA_COLUMN["clips"]
        if column not in self.saved.columns("clips"):
            return "none"
        split = self.saved.splits("clips")[0]
        first = next(self.saved.tables("clips", split, [column]))[column][0].as_py()
        return "files" if first["bytes"] is None else "embed"

    def columns(self, config: str) -> dict[str, Any]:
        """The features of a config as `datasets` wrote them down."""
        first = self.saved.files[config, self.saved.splits(config)[0]][0]
        with self.saved.open_parquet(first) as file:
            return hf_features(file.schema_arrow)


@dataclass(frozen=True)
class Rewritten:
    """Files of a branch after a removal, and the size that every split has then."""

    changed: Mapping[str, Path]
    emptied: Sequence[str]
    media: Sequence[str]
    sizes: Mapping[Place, int]

    @property
    def gone(self) -> list[str]:
        """Files of which the old bytes are no longer part of the branch."""
        return [*self.changed, *self.emptied, *self.media]


def remove_from_hub(repo_id: str, removal: Removal, *, forget_history: bool) -> None:
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
            if gone or _held_before(api, repo_id, branches, removal.request):
                _forget(api, repo_id, branches)
                removal.places.append(f"{repo_id}: all older versions destroyed")
    elif gone:
        removal.places.append(f"{repo_id}: older versions of the repository still hold them")
        removal.advice.append(
            f"older versions of {repo_id} still hold them: --forget-history destroys those too, "
            "for ever"
        )


def _with_retries(api: HfApi, repo_id: str, name: str, removal: Removal) -> set[str]:
    """`_remove_from_branch`, again where somebody else's commit came between."""

    def once() -> set[str]:
        with hub_errors(repo_id):
            return _remove_from_branch(api, repo_id, name, removal)

    moved = retry_if_exception_type(RepoMoved)
    return Retrying(retry=moved, stop=stop_after_attempt(TRIES), reraise=True)(once)


def _remove_from_branch(api: HfApi, repo_id: str, name: str, removal: Removal) -> set[str]:
    """One commit; gives the digests of the LFS files that are no longer part of the branch."""
    head = str(api.dataset_info(repo_id, revision=name).sha)
    branch = Branch(api, repo_id, name, head, _saved_at(repo_id, head))
    found = find_rows(branch.frames, removal.request)
    media = branch.media_of(_mark(removal, found))
    if not (found or media):
        return set()
    note_removed(removal, found)
    message = f"Remove a {removal.request.kind} on request"
    gone = media
    if not found:
        _commit(branch, media, {}, message)
        left = many(len(media), "file")
        removal.places.append(f"{repo_id}, branch {name}: {left} of a broken push removed")
    elif len(found.clips) == len(branch.frames["clips"]):
        gone = _take_down(branch, message)
        removal.places.append(f"{repo_id}, branch {name}: all of it, no clip was left")
    else:
        gone = _take_out(branch, found, media, message)
        removal.places.append(f"{repo_id}, branch {name}: {found.words} removed")
    pointers = [getattr(branch.held[path], "lfs", None) for path in gone]
    return {pointer.sha256 for pointer in pointers if pointer}


def _saved_at(repo_id: str, revision: str) -> SavedDataset:
    """The dataset of a version; an empty saved where there is none of ours."""
    from huggingface_hub import HfFileSystem

    try:
        saved = on_the_hub(repo_id, revision=revision)
        must_have_columns(saved)
    except NoDataset:
        return SavedDataset(HfFileSystem(), f"datasets/{repo_id}@{revision}", {}, repo_id=repo_id)
    return saved


def _mark(removal: Removal, found: Found) -> Tombstone:
    """What is meant, with the films that this branch has of it."""
    if removal.request.kind == "clip":
        return removal.mark
    return replace(removal.mark, films=(*removal.mark.films, *found.films))


def _take_out(branch: Branch, found: Found, media: Sequence[str], message: str) -> list[str]:
    """Commit the files that hold these rows without them; gives the files whose bytes went."""
    with tempfile.TemporaryDirectory(prefix="brickfilm-") as folder, disk_errors(Path(folder)):
        rewritten = _rewrite(branch, found, media, Path(folder))
        page = _card(branch, found, rewritten)
        doomed = [*rewritten.emptied, *rewritten.media]
        _commit(branch, doomed, {**rewritten.changed, **page.files}, message)
    return rewritten.gone


def _take_down(branch: Branch, message: str) -> list[str]:
    """Commit the end of the dataset: nothing of ours stays but a card that says so."""
    name = branch.repo_id.split("/")[1]
    words = "Every clip of this dataset was removed on request."
    card = f"---\ntags: [brickfilm]\n---\n\n# {name}\n\n{words}\n"
    doomed = [path for path in branch.held if path.startswith(OURS) and path != CARD]
    _commit(branch, doomed, {CARD: card.encode()}, message)
    return doomed


def _rewrite(branch: Branch, found: Found, media: Sequence[str], folder: Path) -> Rewritten:
    """Download the shards that hold a row to remove, one at a time; write them without it."""
    changed: dict[str, Path] = {}
    for name, config in found.files.items():
        down = branch.download(name, folder / "down")
        draft = folder / name
        draft.parent.mkdir(parents=True, exist_ok=True)
        if without_rows(down, draft, MEDIA_COLUMN[config], found.ids):
            changed[name] = draft
        down.unlink()
    emptied = [name for name in found.files if name not in changed]
    sizes: Counter[Place] = Counter()
    for place, names in branch.saved.files.items():
        for name in (name for name in names if name not in emptied):
            size = changed[name].stat().st_size if name in changed else branch.held[name].size
            sizes[place] += size
    return Rewritten(changed, emptied, media, sizes)


def _card(branch: Branch, found: Found, rewritten: Rewritten) -> CardPage:
    """The card of what is left."""
    left = {config: rows[~rows.id.isin(found.ids)] for config, rows in branch.frames.items()}
    left = {config: rows for config, rows in left.items() if len(rows)}
    before = build_facts(branch.saved)
    build = replace(before, removed=before.removed + len(found.clips))
    features = {config: branch.columns(config) for config in left}
    facts = facts_of(left, build, rewritten.sizes)
    return render_card(facts, branch.repo_id, media=branch.media, features=features)


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


def _held_before(api: HfApi, repo_id: str, branches: Sequence[str], request: Request) -> bool:
    """Whether an older version holds such rows: an earlier removal left it as it was."""
    kind: Any = {"repo_type": "dataset"}
    commits = {
        commit.commit_id
        for branch in branches
        for commit in api.list_repo_commits(repo_id, revision=branch, **kind)
    }
    saved = (_saved_at(repo_id, commit) for commit in sorted(commits))
    return any(find_rows(saved.frames(), request) for saved in saved)


def _forget(api: HfApi, repo_id: str, branches: Sequence[str]) -> None:
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
