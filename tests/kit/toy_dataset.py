"""Make a saved dataset of tiny real clips in a second, to test all that follows a build."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image as Picture

from brickfilm import BrickfilmDataset
from brickfilm.dataset import configs_from_rows
from brickfilm.dataset.finalize import count_repeated_captions, group_near_duplicates
from brickfilm.dataset.row_sorter import RowSorter
from brickfilm.dataset.rows import clip_row, image_row, video_id_of
from brickfilm.engine.ledger import Ledger
from brickfilm.media import perceptual_hash
from brickfilm.records import Caption, Clip, Image, Span, Video

FRAMES, WIDTH, HEIGHT = 20, 64, 48
OPEN = "Creative Commons Attribution license (reuse allowed)"


def toy_dataset(
    work: Path,
    *,
    videos: int = 4,
    clips: int = 2,
    licence: str = OPEN,
    stills: bool = True,
    moving: bool = True,
) -> BrickfilmDataset:
    """Save `videos` x `clips` clips (if `moving`) and their stills in `work`/dataset.

    The last of several videos is the test split.
    """
    records = [clip for n in range(videos) for clip in _clips(work, n, clips, licence)]
    rows = [clip_row(clip) for clip in records]
    table = RowSorter(work, rows).table("clips")
    table = table.with_columns(
        near_duplicate_group=group_near_duplicates(table),
        score_caption_repeats=count_repeated_captions(table),
    )
    images = [image_row(_image(work, clip)) for clip in records] if stills else []
    names = sorted({video_id_of(row["id"]) for row in (*rows, *images)})
    split_by_video = dict.fromkeys(names, "train") | ({names[-1]: "test"} if videos > 1 else {})
    configs = configs_from_rows(table if moving else [], images, split_by_video, work)
    dataset = BrickfilmDataset(configs, work)
    dataset.save(work / "dataset")
    with Ledger(work) as ledger:
        ledger.save_results([])
    return dataset


def toy_video(work: Path, number: int, licence: str = OPEN) -> Video:
    """Return the record of a video without a file; its digest is that of its name."""
    name = f"film {number}"
    return Video(
        path=work / f"{name}.mp4",
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        source_id=f"src{number}",
        fps=Fraction(24),
        time_base=Fraction(1, 24),
        width=WIDTH,
        height=HEIGHT,
        conversions=(),
        url=f"https://films.example/{number}",
        title=f"Film {number}",
        uploader="ada" if number % 2 else "grace",
        licence=licence,
    )


def _clips(work: Path, number: int, clips: int, licence: str) -> Iterator[Clip]:
    video = toy_video(work, number, licence)
    for n in range(clips):
        start = n * FRAMES
        yield _clip(work, video, Span(start_frame=start, end_frame=start + FRAMES,
                                      start_pts=start, end_pts=start + FRAMES))  # fmt: skip


def _clip(work: Path, video: Video, span: Span) -> Clip:
    path = Path("clips", f"{video.id}-{span.start_frame:06d}.mp4")
    content = write_clip(work / path, seed=f"{video.id}/{span.start_frame}")
    text = f"a red brick rolls past a grey wall, take {span.start_frame} of {video.title}"
    return Clip(
        video=video,
        span=span,
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        width=WIDTH,
        height=HEIGHT,
        shot_detector="joint",
        scores={"motion": span.start_frame / 100 + 0.1, "sharpness": 3.0},
        frame_hashes=frame_hashes(work / path),
        caption=Caption(text=text, model="gpt-4o", prompt_digest="0123456789abcdef"),
    )


def _image(work: Path, clip: Clip) -> Image:
    assert clip.path is not None
    path = Path("stills", f"{clip.path.stem}.jpg")
    frame = (FRAMES - 1) // 2
    (work / path).parent.mkdir(exist_ok=True)
    with av.open(str(work / clip.path)) as container:
        picture = list(container.decode(video=0))[frame].to_image()
    picture.save(work / path)
    digest = hashlib.sha256((work / path).read_bytes()).hexdigest()
    return Image(
        clip=clip,
        frame=clip.span.start_frame + frame,
        path=path,
        sha256=digest,
        width=WIDTH,
        height=HEIGHT,
        caption=clip.caption,
    )


def write_clip(path: Path, *, seed: str, frames: int = FRAMES) -> bytes:
    """Encode a block that slides over a background; the seed determines both."""
    rng = np.random.default_rng(list(seed.encode()))
    ground = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    back = np.asarray(Picture.fromarray(ground).resize((WIDTH, HEIGHT), Picture.Resampling.NEAREST))
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for n in range(frames):
            picture = back.copy()
            picture[16:32, n * 2 : n * 2 + 16] = (200, 30, 30)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def frame_hashes(path: Path) -> tuple[str, ...]:
    """Return perceptual hashes of the first, middle and last frame, in hex."""
    with av.open(str(path)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    picked = (frames[0], frames[(len(frames) - 1) // 2], frames[-1])
    return tuple(perceptual_hash(frame) for frame in picked)
