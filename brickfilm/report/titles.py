"""Plain words for the names of stages and scores."""

from __future__ import annotations

import re

SCORE_MEANINGS = {
    "aesthetic": "about 1 to 10: how well people would like its stills",
    "black_share": "0 to 1: share of the frames that are black",
    "blockiness": "steps at edges of 8 x 8 blocks over those inside, minus 1",
    "brightness": "0 to 255: median mean luma",
    "camera_pan": "frame heights per second: median speed of the camera to the right",
    "camera_shake": "frame heights: deviation of the camera's position from a smooth path",
    "camera_tilt": "frame heights per second: median speed of the camera up",
    "camera_zoom": "median logarithm of the scale per second, in is positive",
    "caption_repeats": "number of other clips with the same caption",
    "clip_text": "-1 to 1: cosine of the caption and the stills by CLIP",
    "color_bars": "0 to 1: share of the frames that are a test card of colour bars",
    "contrast": "0 to 255: median standard deviation of the luma",
    "cut_end": "0 to 1: probability that the cut at its end is one",
    "cut_inside": "0 to 1: highest probability of a cut inside the clip that was not made",
    "cut_start": "0 to 1: probability that the cut at its start is one",
    "drawing_fps": "unique frames per second while something moves",
    "flashes": "number of pictures of up to 0.4 s after which the one before returns",
    "flat_share": "0 to 1: share of the frames that have one luma all over",
    "flicker": "median relative change of exposure between unique frames",
    "freeze_share": "0 to 1: share of the time in frames held for half a second or more",
    "hold": "frames: most common hold length, 1 on ones, 2 on twos",
    "hold_regularity": "0 to 1: share of the holds with the most common length",
    "interlacing": "0 to 1: share of the moved pixels that are combed",
    "letterbox": "0 to 1: share of the picture in black bars",
    "letterbox_bottom": "0 to 1: the bottom bar as a share of the height",
    "letterbox_left": "0 to 1: the left bar as a share of the width",
    "letterbox_right": "0 to 1: the right bar as a share of the width",
    "letterbox_top": "0 to 1: the top bar as a share of the height",
    "motion": "frame heights per second: median optical flow between unique frames",
    "overlay_share": "0 to 1: share of the picture that stands still from shot to shot",
    "pulldown": "1 if a conversion from 24 to 30 fps left uneven holds",
    "sharpness": "edge strength over contrast, higher is sharper",
    "text_share": "0 to 1: median share of the picture in boxes around lines of text",
    "vmaf_motion": "levels: mean of FFmpeg's vmafmotion",
}
"""Unit and meaning of the scores of the default stages (docs/dataset-schema.md)."""

STAGE_TITLES = {
    "AestheticScorer": "Score how pictures please",
    "CaptionAudit": "Check captions by rules",
    "CaptionVerifier": "Check captions by other stills",
    "Captioner": "Caption",
    "ClipWriter": "Write clips",
    "ClipTextScorer": "Compare captions with pictures",
    "FetchFile": "Download",
    "FetchVideo": "Download",
    "FrameSampler": "Take stills",
    "GPT4oCaptioner": "Caption",
    "Keep": "Select by score",
    "ListVideos": "List videos",
    "NearDuplicates": "Drop near-duplicates",
    "Probe": "Open files",
    "RefetchVideo": "Download",
    "RefusalFilter": "Drop refusals",
    "SceneSplitter": "Find shots",
    "SidecarCaptioner": "Captions from files",
    "StillEmbedder": "Embed stills",
}
WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def stage_title(name: str) -> str:
    """Return what a stage does, from its name in the ledger: 'Write clips, take stills'.

    A stage of one's own has the words of its class name.
    """
    words = (STAGE_TITLES.get(n) or WORD_STARTS.sub(" ", n).capitalize() for n in name.split(" + "))
    first, *rest = words
    return ", ".join([first, *(title[0].lower() + title[1:] for title in rest if title)])
