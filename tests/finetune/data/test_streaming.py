"""Streamed rows and batches: each clip once in an epoch, and the same ones after a resumption."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch
from torch import Tensor

from finetune.config import Bucket, Recipe
from finetune.data.hub_stream import HubStream
from finetune.data.loader import Batch
from finetune.data.sampler import SamplerState
from finetune.data.stream_batches import StepRanks, StreamBatches, first_state
from finetune.data.stream_rows import Position, StreamRow, first_position, shuffled_rows
from finetune.errors import DataError
from tests.kit.streamed_dataset import local_stream, streaming, toy_shards, write_shards
from tests.kit.toy_clips import Toy, captions

MEDIA = b"no video"
ALONE = StepRanks()


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> HubStream:
    """Five shards of four rows, whose media are not decoded."""
    folder = tmp_path_factory.mktemp("shards")
    return local_stream(write_shards(folder, toy_shards(5, 4, media=MEDIA)))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> HubStream:
    """Four shards of three clips: wide, tall and too short ones."""
    folder = tmp_path_factory.mktemp("clips")
    sizes = [Toy(), Toy(height=256, width=144), Toy(frames=3)]
    texts = iter(captions(12))
    shards = [
        [Toy(frames=t.frames, height=t.height, width=t.width, caption=next(texts)) for t in sizes]
        for _ in range(4)
    ]
    return local_stream(write_shards(folder, shards))


def read(
    stream: HubStream,
    count: int,
    *,
    nodes: int = 1,
    position: Position | None = None,
    node: int = 0,
) -> list[tuple[StreamRow, Position]]:
    position = position or first_position(stream, node)
    rows = shuffled_rows(stream, nodes=nodes, seed=1, size=3, position=position)
    return list(islice(rows, count))


def caption(row: StreamRow) -> str:
    assert row.values
    return str(row.values["caption"])


def test_readers_share_an_epoch_and_shuffle_it(stream: HubStream) -> None:
    readers = [[row for row, _ in read(stream, 24, nodes=2, node=node)] for node in range(2)]
    epochs = [
        Counter(caption(row) for rows in readers for row in rows if row.epoch == epoch)
        for epoch in range(2)
    ]
    assert epochs[0] == Counter(captions(20))
    first = [caption(row) for row in readers[0]]
    assert first[:12] != sorted(first[:12], key=captions(20).index)  # shuffled within shards too


@pytest.mark.parametrize(
    "number",
    [3, pytest.param(11, marks=pytest.mark.slow)],  # amid a block; at an epoch's end
)
def test_reading_goes_on_from_any_position(stream: HubStream, number: int) -> None:
    whole = read(stream, 17, nodes=2)
    position = json.loads(json.dumps(whole[number][1]))
    after = [row for row, _ in read(stream, 5, nodes=2, position=position)]
    assert after == [row for row, _ in whole[number + 1 : number + 6]]


def batches(
    stream: HubStream, recipe: Recipe, state: dict[str, Any], ranks: StepRanks = ALONE
) -> StreamBatches:
    return StreamBatches(stream, recipe, 7, SamplerState(stream=state), workers=0, ranks=ranks)


def content(batch: Batch) -> tuple[object, ...]:
    """Return what a step is made of."""
    pixels = [float(sample.window["pixels"].double().sum()) for sample in batch.samples]
    names = [sample.caption for sample in batch.samples]
    return batch.spec.aspect_bucket.name, batch.seeds, names, pixels


def test_batches_go_on_from_any_state_whatever_waited(
    clips: HubStream, make_recipe: Callable[..., Recipe]
) -> None:
    recipe = streaming(make_recipe, workers=2)
    begun = first_state(clips, recipe, ALONE)
    assert len(begun["readers"]) == 2
    whole = list(islice(batches(clips, recipe, begun), 5))
    assert {len(batch) for batch in whole} == {2}
    assert len({batch.spec.aspect_bucket.name for batch in whole}) == 2
    states = [json.loads(json.dumps(batch.spec.sampler_state.stream)) for batch in whole]
    number = next(n for n, state in enumerate(states) if state["given"] > len(state["waiting"]) > 0)
    resumed = list(islice(batches(clips, recipe, states[number]), 4 - number))
    assert list(map(content, resumed)) == list(map(content, whole[number + 1 :]))


def test_ranks_take_steps_of_one_bucket_and_share_the_clips(
    clips: HubStream, make_recipe: Callable[..., Recipe]
) -> None:
    recipe, barrier = streaming(make_recipe), Barrier(2, timeout=60)
    bids: dict[int, Tensor] = {}

    def rank(number: int) -> list[Batch]:
        def add(values: Tensor) -> Tensor:
            bids[number] = values
            barrier.wait()
            total = bids[0] + bids[1]
            barrier.wait()
            return total

        ranks = StepRanks(number, 2, add)
        state = first_state(clips, recipe, ranks)
        return list(islice(batches(clips, recipe, state, ranks), 2))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(rank, range(2))
    assert [b.spec.aspect_bucket for b in first] == [b.spec.aspect_bucket for b in second]
    taken = Counter(s.caption for batch in (*first, *second) for s in batch.samples)
    assert len(taken) == 8 and set(taken.values()) == {1}  # all that fit of the first epoch


@pytest.mark.slow
def test_a_rare_shape_gets_an_incomplete_batch_in_the_end(
    clips: HubStream, make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.data.stream_batches.MOST_WAITING", 0)
    recipe = streaming(make_recipe, buckets=(Bucket(resolution="144p", frames=4, batch_size=3),))
    made = list(islice(batches(clips, recipe, first_state(clips, recipe, ALONE)), 5))
    assert {len(batch) for batch in made} == {2, 3}


def test_rows_that_fit_no_bucket_are_counted_and_named(
    clips: HubStream, make_recipe: Callable[..., Recipe], caplog: pytest.LogCaptureFixture
) -> None:
    recipe = streaming(make_recipe)
    *_, last = islice(batches(clips, recipe, first_state(clips, recipe, ALONE)), 4)
    assert last.spec.sampler_state.stream
    counts = last.spec.sampler_state.stream["counts"]
    assert counts["too short for every bucket"] == 4 and counts["144p x 4"] == 8
    assert caplog.text.count("leaves out rows: too short for every bucket (clip-2 of") == 1


def test_a_dataset_without_a_usable_clip_ends_the_run(
    clips: HubStream, make_recipe: Callable[..., Recipe]
) -> None:
    recipe = streaming(make_recipe, buckets=(Bucket(resolution="144p", frames=64, batch_size=1),))
    state = first_state(clips, recipe, ALONE)
    with pytest.raises(DataError, match=r"none of the first \d+ rows .* \(25 too short"):
        next(iter(batches(clips, recipe, state)))


def test_damaged_media_are_skipped_by_name(
    tmp_path: Path, make_recipe: Callable[..., Recipe]
) -> None:
    good, bad = Toy(), Toy(media=MEDIA)
    stream = local_stream(write_shards(tmp_path, [[good, bad, good]]))
    recipe = streaming(make_recipe)
    batch = next(iter(batches(stream, recipe, first_state(stream, recipe, ALONE))))
    skipped = [*batch.skipped]
    assert len(batch) == 2 and all("clip-1 of maker/clips: does not decode" in s for s in skipped)
    assert isinstance(batch.samples[0].window["pixels"], torch.Tensor)
