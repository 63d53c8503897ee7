"""Card of a saved dataset: the YAML that `load_dataset(folder)` needs, and one line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brickfilm.schema.columns import CONFIGS


def render_saved_card(splits: Mapping[str, Sequence[str]], clips: int, content_digest: str) -> str:
    """Return the README.md of a dataset with these splits by config and this number of clips.

    content_digest: digest of the rows. `load_dataset` caches by the card's configs, wherever the
    folder is: without the digest, it would return another dataset of ours from its cache.
    A published dataset gets the longer card of `brickfilm.hub.publish.card`.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    description = {"description": f"rows {content_digest}"}
    data = DatasetCardData(
        configs=[
            config_yaml_entry(config, names) | description for config, names in splits.items()
        ],
        task_categories=["text-to-video"],
    )
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n# Captioned clips\n\n{clips} clips.\n"))


def config_yaml_entry(config: str, splits: Sequence[str]) -> dict[str, Any]:
    """Return a config's entry in the YAML of a card: its name and the files of each split."""
    files = [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in splits]
    default = {"default": True} if config == CONFIGS[0] else {}
    return {"config_name": config, "data_files": files, **default}
