"""Make the records, rows and results of a build without running one, to test the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image as Picture

from brickfilm.dataset.finalize import group_near_duplicates
from brickfilm.dataset.row_sorter import RowSorter
from brickfilm.dataset.rows import clip_row, image_row
from brickfilm.dataset.splits import assign_splits
from brickfilm.engine.ledger import ItemResult, Ledger
from brickfilm.records import Caption, Clip, Image, Still, Video
from brickfilm.report import ReportContext
from tests.kit.toy_stages import clip, video


def source_video(name: str, **facts: object) -> Video:
    return replace(video(name), title=name, **facts)


def shot(work: Path, source: Video, number: int, **facts: object) -> Clip:
    """Return a one-second clip of a video, with three stills on disk."""
    made = clip(source, 24 * number, 24 * number + 24)
    stills = tuple(still(work, f"{made.id}-{n}", (40 * n, 90, 20 * number)) for n in range(3))
    described = Caption(text=f"a brick figure, shot {number}", model="toy")
    known = {"stills": stills, "path": Path(f"clips/{made.id}.mp4"), "caption": described}
    sizes = {"width": 64, "height": 36, "frame_hashes": (f"{0xF0F0F0F0 * (number + 3):016x}",) * 3}
    return replace(made, **{**known, **sizes, **facts})


def still(work: Path, name: str, colour: tuple[int, int, int]) -> Still:
    path = Path("stills") / f"{name}.jpg"
    (work / "stills").mkdir(exist_ok=True)
    Picture.new("RGB", (320, 180), colour).save(work / path)
    return Still(frame=0, at=0.5, path=path, sha256="")


def image_of(made: Clip) -> Image:
    return Image(
        clip=replace(made, caption=None),
        frame=made.span.start_frame + 12,
        path=made.stills[1].path,
        sha256="",
        width=64,
        height=36,
        caption=Caption(text="a still of bricks", model="toy"),
    )


def result_of(item: object, status: str, reason: str = "", **facts: object) -> ItemResult:
    """Return the result of a video, a clip or an image."""
    known = {"stage": "Keep", "position": 2, "message": f"{item.id}: {reason}", **facts}
    seconds = {Video: lambda i: i.duration, Clip: lambda i: i.end - i.start}
    return ItemResult(
        kind=type(item).__name__.lower(),
        item=item.id,
        source_id=getattr(item, "video", item).source_id,
        status=status,
        reason=reason,
        seconds=seconds.get(type(item), lambda i: 0.0)(item),
        **known,
    )


def report_context(
    work: Path,
    finished: Sequence[object] = (),
    item_results: Sequence[ItemResult] = (),
    *,
    excluded_clips: Sequence[Clip] = (),
    split_history: Mapping[str, Mapping[str, object]] | None = None,
    test_fraction: float = 0.0,
) -> ReportContext:
    """Return the context that a build passes to the report."""
    Ledger(work).__exit__(None, None, None)
    records = [c for c in (*excluded_clips, *finished) if isinstance(c, Clip)]
    clip_rows = (clip_row(c) for c in finished if isinstance(c, Clip))
    image_rows = (image_row(i) for i in finished if isinstance(i, Image))
    clips = RowSorter(work, clip_rows).table("clips")
    clips = clips.with_columns(near_duplicate_group=group_near_duplicates(clips))
    images = RowSorter(work, image_rows).table("images")
    split = assign_splits((*clips, *images), split_history or {}, test_fraction)
    return ReportContext(
        work=work,
        finished=finished,
        stills=[(c.id, [str(s.path) for s in c.stills]) for c in finished if isinstance(c, Clip)],
        excluded=excluded_clips,
        cut_videos={clip.video.id: clip.video for clip in records},
        clips=clips,
        images=images,
        item_results=item_results,
        split=split,
    )
