"""Read, decode and write media with PyAV, which is imported on first use."""

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
"""x264's macroblock tree reads uninitialised memory, so its bytes would not repeat."""
HUB_URL_PATTERN = re.compile(
    r"hf://datasets/(?P<repo_id>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<filename>.+)"
)


@dataclass(frozen=True)
class MediaInfo:
    """Frames, rate and size of a media file."""

    frames: int
    fps: Fraction
    height: int
    width: int


def probe(path: Path) -> MediaInfo:
    """Read a media file's properties; count frames if the container does not state them.

    Raise BadSample if it does not decode.
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
def read_row_group(file: str, row_group: int) -> list[dict[str, Any] | None]:
    """Read the media column of a row group; consecutive rows share one read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        names = set(parquet.schema_arrow.names)
        column = "video" if "video" in names else "image"
        table = parquet.read_row_group(row_group, columns=[column])
        cells: list[dict[str, Any] | None] = table.column(column).to_pylist()
        return cells


def read_media(file: str, row_group: int, row_in_group: int) -> bytes:
    """Return the bytes of a row's media: a cell of a parquet file, or (row_group < 0) the file.

    Raise BadSample if they cannot be read.
    """
    from pyarrow import ArrowException

    try:
        return (
            Path(file).read_bytes() if row_group < 0 else _cell_bytes(file, row_group, row_in_group)
        )
    except (OSError, ArrowException) as error:
        raise BadSample(f"cannot be read: {error}") from error


def _cell_bytes(file: str, row_group: int, row_in_group: int) -> bytes:
    """Return a cell's bytes, or those of its file: on the Hub, or beside the parquet file."""
    cell = read_row_group(file, row_group)[row_in_group] or {}
    if cell.get("bytes"):
        return bytes(cell["bytes"])
    path: str = cell.get("path") or ""
    if not path:
        raise BadSample("has neither bytes nor a path")
    url = HUB_URL_PATTERN.fullmatch(path)
    media = _download_from_hub(**url.groupdict()) if url else Path(file).parent / path
    return media.read_bytes()


def _download_from_hub(repo_id: str, revision: str | None, filename: str) -> Path:
    """Download a file of a dataset on the Hub into the Hub's cache, once."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo_id, filename, repo_type="dataset", revision=revision))


def decode_frames(media: bytes, numbers: NDArray[np.int64]) -> Tensor:
    """Decode frames by number from an encoded clip or image: [len(numbers), 3, H, W] uint8.

    Raise BadSample if it does not decode or has too few frames.
    """
    needed = set(numbers.tolist())
    decoded = enumerate(iter_frames(media, max(needed) + 1))
    images = {n: frame for n, frame in decoded if n in needed}
    missing = sorted(needed - set(images))
    if missing:
        raise BadSample(f"has no frame {missing[0]}: it is shorter than its row says")
    stacked = np.stack([images[n] for n in numbers.tolist()])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def decode_in_chunks(media: bytes, total: int, size: int = 32) -> Iterator[Tensor]:
    """Decode the first `total` frames in chunks [<= size, 3, H, W] uint8, to bound memory."""
    stream, decoded = iter_frames(media, total), 0
    while chunk := list(islice(stream, size)):
        decoded += len(chunk)
        yield torch.from_numpy(np.stack(chunk)).permute(0, 3, 1, 2)
    if decoded < total:
        raise BadSample(f"has {decoded} frames, its row says {total}")


def iter_frames(media: bytes, count: int) -> Iterator[NDArray[np.uint8]]:
    """Decode up to `count` frames [H, W, 3] uint8 in presentation order."""
    import av

    try:
        with av.open(io.BytesIO(media)) as container:
            for frame in islice(container.decode(video=0), count):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError) as error:
        raise BadSample(f"does not decode: {error}") from error


def write_video(file: Path, frames: Tensor, fps: float) -> None:
    """Write frames [N, 3, H, W] uint8 as H.264; odd sizes lose their last row or column.

    The same frames always give the same bytes.
    """
    import av

    images = frames.permute(0, 2, 3, 1).numpy()
    height, width = (side - side % 2 for side in images.shape[1:3])
    with av.open(str(file), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options=DETERMINISTIC_X264_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images[:, :height, :width]:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
