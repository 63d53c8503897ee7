"""Draw videos whose scores are known, and measure them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from brickfilm.media import open_video
from brickfilm.scan.analyzer import Measure, Scores, analyze_frames
from brickfilm.scan.held_frames import FrameDifference
from brickfilm.scan.scan_result import ScanResult
from brickfilm.scan.timestamps import TimestampAnalyzer
from tests.kit.ask_stage import video_of

Picture = NDArray[np.uint8]
WIDTH, HEIGHT, FPS = 640, 360, 24


def measured(path: Path, measure: Measure) -> Scores:
    """Return the scores of a whole video as one clip."""
    video = video_of(path)
    with open_video(path, threads=1) as reader:
        parts = (TimestampAnalyzer(), FrameDifference(), measure)
        answers = analyze_frames(reader, video, [part for part in parts if part.columns])
    return measure.scores(ScanResult.from_answers(video, answers).metrics(measure))


def encode(
    path: Path,
    pictures: Iterable[Picture],
    *,
    crf: int = 18,
    scale: float = 1.0,
    preset: str = "veryfast",
) -> Path:
    """Encode pictures in BGR, [H, W, 3], as H.264, the luma in limited range."""
    size = (round(WIDTH * scale), round(HEIGHT * scale))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "preset": preset}
        for picture in pictures:
            image = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def texture(
    seed: int = 0, *, margin: int = 0, mean: float = 120, deviation: float = 40, blob: int = 10
) -> Picture:
    """Return soft blobs of grey with this mean and standard deviation in RGB levels, in BGR."""
    rng = np.random.default_rng(seed)
    size = (WIDTH + 2 * margin, HEIGHT + 2 * margin)
    blobs = rng.standard_normal((size[1] // blob, size[0] // blob)).astype(np.float32)
    image = cv2.resize(blobs, size, interpolation=cv2.INTER_CUBIC)
    image = (image - image.mean()) / image.std() * deviation + mean
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def panned(shifts: Sequence[tuple[float, float]], scales: Sequence[float] = ()) -> list[Picture]:
    """Return a textured set seen by a camera at these places (x, y in pixels) and scales."""
    margin = 120
    wide = texture(margin=margin)[..., 0]
    pictures = []
    for n, (x, y) in enumerate(shifts):
        scale = scales[n] if scales else 1.0
        at = np.float32([[scale, 0, 0], [0, scale, 0]])
        at[0, 2] = WIDTH / 2 - scale * (WIDTH / 2 + margin + x)
        at[1, 2] = HEIGHT / 2 - scale * (HEIGHT / 2 + margin + y)
        seen = cv2.warpAffine(wide, at, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
        pictures.append(cv2.merge((seen, seen, seen)))
    return pictures


def color_bars() -> Picture:
    """Return seven bars at 75 % above a ramp, as on SMPTE's card, in BGR."""
    colors = [(191, 191, 191), (0, 191, 191), (191, 191, 0), (0, 191, 0)]
    colors += [(191, 0, 191), (0, 0, 191), (191, 0, 0)]
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for n, color in enumerate(colors):
        image[: HEIGHT * 2 // 3, n * WIDTH // 7 : (n + 1) * WIDTH // 7] = color
    image[HEIGHT * 2 // 3 :] = np.linspace(0, 255, WIDTH).astype(np.uint8)[None, :, None]
    return image


def woven(first: Picture, second: Picture, share: float) -> Picture:
    """Return a frame whose odd lines are the second picture's, in a share of the width."""
    frame, columns = first.copy(), round(share * WIDTH)
    frame[1::2, :columns] = second[1::2, :columns]
    return frame
