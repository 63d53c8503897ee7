"""Tiny clips in several shards, on the local Hub or here, and a recipe that streams them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from finetune.config import Recipe
from finetune.data.hub_stream import HubStream, StreamedConfig
from tests.kit.toy_clips import Toy, captions, write_dataset

REPO = "maker/clips"


def write_shards(folder: Path, shards: Sequence[Sequence[Toy]]) -> Path:
    """Write a parquet file for each shard, its clips in row groups of two; return the folder."""
    for number, clips in enumerate(shards):
        name = f"train-{number:05d}-of-{len(shards):05d}"
        write_dataset(folder, list(clips), name=name, group=2)
    return folder


def push_shards(folder: Path, shards: Sequence[Sequence[Toy]]) -> str:
    """Publish such a dataset on the test's Hub; return the commit."""
    api = HfApi()
    api.create_repo(REPO, repo_type="dataset", exist_ok=True)
    write_shards(folder, shards)
    return str(api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=folder).oid)


def local_stream(folder: Path) -> HubStream:
    """Return the stream of written shards, read from this disk."""
    from datasets import load_dataset

    files = sorted(map(str, folder.glob("clips/*.parquet")))
    rows = load_dataset("parquet", data_files=files, split="train", streaming=True)
    return HubStream(REPO, "0" * 40, (StreamedConfig("clips", rows, "clips"),))


def toy_shards(shards: int, clips: int, **settings: Any) -> list[list[Toy]]:
    """Return clips with captions that differ."""
    texts = captions(shards * clips)
    return [
        [Toy(caption=text, **settings) for text in texts[n * clips : (n + 1) * clips]]
        for n in range(shards)
    ]


def streaming(make_recipe: Callable[..., Recipe], **fields: Any) -> Recipe:
    """Return the toy recipe, streamed through a buffer of three clips."""
    settings: dict[str, Any] = {"dataset": REPO, "streaming": True, "latents": "online"}
    return make_recipe(**{**settings, "shuffle_buffer": 3, **fields})
