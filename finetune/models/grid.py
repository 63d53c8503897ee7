"""The sizes that a family's network takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Numbers of frames (step * n + offset) and sides in pixels that a family takes."""

    frame_step: int = 1
    frame_offset: int = 1  # also the least number of frames
    max_frames: int = 512
    pixel_multiple: int = 8
    bucket_multiple: int = 0  # sizes of training buckets are rounded down to it; 0: pixel_multiple
    min_side: int = 16
    max_side: int = 2048

    def bucket_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size at which a training bucket of this size is trained."""
        multiple = self.bucket_multiple or self.pixel_multiple
        return height // multiple * multiple, width // multiple * multiple

    def nearest_frames(self, frames: int) -> int:
        """Return the number of frames on the grid that is nearest to this one."""
        steps = round((frames - self.frame_offset) / self.frame_step)
        last = (self.max_frames - self.frame_offset) // self.frame_step
        return self.frame_offset + self.frame_step * min(max(steps, 0), last)

    def nearest_side(self, side: int) -> int:
        """Return the side in pixels on the grid that is nearest to this one."""
        least, most = (s // self.pixel_multiple for s in (self.min_side, self.max_side))
        return self.pixel_multiple * min(max(round(side / self.pixel_multiple), least), most)
