"""Rows of the dataset, made from finished clips and images."""

from __future__ import annotations

from typing import Any

from brickfilm.captions.aspects import captions_json
from brickfilm.records import Caption, Clip, Image, Video
from brickfilm.schema.columns import (
    CAPTION_STYLES,
    ENCODING,
    SCORE_PREFIX,
    SHOT_DETECTOR,
    TRANSITION_COLUMNS,
)

DatasetRow = dict[str, Any]


def clip_row(clip: Clip) -> DatasetRow:
    """Return a row of the config `clips`, with the scores of its stages."""
    fps = clip.fps
    return {
        "id": clip.id,
        "video": str(clip.path),
        **_caption_columns(clip.caption),
        "num_frames": clip.span.frames,
        "fps": float(fps),
        "fps_num": fps.numerator,
        "fps_den": fps.denominator,
        **_size_columns(clip.width, clip.height),
        "duration": clip.end - clip.start,
        **_source_columns(clip.video),
        "start": clip.start,
        "end": clip.end,
        "start_frame": clip.span.start_frame,
        "end_frame": clip.span.end_frame,
        "sha256": clip.sha256,
        "frame_hashes": list(clip.frame_hashes),
        "near_duplicate_group": "",
        "new_drawings": list(clip.unique_frames),
        **_conversions_column(clip.video),
        **({SHOT_DETECTOR: clip.shot_detector} if clip.shot_detector else {}),
        **_transition_columns(clip),
        **({ENCODING: clip.encoding} if clip.encoding else {}),
        **{f"{SCORE_PREFIX}{name}": float(score) for name, score in sorted(clip.scores.items())},
        **_style_column(clip.caption),
    }


def image_row(image: Image) -> DatasetRow:
    """Return a row of the config `images`."""
    return {
        "id": image.id,
        "clip_id": image.clip.id,
        "image": str(image.path),
        **_caption_columns(image.caption),
        **_size_columns(image.width, image.height),
        **_source_columns(image.video),
        "sha256": image.sha256,
        **_style_column(image.caption),
    }


def _transition_columns(clip: Clip) -> DatasetRow:
    return dict(zip(TRANSITION_COLUMNS, clip.transitions, strict=True)) if clip.transitions else {}


def _conversions_column(video: Video) -> DatasetRow:
    return {} if video.conversions is None else {"conversions": list(video.conversions)}


def video_id_of(row_id: str) -> str:
    """Return the video's id, the first part of the id of each of its clips and images."""
    return row_id.split("-", 1)[0]


def _caption_columns(caption: Caption | None) -> DatasetRow:
    caption = caption or Caption(text="", status="not captioned")
    return {
        "caption": caption.text,
        "caption_status": caption.status,
        "caption_model": caption.model,
        "prompt_digest": caption.prompt_digest,
    }


def _style_column(caption: Caption | None) -> DatasetRow:
    styles = captions_json(caption.text, caption.aspects) if caption else ""
    return {CAPTION_STYLES: styles} if styles else {}


def _size_columns(width: int, height: int) -> DatasetRow:
    return {
        "height": height,
        "width": width,
        "aspect_ratio": height / width,
        "resolution": height * width,
    }


def _source_columns(video: Video) -> DatasetRow:
    return {
        "source_id": video.source_id,
        "source_url": video.url,
        "source_title": video.title,
        "uploader": video.uploader,
        "licence": video.licence,
    }
