"""WebDataset: tar files of about 1 GB with key.mp4, key.txt and key.json for each clip."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_json
from brickfilm.export.frame_rules import first, rate
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat
from brickfilm.files import atomic_write, disk_errors

SHARD_BYTES = 1_000_000_000


@dataclass(frozen=True)
class WebDataset(TrainerFormat):
    """Keeps every frame. The tars repeat byte for byte; their files stay in `media`, too."""

    name = "webdataset"
    configs = ("clips", "images")
    media_folder = "media"

    def predict(self, row: ExportRow) -> Prediction:
        return Seen(first(row.frames), row.fps, row.height, row.width)

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        shards = list(_shards(sorted(files, key=lambda file: file.path.name)))
        names = [f"shard-{number:06d}.tar" for number in range(len(shards))]
        for old in set(out.glob("shard-*.tar")) - {out / name for name in names}:
            old.unlink()
        for name, shard in zip(names, shards, strict=True):
            _write_tar(out / name, shard)
        return write_json(out / "shards.json", {"shards": names, "samples": len(files)})


def _shards(files: Sequence[ExportedFile]) -> Iterator[list[ExportedFile]]:
    """Yield files in groups of about SHARD_BYTES."""
    shard: list[ExportedFile] = []
    total = 0
    for file in files:
        shard.append(file)
        total += file.path.stat().st_size
        if total >= SHARD_BYTES:
            yield shard
            shard, total = [], 0
    if shard:
        yield shard


def _write_tar(path: Path, files: Sequence[ExportedFile]) -> None:
    with (
        disk_errors(path.parent),
        atomic_write(path) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for file in files:
            _add(tar, file)


def _add(tar: tarfile.TarFile, file: ExportedFile) -> None:
    row = file.row
    facts = {
        "id": row.id,
        "num_frames": row.frames,
        "fps": rate(row.fps),
        "width": row.width,
        "height": row.height,
        "source_url": row.columns.get("source_url") or "",
        "licence": row.columns.get("licence") or "",
    }
    parts = {
        file.path.name: file.path.read_bytes(),
        f"{row.stem}.txt": row.caption.encode(),
        f"{row.stem}.json": json.dumps(facts, ensure_ascii=False).encode(),
    }
    for name, content in parts.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
