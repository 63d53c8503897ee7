"""Turn streamed rows into samples, each in its aspect bucket, or into the reason why not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np
import torch

from brickfilm.errors import BrickfilmError
from brickfilm.schema.buckets import DROP_REASONS, NO_CAPTION
from finetune.config import Recipe
from finetune.data.buckets import assign_buckets, recipe_aspect_buckets
from finetune.data.cache_layout import frames_seen
from finetune.data.hub_stream import HubStream
from finetune.data.parse_row import Place, first_column, parse_row
from finetune.data.row_media import check_digest
from finetune.data.rows import FILE, MEDIA_COLUMNS, DatasetRow
from finetune.data.sampler import sample_seed
from finetune.data.samples import LoadTimes, Sample, load_pixels, sample_window
from finetune.data.stream_rows import Position, StreamRow, shuffled_rows
from finetune.errors import BadSample, DataError
from finetune.models import find_family

UNREADABLE = "cannot be read"


class StreamItem(NamedTuple):
    """A row as a sample in its aspect bucket, or with the reason why it is none."""

    position: Position  # of its reader, after it
    epoch: int
    bucket: int = -1  # number of the sample's aspect bucket
    seed: int = 0
    sample: Sample | None = None
    problem: str = ""  # the reason of a row without a sample
    detail: str = ""  # the row, and what is wrong with it
    times: LoadTimes = LoadTimes()

    def timed_since(self, began: float) -> StreamItem:
        """Return the item with the time since `began`, all of which but decoding is reading."""
        seconds = time.perf_counter() - began - self.times.decode_s
        return self._replace(times=replace(self.times, read_s=seconds))


@dataclass(frozen=True)
class StreamReaders(torch.utils.data.IterableDataset[StreamItem | BrickfilmError]):
    """The readers of one rank, which take turns; divided among the loader's processes.

    positions: of the reader of the first item, the second, ... before their next rows. nodes:
    number of readers of all ranks. given: items that were given before from these positions on; of
    them only those in `waiting` are loaded again.
    """

    stream: HubStream
    recipe: Recipe
    seed: int
    nodes: int
    positions: Sequence[Position]
    given: int = 0
    waiting: frozenset[int] = frozenset()

    def __iter__(self) -> Iterator[StreamItem | BrickfilmError]:
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        readers = {n: self._read(n) for n in range(first, len(self.positions), step)}
        while True:
            for reader in readers.values():
                try:
                    yield next(reader)
                except BrickfilmError as error:
                    yield error
                    return

    def _read(self, reader: int) -> Iterator[StreamItem]:
        rows = shuffled_rows(
            self.stream,
            nodes=self.nodes,
            seed=self.seed,
            size=self.recipe.shuffle_buffer,
            position=self.positions[reader],
        )
        for number in count(reader, len(self.positions)):
            began = time.perf_counter()
            row, position = next(rows)
            if number < self.given and number not in self.waiting:
                yield StreamItem(position, row.epoch)
            else:
                yield self._load(row, position).timed_since(began)

    def _load(self, row: StreamRow, position: Position) -> StreamItem:
        item = StreamItem(position, row.epoch)
        if row.values is None:
            return item._replace(problem="an epoch of a reader without rows")
        media = RowMedia(self.stream, row)
        try:
            parsed = media.parse()
            if not parsed.caption.strip():
                return item._replace(problem=NO_CAPTION, detail=media.name)
            item = item._replace(seed=self._seed(parsed, row.epoch))
            number = self._assign(parsed, item.seed)
            if number in DROP_REASONS:
                size = f"{parsed.frames} frames of {parsed.height}x{parsed.width}"
                return item._replace(problem=DROP_REASONS[number], detail=f"{media.name}: {size}")
            sample = self._sample(parsed, media, number, item.seed)
        except BadSample as error:
            return item._replace(problem=UNREADABLE, detail=f"{media.name}: {error}")
        return item._replace(bucket=number, sample=sample, times=sample.times)

    def _seed(self, row: DatasetRow, epoch: int) -> int:
        """Return the seed of a sample: that of its clip, whichever reader reads it."""
        return sample_seed(self.seed, epoch, int.from_bytes(row.sha256[:8], "big"))

    def _assign(self, row: DatasetRow, seed: int) -> int:
        """Return the number of the row's aspect bucket, or a key of `DROP_REASONS`."""
        buckets = self.recipe.buckets
        frames = frames_seen(row, self.recipe)
        shape = np.array([frames]), np.array([row.height]), np.array([row.width])
        uniform = np.random.default_rng([seed, 1]).random((len(buckets), 1))
        sampling = self.recipe.frame_sampling
        return int(assign_buckets(*shape, buckets, sampling=sampling, uniform=uniform)[0])

    def _sample(self, row: DatasetRow, media: RowMedia, number: int, seed: int) -> Sample:
        aspect_bucket = recipe_aspect_buckets(self.recipe)[number]
        family = find_family(self.recipe.family)
        window, fps = sample_window(row, aspect_bucket, seed, self.recipe, family)
        pixels, times = load_pixels(
            row, lambda: media.checked(row.sha256), window, aspect_bucket.size, self.recipe
        )
        return Sample({"pixels": pixels}, {}, row.caption, fps, times)


class RowMedia:
    """The media of a row, read once."""

    def __init__(self, stream: HubStream, row: StreamRow) -> None:
        self._stream, self._row = stream, row
        self._values = values = row.values or {}
        self._column = first_column(MEDIA_COLUMNS, values)
        self._bytes: bytes | None = None
        self.name = f"{values.get('id') or values.get('__key__') or 'a row'} of {stream.repo_id}"

    def parse(self) -> DatasetRow:
        """Return the row's values; raise BadSample if they are wrong, DataError without media."""
        values = self._values
        if self._column is None:
            raise DataError(
                f"{self._stream.repo_id} has no column of media ({', '.join(MEDIA_COLUMNS)}), but "
                f"{', '.join(values)}: see docs/dataset-schema.md"
            )
        place = Place(self._stream.repo_id, FILE, FILE, self.name)
        parsed = parse_row(values, place, is_image=self._column == "image", read=self.read)
        if isinstance(parsed, BadSample):
            raise BadSample(str(parsed).removeprefix(f"{self.name}: "))
        return parsed

    def read(self) -> bytes:
        """Return the encoded media."""
        if self._bytes is None:
            self._bytes = self._stream.media(self._row.config, self._values.get(self._column or ""))
        return self._bytes

    def checked(self, sha256: bytes) -> bytes:
        """Return the encoded media; raise BadSample if they are not those of the row."""
        return check_digest(self.read(), sha256)
