"""Columns of a dataset's configs, in their order, with their types (docs/dataset-schema.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MEDIA_COLUMN = {"clips": "video", "images": "image"}
CONFIGS = tuple(MEDIA_COLUMN)
HELD_OUT_SPLITS = ("test", "validation")
"""Splits that are not trained on."""
SCORE_PREFIX = "score_"
"""Columns of scores follow all others in `clips`, sorted by name, as float64."""

_CAPTION = dict.fromkeys(("caption", "caption_status", "caption_model", "prompt_digest"), "string")
_SIZE = {"height": "int64", "width": "int64", "aspect_ratio": "float64", "resolution": "int64"}
_SOURCE = dict.fromkeys(
    ("source_id", "source_url", "source_title", "uploader", "licence"), "string"
)

COLUMN_TYPES: Mapping[str, Mapping[str, str]] = {
    "clips": {
        **{"id": "string", "video": "video", **_CAPTION},
        **{"num_frames": "int64", "fps": "float64", "fps_num": "int64", "fps_den": "int64"},
        **{**_SIZE, "duration": "float64", **_SOURCE, "start": "float64", "end": "float64"},
        **{"start_frame": "int64", "end_frame": "int64", "sha256": "string"},
        **{"frame_hashes": "list<string>", "near_duplicate_group": "string"},
    },
    "images": {
        **{"id": "string", "clip_id": "string", "image": "image"},
        **{**_CAPTION, **_SIZE, **_SOURCE, "sha256": "string"},
    },
}
"""Required columns of each config. A dataset of references has no media column."""
_CLIP_ID = r"[0-9a-f]{16}-[0-9]{6,12}-[0-9]{6,12}"
_SHA256 = r"[0-9a-f]{64}"
COLUMN_FORMS: Mapping[str, Mapping[str, str]] = {
    "clips": {"id": _CLIP_ID, "sha256": _SHA256},
    "images": {"id": rf"{_CLIP_ID}-f[0-9]{{6,12}}", "clip_id": _CLIP_ID, "sha256": _SHA256},
}
"""Regular expressions that the values of a column match as a whole: files are named after them."""
SHOT_DETECTOR = "shot_detector"
"""Column of datasets that were cut by a detector that is not older than the column."""
TRANSITION_COLUMNS = ("start_transition", "end_transition")
"""Columns of datasets whose cuts are described."""
ENCODING = "encoding"
"""Column of datasets whose clips were to be copied."""
OPTIONAL_CLIP_COLUMNS: Mapping[str, str] = {
    "new_drawings": "list<int64>",
    "conversions": "list<string>",
    SHOT_DETECTOR: "string",
    **dict.fromkeys(TRANSITION_COLUMNS, "string"),
    ENCODING: "string",
}
"""Columns between the required ones and the scores that older datasets do not have."""

CAPTION_STYLES = "captions"
"""Column behind all others, of both configs: other styles of the caption, as JSON (style to text).
Datasets without structured answers do not have it."""


def missing_columns(names: Iterable[str], config: str) -> list[str]:
    """Return the required columns that are not among `names`, without the media column."""
    return sorted(set(COLUMN_TYPES[config]) - set(names) - {MEDIA_COLUMN[config]})
