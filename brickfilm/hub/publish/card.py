"""The dataset card: facts in, Markdown and pictures out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from brickfilm.dataset import config_yaml_entry
from brickfilm.dataset.parquet import hf_features
from brickfilm.dataset.reader import MEDIA_COLUMN, SavedDataset, SplitKey
from brickfilm.hub.publish.facts import (
    PROVENANCE_FILENAME,
    DatasetStats,
    compute_stats,
    load_provenance,
)
from brickfilm.hub.publish.histograms import histogram_png
from brickfilm.schema.licences import common_licence

NOT_MEASURED = "not measured"
SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)
"""The Hub's size categories."""


@dataclass(frozen=True)
class RenderedCard:
    """A card and the pictures it shows, as files of a repository."""

    files: Mapping[str, bytes]

    @property
    def text(self) -> str:
        return self.files["README.md"].decode()


def dataset_card(
    dataset: SavedDataset, repo_id: str, *, media: str, sizes: Mapping[SplitKey, int]
) -> RenderedCard:
    """The card of a dataset that is about to be published, its splits having these sizes."""
    held = dataset.to_pandas_by_config()
    frames = {config: rows for config, rows in held.items() if len(rows)}
    features = {config: _published_features(dataset, config, media) for config in frames}
    facts = compute_stats(frames, load_provenance(dataset), sizes)
    return render_card(facts, repo_id, media=media, features=features)


def render_card(
    facts: DatasetStats, repo_id: str, *, media: str, features: Mapping[str, Mapping[str, Any]]
) -> RenderedCard:
    """The card for these facts; `features` are each config's columns as `datasets` has them."""
    from huggingface_hub import DatasetCard

    shown = [h for h in facts.histograms if h.constant is None]
    pictures = {f"figures/{h.name}.png": h for h in shown}
    card = DatasetCard.from_template(
        card_data=card_data(facts, repo_id, features),
        template_str=load_template("dataset.md.jinja"),
        repo_id=repo_id,
        media=media,
        facts=facts,
        build=facts.provenance,
        pictures=pictures,
        constants=[h for h in facts.histograms if h.constant is not None],
        not_measured=NOT_MEASURED,
    )
    text = re.sub(r"\n{3,}", "\n\n", str(card))
    files = {name: histogram_png(h.values, h.title, h.unit) for name, h in pictures.items()}
    carried = facts.provenance.to_json().encode()
    return RenderedCard({"README.md": text.encode(), PROVENANCE_FILENAME: carried, **files})


def card_data(facts: DatasetStats, repo_id: str, features: Mapping[str, Mapping[str, Any]]) -> Any:
    """The YAML on top of the card: what the Hub and `datasets` read."""
    from huggingface_hub import DatasetCardData

    licences = [share.source_text for share in facts.licences]
    licence = common_licence(licences)
    return DatasetCardData(
        license=licence,
        license_name="per-clip" if licence == "other" else None,
        language=["en"] if facts.is_english else None,
        task_categories=["text-to-video"],
        size_categories=[size_category(facts.clips)],
        pretty_name=repo_id.split("/")[1],
        tags=["video", "captions", "brickfilm"],
        configs=[config_yaml_entry(config, facts.split_names(config)) for config in features],
        dataset_info=[
            _dataset_info(facts, config, columns) for config, columns in features.items()
        ],
    )


def size_category(rows: int) -> str:
    """The Hub's word for so many rows."""
    return next((word for limit, word in SIZE_CATEGORIES if rows < limit), "1M<n<10M")


def load_template(name: str) -> str:
    """A template of `cards/`: inside the installed package, or at the top of the clone."""
    packaged = resources.files("brickfilm") / "cards" / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[3] / "cards" / name).read_text(encoding="utf-8")


def _dataset_info(facts: DatasetStats, config: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns and rows of a config; `datasets` checks what it loads against the row counts."""
    from datasets import Features

    splits = [s for s in facts.splits if s.config == config]
    size = sum(s.bytes for s in splits)
    return {
        "config_name": config,
        "features": Features.from_dict(dict(columns))._to_yaml_list(),
        "splits": [{"name": s.split, "num_bytes": s.bytes, "num_examples": s.rows} for s in splits],
        "download_size": size,
        "dataset_size": size,
    }


def _published_features(dataset: SavedDataset, config: str, media: str) -> dict[str, Any]:
    """The columns that a push writes: the media column goes where only references do."""
    split = dataset.splits(config)[0]
    with dataset.open_parquet(dataset.files[config, split][0]) as file:
        columns = hf_features(file.schema_arrow)
    if media == "none":
        columns.pop(MEDIA_COLUMN[config], None)
    return columns
