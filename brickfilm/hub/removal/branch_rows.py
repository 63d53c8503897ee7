"""Delete rows from a branch: rewrite the shards that contain them, and the card."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from brickfilm.dataset.data_files import SplitKey
from brickfilm.dataset.rewrite import copy_without_rows
from brickfilm.files import disk_errors
from brickfilm.hub.publish import CARD_FILENAME, MANAGED_PATHS
from brickfilm.hub.publish.card import RenderedCard, render_card
from brickfilm.hub.publish.provenance import load_provenance
from brickfilm.hub.publish.stats import compute_stats
from brickfilm.hub.removal.branch import Branch
from brickfilm.hub.removal.request import MatchedRows
from brickfilm.schema.columns import MEDIA_COLUMN


@dataclass(frozen=True)
class RewrittenShards:
    """Local copies of shards without some rows, and the shards that would be empty."""

    changed: Mapping[str, Path]
    empty: Sequence[str]
    sizes: Mapping[SplitKey, int]
    """Bytes of every split after the removal."""


def delete_rows(branch: Branch, rows: MatchedRows, media: Sequence[str], message: str) -> None:
    """Commit a branch without some rows and media files."""
    with tempfile.TemporaryDirectory(prefix="brickfilm-") as folder, disk_errors(Path(folder)):
        shards = _rewrite_shards(branch, rows, Path(folder))
        card = _render_remaining_card(branch, rows, shards)
        branch.commit([*shards.empty, *media], {**shards.changed, **card.files}, message)


def delete_all(branch: Branch, message: str) -> None:
    """Commit a branch with nothing but a card that says so."""
    name = branch.repo_id.split("/")[1]
    text = "Every clip of this dataset was removed on request."
    card = f"---\ntags: [brickfilm]\n---\n\n# {name}\n\n{text}\n"
    paths = [
        path
        for path in branch.files_by_path
        if path.startswith(MANAGED_PATHS) and path != CARD_FILENAME
    ]
    branch.commit(paths, {CARD_FILENAME: card.encode()}, message)


def _rewrite_shards(branch: Branch, rows: MatchedRows, folder: Path) -> RewrittenShards:
    """Download each shard that contains such rows, one at a time, and copy it without them."""
    changed: dict[str, Path] = {}
    for name, config in rows.files.items():
        original, copy = branch.download(name, folder / "original"), folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if copy_without_rows(original, copy, MEDIA_COLUMN[config], rows.ids):
            changed[name] = copy
        original.unlink()
    empty = [name for name in rows.files if name not in changed]
    sizes: Counter[SplitKey] = Counter()
    for split_key, names in branch.dataset.files.items():
        for name in (name for name in names if name not in empty):
            copied = changed.get(name)
            size = copied.stat().st_size if copied else branch.files_by_path[name].size
            sizes[split_key] += size
    return RewrittenShards(changed, empty, sizes)


def _render_remaining_card(
    branch: Branch, rows: MatchedRows, shards: RewrittenShards
) -> RenderedCard:
    """Render the card of the rows that are left."""
    frames = {config: frame[~frame.id.isin(rows.ids)] for config, frame in branch.frames.items()}
    frames = {config: frame for config, frame in frames.items() if len(frame)}
    before = load_provenance(branch.dataset)
    provenance = replace(before, removed=before.removed + len(rows.clips))
    features = {config: branch.features(config) for config in frames}
    stats = compute_stats(frames, provenance, shards.sizes)
    return render_card(stats, branch.repo_id, media=branch.media_mode, features=features)
