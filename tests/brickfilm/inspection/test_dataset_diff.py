"""Two datasets compared: rows, columns, reasons and settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brickfilm import Keep
from brickfilm.cli import app
from brickfilm.engine.ledger import CaptionEdit, read_records, save_edits
from brickfilm.inspection import diff_datasets
from tests.kit.small_build import built


@pytest.mark.slow
def test_rows_gone_changed_and_added_are_told_with_reason_and_setting(
    small: Path, tmp_path: Path
) -> None:
    work = Path(shutil.copytree(small, tmp_path / "w"))
    ids = {r.num_frames: r.item for r in read_records(work).values() if r.kind == "clip"}
    save_edits(work, [CaptionEdit(item=ids[24], caption="A wall.")])
    built(small.parent / "film.mp4", work, Keep("num_frames", at_least=20))
    diff = diff_datasets(small, work)
    assert diff.settings == ["Keep.at_least: 21 -> 20"]
    (clips,) = [c for c in diff.configs if c.config == "clips"]
    assert (clips.same, clips.added, dict(clips.gone)) == (0, [ids[20]], {})
    assert clips.changed["caption"] == [ids[24]]
    assert clips.causes == {"caption with caption_model and caption_status": 1}
    back = diff_datasets(work, small)
    assert back.configs[0].gone == {ids[20]: "rejected by Keep: num_frames below 21"}
    shown = CliRunner().invoke(app, ["diff", str(work), str(small)])
    assert shown.exit_code == 1
    assert f"gone, rejected by Keep: num_frames below 21: {ids[20]}" in shown.output


def test_a_dataset_equals_itself(small: Path) -> None:
    shown = CliRunner().invoke(app, ["diff", str(small), str(small)])
    assert (shown.exit_code, shown.output) == (
        0,
        "clips: 0 added, 0 gone, 1 the same\nimages: 0 added, 0 gone, 2 the same\n",
    )
