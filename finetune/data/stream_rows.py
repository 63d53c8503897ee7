"""Read the rows of one reader's shards endlessly, shuffled by a buffer, from any position on.

The buffer of `datasets` is not part of its state: a resumed stream would fill it anew, and go on
with other rows. Here the buffer is a block of consecutive rows in a random order, which a position
names by its first row; while one block is given, the next one is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from finetune.data.hub_stream import HubStream, StreamedConfig, node_rows, stream_errors

Position = dict[str, Any]
"""A reader's place, as JSON: its number, its block, and the rows given of that."""


class StreamRow(NamedTuple):
    """A row as `datasets` gives it; none stands for an epoch without rows."""

    config: StreamedConfig
    epoch: int
    values: Mapping[str, Any] | None


def first_position(stream: HubStream, node: int, epoch: int = 0) -> Position:
    """Return the position of a reader at the beginning of an epoch."""
    states = [{"epoch": epoch, "seen": 0, "rows": None} for _ in stream.configs]
    return {"node": node, "block": 0, "given": 0, "at": {"turn": 0, "configs": states}}


def epoch_of(position: Position) -> int:
    """Return the latest epoch of a position."""
    return max(int(state["epoch"]) for state in position["at"]["configs"])


class _ConfigRows:
    """Rows of a configuration, epoch after epoch; None at the end of each."""

    def __init__(
        self, stream: HubStream, number: int, node_of: tuple[int, int], seed: int, state: Any
    ) -> None:
        self._config, self._repo_id = stream.configs[number], stream.repo_id
        self._rows = node_rows(self._config.rows, seed, *node_of)
        self._epoch, self._seen = int(state["epoch"]), int(state["seen"])
        self._rows.set_epoch(self._epoch)
        if self._seen:
            self._rows.load_state_dict(state["rows"])

    def state(self) -> dict[str, Any]:
        """Return the place before the next row."""
        rows = self._rows.state_dict() if self._seen else None
        return {"epoch": self._epoch, "seen": self._seen, "rows": rows}

    def __iter__(self) -> Iterator[StreamRow | None]:
        while True:
            rows = self._rows.iter(batch_size=1)  # `iter()` would divide by torch's workers again
            while (batch := self._next(rows)) is not None:
                self._seen += 1
                yield self._row({name: values[0] for name, values in batch.items()})
            if not self._seen:
                yield self._row(None)
            self._epoch, self._seen = self._epoch + 1, 0
            self._rows.set_epoch(self._epoch)
            yield None

    def _next(self, rows: Iterator[Any]) -> Any:
        with stream_errors(self._repo_id):
            return next(rows, None)

    def _row(self, values: Mapping[str, Any] | None) -> StreamRow:
        return StreamRow(self._config, self._epoch, values)


class _ReaderRows:
    """Rows of all configurations in turn; None where an epoch of one ends."""

    def __init__(self, stream: HubStream, nodes: int, seed: int, position: Position) -> None:
        states, node_of = position["at"]["configs"], (int(position["node"]), nodes)
        self._configs = [
            _ConfigRows(stream, number, node_of, seed, state) for number, state in enumerate(states)
        ]
        self._iterators = [iter(config) for config in self._configs]
        self._turn = int(position["at"]["turn"])

    def state(self) -> dict[str, Any]:
        """Return the place before the next row."""
        return {"turn": self._turn, "configs": [config.state() for config in self._configs]}

    def next(self) -> StreamRow | None:
        """Return the next row."""
        turn, self._turn = self._turn, (self._turn + 1) % len(self._configs)
        return next(self._iterators[turn])


class _Block:
    """Consecutive rows, up to `size` or the end of an epoch."""

    def __init__(self, source: _ReaderRows, size: int) -> None:
        self.at, self.rows = source.state(), list[StreamRow | None]()
        self._source, self._size, self._is_complete = source, size, False

    def read(self) -> bool:
        """Read one more row; tell if there may be others."""
        if not self._is_complete:
            row = self._source.next()
            self.rows += [row] if row else []
            self._is_complete = row is None or len(self.rows) == self._size
        return not self._is_complete

    def fill(self) -> None:
        """Read all other rows."""
        while self.read():
            pass


def shuffled_rows(
    stream: HubStream, *, nodes: int, seed: int, size: int, position: Position
) -> Iterator[tuple[StreamRow, Position]]:
    """Yield rows from a position on, endlessly, each with the position after it.

    nodes: number of readers of all ranks. size: rows of a block. Raise DataError for an outage.
    """
    source = _ReaderRows(stream, nodes, seed, position)
    number, given = int(position["block"]), int(position["given"])
    block = _Block(source, size)
    while True:
        block.fill()
        following = _Block(source, size)
        order = np.random.default_rng([seed, int(position["node"]), number])
        for count, place in enumerate(order.permutation(len(block.rows)).tolist(), 1):
            following.read()
            row, block.rows[place] = block.rows[place], None  # free its media
            if count > given:
                assert row
                is_last = count == len(block.rows)
                at = following.at if is_last else block.at
                after = {"block": number + is_last, "given": 0 if is_last else count, "at": at}
                yield row, {"node": position["node"], **after}
        block, number, given = following, number + 1, 0
