"""Downscale and encode stills for a request."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import PIL.Image

from brickfilm.errors import Failed
from brickfilm.schema.pictures import open_picture


def scaled_size(width: int, height: int, edge: int) -> tuple[int, int]:
    """Return the size in pixels of a still whose long edge is downscaled to `edge`, rounded up."""
    longest = max(width, height)
    if longest <= edge:
        return width, height
    return -(-width * edge // longest), -(-height * edge // longest)


def encode_jpeg(path: Path, *, size: int, quality: int, sha256: str | None = None) -> bytes:
    """Return a still as JPEG bytes, its long edge at most `size` pixels; deterministic.

    Raises Failed if the file cannot be read, or is damaged; see `read_written`.
    """
    try:
        content = read_written(path, sha256)
        with open_picture(io.BytesIO(content)) as still:
            small = still.convert("RGB")
    except OSError as error:
        raise Failed(f"still {path} cannot be read: {error}", reason="no still") from error
    small.thumbnail((size, size), PIL.Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=quality)
    return out.getvalue()


def read_written(path: Path, sha256: str | None) -> bytes:
    """Return the bytes of a still or a clip that a build wrote.

    If they are not of the digest that was stored with them, the file is deleted, so that the next
    build writes it anew, and Failed is raised: no request is paid for other pictures.
    """
    content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        path.unlink(missing_ok=True)
        raise Failed(
            f"{path} was damaged, and is deleted: run the build again, which writes it anew",
            reason="damaged file",
        )
    return content
