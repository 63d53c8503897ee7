"""Perceptual hashes keep the values that ImageHash 4.3.2 gave (`str(imagehash.phash(image))`)."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from brickfilm.media import perceptual_hash

HASHES = [
    "eee0efc7092050fa",
    "e05cee8b9a43d790",
    "953af851ebb92452",
    "c8736d736aca5950",
    "c7c4e848c758cbae",
    "fd10ef70c2e4d84c",
    "e16eac24b3a4d715",
    "8b2378bdc6d168a9",
    "b35356d79676c410",
    "8bb2257aed154f90",
    "9a42e855ec85de8d",
    "8a899d40abfc6597",
    "af145e53459fe025",
    "d2b2ea41d7a82bd8",
    "91982c9d46e9de1b",
    "9d416f29a6e309bc",
    "93d364eb0d790729",
    "89c83fb850bb426f",
    "94edcd18a7284fd2",
    "a6c8c338ee730f94",
]
"""By seed, from 0."""


def picture(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((320, 180), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(("seed", "expected"), list(enumerate(HASHES)))
def test_a_hash_is_what_imagehash_gave(seed: int, expected: str) -> None:
    assert perceptual_hash(picture(seed)) == expected


def test_a_black_frame_and_a_white_one_have_a_hash() -> None:
    assert perceptual_hash(Image.new("RGB", (64, 36))) == "0" * 16
    assert perceptual_hash(Image.new("RGB", (64, 36), (255, 255, 255))) == "8" + "0" * 15
