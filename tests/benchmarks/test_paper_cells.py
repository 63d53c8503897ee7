"""Videos of flat scenes have the cuts and holds that their truth names."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.benchmarks.paper_cells import paper_films


@pytest.mark.slow
def test_a_drawn_video_changes_at_its_cuts_and_holds_its_poses(tmp_path: Path) -> None:
    (film,) = paper_films(tmp_path, "test", films=1, only="three-frame")
    assert film.truth["cuts"] == [3, 83]
    with av.open(str(film.path)) as container:
        frames = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode()]
    change = np.array([np.abs(b - a).mean() for a, b in pairwise(frames)])
    assert len(frames) == 163
    assert sorted(np.argsort(change)[-2:] + 1) == [3, 83]
    within = change[4:80]  # on twos: every second frame is another pose
    assert within[::2].max() < within[1::2].min() or within[1::2].max() < within[::2].min()
