"""Pixels of a clip or an image: PyAV and Pillow, imported when the first is opened."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.errors import BadSample

DETERMINISTIC_X264_OPTIONS = {"threads": "1", "x264-params": "mbtree=0"}
"""x264's macroblock tree reads memory that nobody wrote: its bytes do not repeat."""
HUB_URL_PATTERN = re.compile(
    r"hf://datasets/(?P<repo_id>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<filename>.+)"
)


@dataclass(frozen=True)
class MediaInfo:
    """What a media file says of itself."""

    frames: int
    fps: Fraction
    height: int
    width: int


def probe(path: Path) -> MediaInfo:
    """Open a media file and measure it; frames are counted where the container does not say.

    Raises BadSample if it does not decode.
    """
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = stream.frames or sum(1 for _ in container.decode(stream))
            fps = Fraction(stream.average_rate or 0)
            return MediaInfo(frames, fps, stream.height, stream.width)
    except (av.FFmpegError, IndexError) as error:
        raise BadSample(f"does not decode: {error}") from error


@lru_cache(maxsize=2)
def _read_row_group(file: str, row_group: int) -> list[dict[str, Any] | None]:
    """The media column of one row group: neighbours in the file are read once."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        names = set(parquet.schema_arrow.names)
        column = "video" if "video" in names else "image"
        table = parquet.read_row_group(row_group, columns=[column])
        cells: list[dict[str, Any] | None] = table.column(column).to_pylist()
        return cells


def read_media(file: str, row_group: int, row_in_group: int) -> bytes:
    """The bytes of a row's media: a cell of a parquet file, or (group < 0) the file itself.

    Raises BadSample if they cannot be had.
    """
    from pyarrow import ArrowException

    try:
        return (
            Path(file).read_bytes() if row_group < 0 else _cell_bytes(file, row_group, row_in_group)
        )
    except (OSError, ArrowException) as error:
        raise BadSample(f"cannot be read: {error}") from error


def _cell_bytes(file: str, row_group: int, row_in_group: int) -> bytes:
    """The bytes in a cell, or in the file that it names: on the Hub, or beside the table."""
    cell = _read_row_group(file, row_group)[row_in_group] or {}
    if cell.get("bytes"):
        return bytes(cell["bytes"])
    path: str = cell.get("path") or ""
    if not path:
        raise BadSample("has neither bytes nor a path")
    there = HUB_URL_PATTERN.fullmatch(path)
    media = _download_from_hub(**there.groupdict()) if there else Path(file).parent / path
    return media.read_bytes()


def _download_from_hub(repo_id: str, revision: str | None, filename: str) -> Path:
    """A file of a dataset on the Hub; it is fetched once, and then lies in the Hub's cache."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo_id, filename, repo_type="dataset", revision=revision))


def decode_frames(media: bytes, wanted: NDArray[np.int64]) -> Tensor:
    """Frames [len(wanted), 3, H, W] uint8 of an encoded clip or image, by their numbers.

    Raises BadSample if it does not decode or has too few frames.
    """
    keep = set(wanted.tolist())
    pictures = {n: frame for n, frame in enumerate(frames(media, max(keep) + 1)) if n in keep}
    missing = sorted(keep - set(pictures))
    if missing:
        raise BadSample(f"has no frame {missing[0]}: it is shorter than its row says")
    stacked = np.stack([pictures[n] for n in wanted.tolist()])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def decode_in_chunks(media: bytes, total: int, size: int = 32) -> Iterator[Tensor]:
    """The first `total` frames as parts [<= size, 3, H, W] uint8, so that few are in memory."""
    stream, decoded = frames(media, total), 0
    while part := list(islice(stream, size)):
        decoded += len(part)
        yield torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2)
    if decoded < total:
        raise BadSample(f"has {decoded} frames, its row says {total}")


def frames(media: bytes, count: int) -> Iterator[NDArray[np.uint8]]:
    """Up to `count` frames [H, W, 3], in order of presentation; the container closes by itself."""
    import av

    try:
        with av.open(io.BytesIO(media)) as container:
            for frame in islice(container.decode(video=0), count):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError) as error:
        raise BadSample(f"does not decode: {error}") from error


def write_video(file: Path, frames: Tensor, fps: float) -> None:
    """frames [N, 3, H, W] uint8 as H.264; odd sizes lose their last row or column.

    The same frames give the same bytes.
    """
    import av

    pictures = frames.permute(0, 2, 3, 1).numpy()
    height, width = (side - side % 2 for side in pictures.shape[1:3])
    with av.open(str(file), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options=DETERMINISTIC_X264_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures[:, :height, :width]:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
