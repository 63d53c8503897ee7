"""The CSV that the predecessor's trainer reads."""

from __future__ import annotations

from pathlib import Path

import av
import pandas as pd
import pyarrow.parquet as pq
import pytest

from brickfilm.dataset.reader import find_dataset
from brickfilm.errors import UsageError
from brickfilm.export import export_dataset, make_exporter
from brickfilm.hub.publish import PushOptions, push_to_hub
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import FRAMES, toy_dataset

COLUMNS = ["path", "text", "num_frames", "height", "width", "aspect_ratio", "fps", "resolution"]


def test_the_csv_has_its_exact_columns_and_names_files_that_decode(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "work", videos=2, clips=2)
    done = export_dataset(
        find_dataset(tmp_path / "work"), make_exporter("opensora"), tmp_path / "out"
    )
    table = pd.read_csv(done.index_path)
    assert list(table.columns) == COLUMNS
    assert (done.clips, done.images, len(table)) == (4, 4, 8)
    clip, image = table.iloc[0], table.iloc[-1]
    with av.open(clip.path) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES == clip.num_frames
    assert (clip.height, clip.width, clip.aspect_ratio, clip.fps) == (48, 64, 0.75, 24)
    assert (image.num_frames, image.fps, image.resolution) == (1, 120, 48 * 64)
    assert Path(image.path).suffix == ".jpg"


def test_rows_without_a_caption_are_counted_and_leave_no_file(tmp_path: Path) -> None:
    work = tmp_path / "work"
    toy_dataset(work, videos=2, clips=1)
    silence(work, "clips/train")
    done = export_dataset(find_dataset(work), make_exporter("opensora"), tmp_path / "out")
    assert (done.clips, done.images, done.without_caption) == (1, 2, 1)
    assert len(list((tmp_path / "out/clips").iterdir())) == 1


@pytest.mark.parametrize(
    ("clips", "message"), [(0, "has no row"), (1, "none of the 2 rows .* has a caption")]
)
def test_nothing_is_not_exported(tmp_path: Path, clips: int, message: str) -> None:
    work = tmp_path / "work"
    toy_dataset(work, videos=1, clips=clips)
    for config in ("clips", "images") if clips else ():
        silence(work, f"{config}/train")
    with pytest.raises(UsageError, match=message):
        export_dataset(find_dataset(work), make_exporter("opensora"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def silence(work: Path, split: str) -> None:
    """Take the captions of a split away."""
    (path,) = (work / "dataset").glob(f"{split}-*.parquet")
    table = pq.read_table(path)
    place = table.schema.get_field_index("caption")
    pq.write_table(table.set_column(place, "caption", [[""] * len(table)]), path)


def test_it_exports_what_was_published_but_no_references(hub: HubServer, tmp_path: Path) -> None:
    toy_dataset(tmp_path / "work", videos=1, clips=1)
    push_to_hub(tmp_path / "work", PushOptions(repo_id="maker/x", media="files"))
    done = export_dataset(find_dataset("maker/x"), make_exporter("opensora"), tmp_path / "out")
    assert (done.clips, done.images) == (1, 1)
    push_to_hub(tmp_path / "work", PushOptions(repo_id="maker/y", media="none"))
    with pytest.raises(UsageError, match="holds references"):
        export_dataset(find_dataset("maker/y"), make_exporter("opensora"), tmp_path / "elsewhere")
