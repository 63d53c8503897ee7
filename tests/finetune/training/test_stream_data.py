"""A streamed position in a checkpoint: exact for the same ranks, else the next epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from finetune.config import Recipe
from finetune.data.hub_stream import HubStream
from finetune.data.index import CLIP_DTYPE, Index
from finetune.data.stream_batches import StepRanks, first_state
from finetune.training.stream_data import StreamedData
from tests.kit.streamed_dataset import local_stream, streaming, toy_shards, write_shards

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> HubStream:
    folder = tmp_path_factory.mktemp("shards")
    return local_stream(write_shards(folder, toy_shards(3, 1, media=b"no video")))


def manifest(stream: HubStream, recipe: Recipe, ranks: int) -> dict[str, Any]:
    """Return what a checkpoint in epoch 4 says."""
    states = [first_state(stream, recipe, StepRanks(n, ranks), 4) for n in range(ranks)]
    return {"stream": states, "position": {"144p x 4 @ 0.56": 12}, "position_steps": 6}


def data(stream: HubStream, recipe: Recipe) -> StreamedData:
    index = Index(np.zeros(0, CLIP_DTYPE), np.zeros(0, np.uint8), "", 0, 0)
    return StreamedData(recipe, stream, index)


def test_the_same_ranks_go_on_where_they_were(
    stream: HubStream, make_recipe: MakeRecipe, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = streaming(make_recipe)
    saved = manifest(stream, recipe, 1)
    state = data(stream, recipe).resumed_state(saved, 0)
    assert state.stream == saved["stream"][0]
    assert (state.samples, state.steps) == (12, 6)
    assert not caplog.records


@pytest.mark.parametrize(("ranks", "buffer"), [(2, 3), (1, 5)])
def test_other_ranks_or_another_buffer_begin_the_next_epoch(
    stream: HubStream,
    make_recipe: MakeRecipe,
    caplog: pytest.LogCaptureFixture,
    ranks: int,
    buffer: int,
) -> None:
    saved = manifest(stream, streaming(make_recipe, shuffle_buffer=buffer), ranks)
    recipe = streaming(make_recipe)
    state = data(stream, recipe).resumed_state(saved, 0)
    assert state.stream == first_state(stream, recipe, StepRanks(), 5)
    assert state.samples == 12
    assert f"of {ranks} rank(s) with shuffle_buffer {buffer}, now there are 1 with 3" in caplog.text
    assert "begins epoch 5 anew" in caplog.text


def test_every_reader_has_a_shard_of_its_own(stream: HubStream, make_recipe: MakeRecipe) -> None:
    readers = {
        workers: len(
            first_state(stream, streaming(make_recipe, workers=workers), StepRanks())["readers"]
        )
        for workers in (0, 2, 8)
    }
    assert readers == {0: 1, 2: 2, 8: 3}


def test_ranks_without_a_shard_of_their_own_are_warned_of(
    stream: HubStream, make_recipe: MakeRecipe, caplog: pytest.LogCaptureFixture
) -> None:
    described = data(stream, streaming(make_recipe)).describe(4)
    assert described.startswith("streaming maker/clips at 000000000000: 3 shard(s) for 4 rank(s)")
    assert "3 shard(s) for 4 ranks: each rank reads all of them" in caplog.text
