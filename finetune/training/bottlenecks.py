"""Name what holds a run up: reading clips from network or disk, decoding, or encoding them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch

from finetune.config import Recipe
from finetune.data.samples import LoadTimes

log = logging.getLogger(__name__)

LONG_WAIT = 0.2  # share of a rank's time that it waits for data
LONG_ENCODING = 0.5  # share that encoders take of it
MB = 1e6


class DeviceClock:
    """Sums the seconds that parts of a step take on the device."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._seconds = 0.0
        self._events: list[tuple[Any, Any]] = []  # torch.cuda.Event

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the time of the operations within, on a GPU that of the GPU."""
        if self._is_cuda:
            began, ended = (cast(Any, torch.cuda).Event(enable_timing=True) for _ in range(2))
            began.record()
            yield
            ended.record()
            self._events.append((began, ended))
            return
        start = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - start

    def take(self) -> float:
        """Return the seconds since the last call."""
        if self._events:
            torch.cuda.synchronize()
        milliseconds = (float(began.elapsed_time(ended)) for began, ended in self._events)
        seconds = self._seconds + sum(milliseconds) / 1000
        self._seconds, self._events = 0.0, []
        return seconds


class Bottlenecks:
    """Compares what one rank waits for, over the steps since it was last read."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._clear()
        self._warned: set[str] = set()

    def _clear(self) -> None:
        self._seconds = self._waited = 0.0
        self._clips, self._times = 0, LoadTimes()

    def add(self, seconds: float, waited: float, clips: int, times: LoadTimes) -> None:
        """Count a step: its seconds, those of them without data, and what loading took."""
        self._seconds, self._waited = self._seconds + seconds, self._waited + waited
        self._clips, self._times = self._clips + clips, self._times + times

    def take(self, encode_s: float) -> dict[str, float]:
        """Return this rank's means of the steps since the last call; nothing if none was loaded.

        encode_s: seconds of the encoders in these steps. Shares are of the wall time; `read_s` and
        `decode_s` are seconds of a loader process for each clip, `read_mb_s` is of all of them.
        """
        seconds, clips, times = max(self._seconds, 1e-9), max(self._clips, 1), self._times
        waited = self._waited
        self._clear()
        if not times.read_bytes:
            return {}
        return {
            "wait_share": waited / seconds,
            "encode_share": encode_s / seconds,
            "read_s": times.read_s / clips,
            "decode_s": times.decode_s / clips,
            "read_mb_s": times.read_bytes / seconds / MB,
        }

    def warn(self, step: int, of_ranks: Sequence[Mapping[str, float]]) -> None:
        """Log what holds the slowest rank up; again only after it has been something else."""
        found = {}
        waits = [(values.get("wait_share", 0.0), rank) for rank, values in enumerate(of_ranks)]
        wait, rank = max(waits)
        values = of_ranks[rank]
        if wait > LONG_WAIT:
            cause, remedy = self._cause(values)
            found[cause] = (
                f"rank {rank} waits for data {wait:.0%} of the time, for {cause}: "
                f"{values['read_s']:.2g} s of reading for each clip ({values['read_mb_s']:.3g} "
                f"MB/s), {values['decode_s']:.2g} s of decoding: {remedy}"
            )
        elif (share := values.get("encode_share", 0.0)) > LONG_ENCODING:
            streaming = "streaming = false and " if self._recipe.streaming else ""
            found["the encoders"] = (
                f"rank {rank} encodes {share:.0%} of the time: set {streaming}latents = 'cached', "
                "which encodes each clip once"
            )
        for cause, text in found.items():
            if cause not in self._warned:
                log.warning("step %d: %s", step, text)
        self._warned = set(found)

    def _cause(self, values: Mapping[str, float]) -> tuple[str, str]:
        if values["decode_s"] > values["read_s"]:
            return "decoding", "raise workers"
        if self._recipe.streaming:
            return "the network", "raise workers, or download the dataset with streaming = false"
        return "the disk", "raise workers, or copy the dataset to a faster disk"
