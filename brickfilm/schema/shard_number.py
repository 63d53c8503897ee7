"""Numbers of shards as a user writes them: 'i/n', from 0/n to n-1/n."""

from __future__ import annotations

from dataclasses import dataclass

from brickfilm.errors import UsageError


@dataclass(frozen=True)
class ShardNumber:
    """Part `index` of `count` parts, from 0."""

    index: int
    count: int


def parse_shard(text: str) -> ShardNumber:
    """Return index and count of 'i/n'; raise UsageError for anything else."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise UsageError(f"shard {text!r}: write i/n, as 0/16 for the first of 16")
    return check_shard(int(index), int(count))


def check_shard(index: int, count: int) -> ShardNumber:
    """Return the shard; raise UsageError if there is none of this number."""
    if not 0 <= index < count:
        raise UsageError(
            f"shard {index}/{count} does not exist: of n shards, i is from 0 to n-1, as 0/4, 1/4, "
            "2/4 and 3/4"
        )
    return ShardNumber(index, count)
