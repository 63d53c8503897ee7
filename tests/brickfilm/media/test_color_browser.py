"""A browser shows the colours of clips, whatever the source stored them in."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.stages import ClipWriter, SceneSplitter
from tests.kit.ask_stage import clips_of, video_of, written
from tests.kit.browser import open_page
from tests.kit.patches import PATCHES, Patches

pytestmark = pytest.mark.slow

SHOW = """async ([address, places]) => {
  const video = document.createElement("video");
  video.muted = true;
  const loaded = new Promise((done, failed) => {
    video.onseeked = done;
    video.onerror = () => failed(new Error(video.error.message));
  });
  video.src = address;
  video.onloadeddata = () => { video.currentTime = 0.1; };
  await loaded;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const colour = ([x, y]) =>
    Array.from(context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data);
  while (true) {  // a frame may be black until it is composed
    context.drawImage(video, 0, 0);
    if (colour(places[0])[0]) return places.map(colour);
    await new Promise(requestAnimationFrame);
  }
}"""
"""Return the RGBA values of a video's third frame at relative places, [x, y] each."""

PLACES = [[(column + 0.5) / 4, (row + 0.4) / 2] for row in range(2) for column in range(4)]
"""The middles of the patches."""
STORAGES: list[tuple[int | None, dict[str, Any]]] = [
    (360, {"matrix": 1}),
    (None, {"matrix": 6, "tagged": False}),
    (None, {"matrix": 1, "full": True, "pix_fmt": "yuvj420p"}),
    (None, {"matrix": 1, "pix_fmt": "yuv420p10le"}),
    (360, {"matrix": 6, "pix_fmt": "yuv444p"}),
]
"""Untagged and converted clips once had no matrix, which a browser then guesses by the height."""
MAX_OWN_ERROR = 10
"""Levels of 255 by which Chromium itself is wrong: libyuv's factor from Cb to blue ends at 2.0."""
MAX_ERROR = 6
"""Levels of 255 between a clip and a plain video of its matrix, in the same browser."""


def shown(page: Any, path: Path) -> NDArray[np.int64]:
    """Return the colours of the patches, [8, 3]."""
    address = f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return np.array(page.evaluate(SHOW, [address, PLACES]))[:, :3]


def test_chromium_shows_the_colours(tmp_path: Path) -> None:
    film = Patches(tmp_path / "film.mp4", size=(1280, 720), frames=6)
    errors = {}
    with open_page("about:blank") as (page, _):
        plain = {m: shown(page, replace(film, matrix=m).write()) for m in (1, 6)}
        assert max(np.abs(colors - PATCHES).max() for colors in plain.values()) <= MAX_OWN_ERROR
        for number, (height, storage) in enumerate(STORAGES):
            path = replace(film, path=tmp_path / f"{number}.mp4", **storage).write()
            clips = clips_of(SceneSplitter(min_frames=5), video_of(path), tmp_path)
            (clip,), _ = written(ClipWriter(max_height=height), clips, tmp_path)
            assert clip.path is not None
            colors = shown(page, tmp_path / clip.path) - plain[storage["matrix"]]
            errors[str(storage)] = int(np.abs(colors).max())
    assert {name: error for name, error in errors.items() if error > MAX_ERROR} == {}
