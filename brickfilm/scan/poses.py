"""Choose frames at which a new pose begins: a held frame shows nothing that its pose did not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence


def snap_to_poses(frames: Sequence[int], poses: Sequence[int]) -> list[int]:
    """Return distinct poses for these frames, in order: the one on screen, else the nearest free.

    There are fewer poses than frames where the span holds fewer. Without poses, which nothing has
    measured then, the frames themselves are returned.
    """
    if not poses:
        return sorted(set(frames))
    ordered = sorted(poses)
    chosen: set[int] = set()
    for frame in frames:
        shown = ordered[max(0, bisect_right(ordered, frame) - 1)]
        free = [pose for pose in ordered if pose not in chosen]
        if shown in chosen and free:
            shown = min(free, key=lambda pose: (abs(pose - frame), pose))
        chosen.add(shown)
    return sorted(chosen)
