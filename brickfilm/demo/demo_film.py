"""Copy the demo film and its caption track out of the package."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from brickfilm.files import atomic_path, make_folder

DEMO_VIDEO = Path(__file__).with_name("brick-film.mp4")
"""840 frames of 640 x 360 at 24 fps, rendered by `python -m tests.brickworld`."""
DEMO_LICENCE = "Apache-2.0"
"""Of the project, whose own the film is."""


def copy_demo_film(folder: Path) -> Path:
    """Copy the video and its captions into `folder` if needed; return the video's path."""
    make_folder(folder)
    for source in (DEMO_VIDEO, DEMO_VIDEO.with_suffix(".vtt")):
        target = folder / source.name
        if not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
    return folder / DEMO_VIDEO.name
