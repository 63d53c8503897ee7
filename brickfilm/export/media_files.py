"""Write clips and images of a dataset as files: their bytes, or encoded anew and verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.dataset.reader import SavedDataset
from brickfilm.errors import UsageError
from brickfilm.export.recut import ENCODER
from brickfilm.export.rows import ExportRow
from brickfilm.files import atomic_write, commit_file, disk_errors, make_folder, temp_path
from brickfilm.media import (
    ClipEncoder,
    Frame,
    ReferenceFrame,
    Sound,
    VerificationError,
    open_video,
    verify_clip,
    verify_sound,
)
from brickfilm.media.crop_scale import Box, CropScale, picture_box
from brickfilm.schema.columns import MEDIA_COLUMN

MIN_PSNR_DB = 30.0
"""Lowest PSNR of a frame against what the encoder received, as `ClipWriter` demands it."""
BARS_FRAMES = 9
"""Frames of a clip that are searched for black bars: bars are still, a dark scene is not."""
MediaKey = tuple[str, str]
"""(config, id)"""


def write_media(
    dataset: SavedDataset,
    rows: Iterable[ExportRow],
    names: Mapping[MediaKey, str],
    out: Path,
) -> dict[MediaKey, Path]:
    """Write the media of rows under their names below `out`; return the path for each.

    An existing file is kept, because its name contains the digest of its bytes and settings.
    """
    wanted = {(row.config, row.id): row for row in rows}
    paths = {key: out / names[key] for key in wanted}
    for folder in {path.parent for path in paths.values()}:
        make_folder(folder)
    for key, row in _media_rows(dataset, {config for config, _ in wanted}):
        if key in paths and not paths[key].exists():
            _write_one(wanted[key], _read_media(dataset, key[0], row), paths[key])
    return paths


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically; raise WorkdirUnusable if the disk is full."""
    with disk_errors(path.parent), atomic_write(path) as stream:
        stream.write(content)


def find_bars(dataset: SavedDataset, rows: Sequence[ExportRow]) -> dict[str, Box]:
    """Return the picture inside the black bars of each clip, by id."""
    frames = {row.id: row.frames for row in rows}
    boxes: dict[str, Box] = {}
    for (config, row_id), row in _media_rows(dataset, ["clips"]):
        if row_id in frames:
            with _as_file(_read_media(dataset, config, row)) as path:
                boxes[row_id] = picture_box(_some_lumas(path, frames[row_id]))
    return boxes


def recut_clip(source: Path, row: ExportRow, target: Path) -> None:
    """Encode a clip anew as its row says, verify it and put it in place.

    Raise MediaError if the source has other frames than its row, or the new file other frames or
    timestamps than planned.
    """
    assert row.recut is not None and row.fps is not None
    temporary = temp_path(target)
    seconds = row.frames / row.fps
    sound = Sound(source, Fraction(0), seconds) if row.recut.keeps_time else None
    encoder = ClipEncoder(
        temporary,
        ENCODER,
        time_base=1 / row.fps,
        end_pts=row.frames,
        keyframes=set(),
        sound=sound,
    )
    try:
        with disk_errors(target.parent):
            reference = _encode(encoder, source, row)
            verify_clip(
                temporary, encoder.relative_pts, reference, full=False, min_psnr_db=MIN_PSNR_DB
            )
            if encoder.has_sound:
                verify_sound(temporary, float(seconds))
            commit_file(temporary, target)
    except VerificationError as error:
        raise VerificationError(f"clip {row.id}: {error}") from error
    finally:
        encoder.abort()


def _write_one(row: ExportRow, content: bytes, path: Path) -> None:
    if row.recut is None:
        write_file(path, content)
        return
    with _as_file(content) as source:
        recut_clip(source, row, path)


def _encode(encoder: ClipEncoder, source: Path, row: ExportRow) -> dict[int, ReferenceFrame]:
    """Encode the frames of a row in order; return the two at either end, to verify them."""
    assert row.recut is not None
    crop = CropScale(row.recut.box, (row.width, row.height))
    reference: dict[int, ReferenceFrame] = {}
    for number, frame in enumerate(_frames_of(source, row)):
        new = Frame(number, number, crop(frame.display_frame), frame.display_transform)
        display_frame = encoder.add(new)
        if min(number, row.frames - 1 - number) < 2:
            reference[number] = ReferenceFrame.of(new, display_frame)
    encoder.close()
    return reference


def _frames_of(source: Path, row: ExportRow) -> Iterator[Frame]:
    """Yield the decoded frame for each frame of a row; its frame numbers never fall."""
    assert row.recut is not None
    with open_video(source) as reader:
        frames = reader.frames()
        current = next(frames, None)
        for number in row.recut.frames:
            while current is not None and current.number < number:
                current = next(frames, None)
            if current is None:
                raise VerificationError(
                    f"clip {row.id} has fewer frames than its row says ({number + 1} needed): "
                    "run `brickfilm validate`"
                )
            yield current


def _some_lumas(path: Path, frames: int) -> list[NDArray[np.uint8]]:
    numbers = {round(k * (frames - 1) / (BARS_FRAMES - 1)) for k in range(BARS_FRAMES)}
    with open_video(path) as reader:
        return [frame.luma() for frame in reader.frames() if frame.number in numbers]


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        path.write_bytes(content)
        yield path


def _media_rows(
    dataset: SavedDataset, configs: Iterable[str]
) -> Iterator[tuple[MediaKey, Mapping[str, Any]]]:
    for config in configs:
        columns = ["id", "sha256", MEDIA_COLUMN[config]]
        for split in dataset.splits(config):
            for table in dataset.iter_tables(config, split, columns):
                for row in table.to_pylist():
                    yield (config, row["id"]), row


def _read_media(dataset: SavedDataset, config: str, row: Mapping[str, Any]) -> bytes:
    content = dataset.read_row_media(config, row)
    if content is None:
        raise UsageError(f"{dataset.name} has a row without media: run `brickfilm validate`")
    return content
