"""BuildShard: one of several parts of a build, each in a work folder of its own below `shards/`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from brickfilm.errors import UsageError
from brickfilm.schema.plural import pluralize
from brickfilm.schema.shard_number import check_shard, parse_shard

SHARDS_FOLDER = "shards"
FOLDER_NAME = re.compile(r"(\d+)-of-(\d+)")


@dataclass(frozen=True, order=True)
class BuildShard:
    """Part `index` of `count` parts, from 0; the hash of its source id gives each video to one."""

    count: int
    index: int

    def __post_init__(self) -> None:
        check_shard(self.index, self.count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard of 'i/n'; raise UsageError for anything else."""
        number = parse_shard(text)
        return cls(number.count, number.index)

    def folder(self, work: Path) -> Path:
        """Return the shard's work folder below that of the whole build."""
        return work / SHARDS_FOLDER / f"{self.index}-of-{self.count}"

    def owns(self, source_id: str) -> bool:
        """Return True if the video of this source id belongs to the shard."""
        digest = hashlib.sha256(source_id.encode(errors="backslashreplace")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index


def find_shards(work: Path) -> dict[BuildShard, Path]:
    """Return the shards of a work folder that were begun, with their folders, in order."""
    matches = [
        (FOLDER_NAME.fullmatch(path.name), path) for path in work.glob(f"{SHARDS_FOLDER}/*-of-*")
    ]
    found = {BuildShard(int(m[2]), int(m[1])): path for m, path in matches if m and path.is_dir()}
    return dict(sorted(found.items()))


def check_shard_count(work: Path, count: int) -> None:
    """Raise UsageError if the work folder has shards of another count."""
    if others := sorted({shard.count for shard in find_shards(work)} - {count}):
        raise UsageError(
            f"{str(work)!r} has {pluralize(others[0], 'shard')}, not {count}: build them as "
            f"--shard i/{others[0]}; or, to re-shard, run `brickfilm merge`, delete "
            f"{str(work / SHARDS_FOLDER)!r} and build as --shard i/{count}: new shards begin with "
            "the merged answers"
        )


def check_unsharded(work: Path) -> None:
    """Raise UsageError if the work folder has shards: a build beside them would pay anew."""
    if shards := find_shards(work):
        first = next(iter(shards))
        raise UsageError(
            f"{str(work)!r} is built in {pluralize(first.count, 'shard')}: add --shard "
            f"i/{first.count}, or join them with `brickfilm merge`; after that, delete "
            f"{str(work / SHARDS_FOLDER)!r} to build here on one machine"
        )
