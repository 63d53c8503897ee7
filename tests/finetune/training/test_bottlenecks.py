"""The log names what a run waits for, by measured times, and once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from finetune.config import Recipe
from finetune.data.samples import LoadTimes
from finetune.training.bottlenecks import Bottlenecks, DeviceClock
from tests.kit.streamed_dataset import streaming

MakeRecipe = Callable[..., Recipe]


def measured(
    bottlenecks: Bottlenecks, times: LoadTimes, waited: float, encode_s: float = 0.0
) -> object:
    """Return the metrics of ten steps of a second with four clips each."""
    for _ in range(10):
        bottlenecks.add(1.0, waited, 4, times)
    return bottlenecks.take(encode_s)


@pytest.mark.parametrize(
    ("times", "streams", "cause"),
    [
        (LoadTimes(2.0, 4_000_000, 0.4), True, "the network: 0.5 s of reading for each clip"),
        (LoadTimes(2.0, 4_000_000, 0.4), False, "the disk: 0.5 s of reading for each clip"),
        (LoadTimes(0.4, 4_000_000, 2.0), True, "decoding: 0.1 s of reading for each clip"),
    ],
)
def test_waiting_is_put_down_to_what_takes_longest(
    make_recipe: MakeRecipe,
    caplog: pytest.LogCaptureFixture,
    times: LoadTimes,
    streams: bool,
    cause: str,
) -> None:
    recipe = streaming(make_recipe) if streams else make_recipe(latents="online")
    bottlenecks = Bottlenecks(recipe)
    fast = measured(bottlenecks, LoadTimes(0.1, 4_000_000, 0.1), 0.0)
    slow = measured(bottlenecks, times, 0.6)
    for step, of_rank_1 in ((10, slow), (20, slow), (30, fast), (40, slow)):
        bottlenecks.warn(step, [fast, of_rank_1])  # type: ignore[list-item]
    warned = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in warned] == ["step 10", "step 40"]
    assert f"rank 1 waits for data 60% of the time, for {cause} (4 MB/s)" in warned[0]


def test_encoders_that_take_most_of_a_step_are_named(
    make_recipe: MakeRecipe, caplog: pytest.LogCaptureFixture
) -> None:
    bottlenecks = Bottlenecks(streaming(make_recipe))
    bottlenecks.warn(10, [measured(bottlenecks, LoadTimes(0.1, 9, 0.1), 0.1, 7.0)])  # type: ignore[list-item]
    assert "rank 0 encodes 70% of the time: set streaming = false and latents" in caplog.text


def test_nothing_is_said_of_cached_latents(make_recipe: MakeRecipe) -> None:
    assert measured(Bottlenecks(make_recipe()), LoadTimes(), 0.9) == {}


def test_a_clock_sums_what_is_measured_until_it_is_read() -> None:
    clock = DeviceClock(torch.device("cpu"))
    for _ in range(2):
        with clock.measure():
            time.sleep(0.01)
    assert clock.take() >= 0.02
    assert clock.take() == 0
