"""Render the dataset card: Markdown with YAML metadata, and its histograms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brickfilm.dataset import config_yaml_entry
from brickfilm.dataset.data_files import SplitKey
from brickfilm.dataset.parquet import hf_features
from brickfilm.dataset.reader import SavedDataset
from brickfilm.hub.publish.histograms import histogram_png
from brickfilm.hub.publish.provenance import PROVENANCE_FILENAME, load_provenance
from brickfilm.hub.publish.stats import DatasetStats, compute_stats
from brickfilm.schema.cards import read_card_template
from brickfilm.schema.columns import MEDIA_COLUMN
from brickfilm.schema.licences import common_licence

CARD_FILENAME = "README.md"
NOT_MEASURED = "not measured"
SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)
"""The Hub's size categories, by their upper bound."""


@dataclass(frozen=True)
class RenderedCard:
    """A card, its figures and its provenance, as files of a repository."""

    files: Mapping[str, bytes]

    @property
    def text(self) -> str:
        return self.files[CARD_FILENAME].decode()


def dataset_card(
    dataset: SavedDataset, repo_id: str, *, media: str, sizes: Mapping[SplitKey, int]
) -> RenderedCard:
    """Render the card of a dataset to be published; `sizes` are bytes by config and split."""
    frames = {c: rows for c, rows in dataset.to_pandas_by_config().items() if len(rows)}
    features = {config: _published_features(dataset, config, media) for config in frames}
    stats = compute_stats(frames, load_provenance(dataset), sizes)
    return render_card(stats, repo_id, media=media, features=features)


def render_card(
    stats: DatasetStats, repo_id: str, *, media: str, features: Mapping[str, Mapping[str, Any]]
) -> RenderedCard:
    """Render the card; `features` are each config's columns as `datasets` writes them."""
    from huggingface_hub import DatasetCard

    figures = {f"figures/{h.name}.png": h for h in stats.histograms if h.constant is None}
    card = DatasetCard.from_template(
        card_data=card_data(stats, repo_id, features),
        template_str=read_card_template("brickfilm", "dataset.md.jinja"),
        repo_id=repo_id,
        media=media,
        stats=stats,
        provenance=stats.provenance,
        figures=figures,
        constants=[h for h in stats.histograms if h.constant is not None],
        not_measured=NOT_MEASURED,
    )
    text = re.sub(r"\n{3,}", "\n\n", str(card))
    pictures = {name: histogram_png(h.values, h.title, h.unit) for name, h in figures.items()}
    provenance = stats.provenance.to_json().encode()
    return RenderedCard({CARD_FILENAME: text.encode(), PROVENANCE_FILENAME: provenance, **pictures})


def card_data(stats: DatasetStats, repo_id: str, features: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return the card's YAML metadata, which the Hub and `datasets` read."""
    from huggingface_hub import DatasetCardData

    licence = common_licence(usage.source_text for usage in stats.licences)
    return DatasetCardData(
        license=licence,
        license_name="per-clip" if licence == "other" else None,
        language=["en"] if stats.is_english else None,
        task_categories=["text-to-video"],
        size_categories=[size_category(stats.clips)],
        pretty_name=repo_id.split("/")[1],
        tags=["video", "captions", "brickfilm"],
        configs=[config_yaml_entry(config, stats.split_names(config)) for config in features],
        dataset_info=[
            _dataset_info(stats, config, columns) for config, columns in features.items()
        ],
    )


def size_category(rows: int) -> str:
    """Return the Hub's size category for a number of rows."""
    return next((category for bound, category in SIZE_CATEGORIES if rows < bound), "1M<n<10M")


def _dataset_info(stats: DatasetStats, config: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns and row counts of a config; `datasets` checks the counts on loading."""
    from datasets import Features

    splits = [s for s in stats.splits if s.config == config]
    size = sum(s.bytes for s in splits)
    return {
        "config_name": config,
        "features": Features.from_dict(dict(columns))._to_yaml_list(),
        "splits": [{"name": s.split, "num_bytes": s.bytes, "num_examples": s.rows} for s in splits],
        "download_size": size,
        "dataset_size": size,
    }


def _published_features(dataset: SavedDataset, config: str, media: str) -> dict[str, Any]:
    """Return the columns that a push writes: all, or without media for references."""
    split = dataset.splits(config)[0]
    with dataset.open_parquet(dataset.files[config, split][0]) as file:
        columns = hf_features(file.schema_arrow)
    if media == "none":
        columns.pop(MEDIA_COLUMN[config], None)
    return columns
