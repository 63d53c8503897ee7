"""Read a frame's side data without keeping the frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from av.sidedata.sidedata import SideDataContainer


def side_data(raw: Any) -> Mapping[Any, Any]:
    """Return the side data of an `av.VideoFrame` by name.

    `raw.side_data` refers to its frame and the frame to it: frames of megabytes would wait for the
    garbage collector, 135 MB of them in a scan of 640 x 360.
    """
    container: Mapping[Any, Any] = SideDataContainer(raw)  # type: ignore[call-arg]
    return container
