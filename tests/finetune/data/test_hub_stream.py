"""Datasets of the Hub in the forms that people publish, streamed; and what cannot be."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi
from PIL import Image

from finetune.config import Bucket, Recipe
from finetune.data.cache import build_cache
from finetune.data.hub_stream import open_stream
from finetune.data.stream_items import StreamItem, StreamReaders
from finetune.data.stream_rows import first_position
from finetune.errors import ConfigError, DataError
from finetune.planning.plan import plan
from finetune.preflight.streamed_data import StreamView, check_streams
from tests.kit.servers.hub import HubServer
from tests.kit.streamed_dataset import REPO, streaming
from tests.kit.toy_clips import encoded

MakeRecipe = Callable[..., Recipe]
CLIP = Bucket(resolution="144p", frames=4, batch_size=2)
IMAGE = Bucket(resolution="144p", frames=1, batch_size=2)


def items(recipe: Recipe, count: int) -> list[StreamItem]:
    stream = open_stream(recipe)
    readers = StreamReaders(stream, recipe, 7, 1, [first_position(stream, 0)])
    found = []
    for item in islice(readers, count):
        assert isinstance(item, StreamItem), item
        found.append(item)
    return found


def upload(files: dict[str, bytes]) -> None:
    api = HfApi()
    api.create_repo(REPO, repo_type="dataset", exist_ok=True)
    for path, content in files.items():
        api.upload_file(
            path_or_fileobj=content, path_in_repo=path, repo_id=REPO, repo_type="dataset"
        )


def push_columns(config: str, **columns: list[object]) -> None:
    """Publish a configuration with the features that `datasets` gives media."""
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature
    from datasets import Video as VideoFeature

    kinds = {"video": VideoFeature(decode=False), "image": ImageFeature(decode=False)}
    features = Features({name: kinds.get(name, Value("string")) for name in columns})
    Dataset.from_dict(columns, features=features).push_to_hub(REPO, config)


@pytest.mark.slow
def test_clips_and_images_are_read_in_turn_if_buckets_need_both(
    hub: HubServer, make_recipe: MakeRecipe
) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.zeros((144, 256, 3), np.uint8)).save(picture, "PNG")
    clips: list[object] = [{"bytes": encoded(n, 20, 144, 256), "path": None} for n in range(2)]
    images: list[object] = [{"bytes": picture.getvalue(), "path": None}] * 2
    push_columns("clips", video=clips, caption=["a", "b"])
    push_columns("images", image=images, caption=["c", "d"])
    both = items(streaming(make_recipe, buckets=(CLIP, IMAGE), shuffle_buffer=1), 4)
    frames = [item.sample.window["pixels"].shape[0] for item in both if item.sample]
    assert frames == [4, 1, 4, 1]
    assert {item.sample.caption for item in both if item.sample} == set("abcd")
    alone = items(streaming(make_recipe, buckets=(CLIP,)), 3)
    assert {i.sample.caption for i in alone if i.sample} == {"a", "b"}


@pytest.mark.slow
def test_a_table_names_files_of_its_repository_alone(
    hub: HubServer, make_recipe: MakeRecipe
) -> None:
    table = (
        "path,caption,num_frames,height,width,fps\n"
        "0.mp4,wide,20,144,256,24\n"
        "/etc/passwd,outside,20,144,256,24\n"
        "../0.mp4,above,20,144,256,24\n"
        "hf://datasets/other/set/0.mp4,foreign,20,144,256,24\n"
        "none.mp4,missing,20,144,256,24\n"
    )
    upload({"data/train.csv": table.encode().replace(b"path,", b"video,"),
            "data/0.mp4": encoded(0, 20, 144, 256)})  # fmt: skip
    found = items(streaming(make_recipe, shuffle_buffer=1), 5)
    assert [item.sample.caption for item in found if item.sample] == ["wide"]
    details = [item.detail for item in found if not item.sample]
    assert all("not in their own folder or repository" in text for text in details[:3])
    assert "there is no file data/none.mp4" in details[3]


@pytest.mark.slow
def test_what_cannot_be_streamed_is_named(
    hub: HubServer, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = streaming(make_recipe)
    with pytest.raises(DataError, match="maker/clips: 404 from the Hub; it does not exist"):
        open_stream(recipe)
    text: list[object] = ["a"]
    push_columns("de", video=[None], caption=text)
    push_columns("en", video=[None], caption=text)
    with pytest.raises(ConfigError, match="set dataset_config to one of de, en"):
        open_stream(recipe)
    with pytest.raises(DataError, match=r"has no commit 0{40} any more, .* --new-data begins"):
        open_stream(recipe, "0" * 40)
    english = streaming(make_recipe, dataset_config="en")
    (item,) = items(english, 1)
    assert item.problem == "cannot be read" and "neither bytes nor a path" in item.detail
    with pytest.raises(ConfigError, match=f"{tmp_path} is none: set streaming = false"):
        plan(streaming(make_recipe, dataset=str(tmp_path)))


def test_a_recipe_that_streams_encodes_online_and_caches_nothing(make_recipe: MakeRecipe) -> None:
    with pytest.raises(ConfigError, match="set latents = 'online', or streaming = false"):
        streaming(make_recipe, latents="cached")
    with pytest.raises(ConfigError, match="dataset_config 'en' is of streaming"):
        make_recipe(dataset_config="en")
    recipe = streaming(make_recipe)
    with pytest.raises(ConfigError, match="caches none: start the training"):
        build_cache(recipe)
    lines = plan(recipe, gpu="h100", gpus=2).splitlines()
    assert any(line.startswith("streaming  ") and "clips/s from the Hub" in line for line in lines)
    assert not any(line.startswith("cache ") for line in lines)


def test_nodes_must_see_the_same_commit_and_ranks_want_a_shard_each() -> None:
    views = [StreamView(node=n, revision="a" * 40, shards=4, seconds=1.0) for n in range(2)]
    assert check_streams(views, 4).status == "ok"
    assert check_streams(views, 8).status == "warning"
    other = StreamView(node=1, revision="b" * 40, shards=4)
    assert check_streams([views[0], other], 4).status == "failed"
    lost = StreamView(node=1, problem="no network")
    assert "node 1: no network" in check_streams([views[0], lost], 4).detail


@pytest.mark.slow
def test_rows_without_sizes_are_measured(hub: HubServer, make_recipe: MakeRecipe) -> None:
    clip: list[object] = [{"bytes": encoded(0, 20, 144, 256), "path": None}]
    push_columns("default", video=clip, text=["a castle"])
    (item,) = items(streaming(make_recipe), 1)
    assert item.sample and item.sample.fps == 12  # 24 at interval 2
    assert item.times.read_bytes and item.times.decode_s > 0
