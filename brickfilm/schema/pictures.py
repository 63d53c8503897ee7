"""Open images with a bound on their pixels, which Pillow checks too late or only warns of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@contextmanager
def open_picture(file: Path | BytesIO) -> Iterator[Image]:
    """Open an image without decoding it.

    Raise OSError if it is none, or if its header says more pixels than `PIL.Image.MAX_IMAGE_PIXELS`
    (89,478,485), a setting of Pillow's that a user may change.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(file)
    except Image.DecompressionBombError as error:
        raise OSError(str(error)) from error
    with opened:
        limit, pixels = Image.MAX_IMAGE_PIXELS, opened.width * opened.height
        if limit is not None and pixels > limit:
            raise OSError(f"{pixels:,} pixels exceed PIL.Image.MAX_IMAGE_PIXELS = {limit:,}")
        yield opened
