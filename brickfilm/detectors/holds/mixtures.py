"""Recognise frames that are a mixture of an earlier and a later frame."""

from __future__ import annotations

import math

import numpy as np

from brickfilm.detectors.holds.frame_features import FrameFeatures

BLACK_CONTRAST_THRESHOLD = 4.0
"""Contrast in levels below which a frame counts as black: noise."""
SAME_PICTURE_CORRELATION_THRESHOLD = 0.6
"""Correlation of two thumbnails above which they show one picture, perhaps in another light."""
BLEND_RATIO_RANGE = (0.08, 0.92)
"""Share of the later frame in one that a frame rate conversion blended across a cut."""
BLEND_RESIDUAL_THRESHOLD = 0.15
"""Distance of a blended frame from the line between both, relative to its length: coding noise."""
CROSSFADE_RATIO_RANGE = (0.25, 0.75)
"""Share of the later frame in the middle of a crossfade, which need not be linear."""
CROSSFADE_RESIDUAL_THRESHOLD = 0.3
"""The same distance in a crossfade: about 0.2, since both shots move; 0.5 and more elsewhere."""
MIN_CROSSFADE_CHANGE = 4.0
"""Mean square difference, in levels, of the frames around a crossfade: more than noise."""


def is_blended_frame(old: FrameFeatures, middle: FrameFeatures, new: FrameFeatures) -> bool:
    """Return True if `middle` is a blend of the frames around it, which show different pictures."""
    ratio, residual, length = _position_between(old, middle, new)
    inside = BLEND_RATIO_RANGE[0] < ratio < BLEND_RATIO_RANGE[1]
    is_between = inside and residual < BLEND_RESIDUAL_THRESHOLD**2 * length
    return is_between and not _is_same_picture(old, new)


def is_crossfade_frame(old: FrameFeatures, middle: FrameFeatures, new: FrameFeatures) -> bool:
    """Return True if `middle` lies in a crossfade from `old` to `new`."""
    line = new.thumbnail - old.thumbnail
    if float(np.vdot(line, line)) < MIN_CROSSFADE_CHANGE * line.size:
        return False
    ratio, residual, length = _position_between(old, middle, new)
    inside = CROSSFADE_RATIO_RANGE[0] < ratio < CROSSFADE_RATIO_RANGE[1]
    is_between = inside and residual <= CROSSFADE_RESIDUAL_THRESHOLD**2 * length
    return is_between and not _is_same_picture(old, new)


def _position_between(
    old: FrameFeatures, middle: FrameFeatures, new: FrameFeatures
) -> tuple[float, float, float]:
    """Project `middle` on the line from `old` to `new`.

    Return its position, 0 to 1, its squared distance from the line, and the line's squared length.
    """
    line, offset = new.thumbnail - old.thumbnail, middle.thumbnail - old.thumbnail
    length = float(np.vdot(line, line))
    ratio = float(np.vdot(line, offset)) / max(length, 1e-6)
    distance = offset - ratio * line
    return ratio, float(np.vdot(distance, distance)), length


def _is_same_picture(a: FrameFeatures, b: FrameFeatures) -> bool:
    """Return True if one frame is the other in another light, or black: a fade of one picture."""
    (one, energy), (other, other_energy) = a.zero_mean_thumbnail, b.zero_mean_thumbnail
    is_black = min(energy, other_energy) < one.size * BLACK_CONTRAST_THRESHOLD**2
    threshold = SAME_PICTURE_CORRELATION_THRESHOLD * math.sqrt(energy * other_energy)
    return is_black or float(np.vdot(one, other)) > threshold
