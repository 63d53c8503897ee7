"""`brickfilm export`, as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from brickfilm.cli import app
from brickfilm.errors import UsageError
from brickfilm.export.base import NothingToExport
from tests.kit.numbered_clips import NumberedClip, numbered_dataset
from tests.kit.toy_dataset import toy_dataset

RECIPE = 'buckets = [{ resolution = "144p", frames = 8, batch_size = 8 }]\nframe_interval = 2\n'


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips on ones and one on twos, at 24 fps."""
    folder = tmp_path_factory.mktemp("work")
    numbered_dataset(
        folder,
        [NumberedClip(60), NumberedClip(61), NumberedClip(62, holds=(2,))],
    )
    return folder


def export(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["export", *(str(arg) for arg in args)])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_export_writes_the_csv_and_counts_for_a_recipe(work: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    out = tmp_path / "out"
    output = export(work, "--to", "opensora", "--out", out, "--for", recipe).output
    assert "> 16 frames" in output
    assert len((out / "opensora.csv").read_text().splitlines()) == 4


def test_a_dry_run_says_what_is_seen_and_what_would_be_better(work: Path, tmp_path: Path) -> None:
    output = export(work, "--to", "simpletuner", "--frames", 33, "--dry-run").output
    assert "simpletuner, wan2.1" in output
    assert "simpletuner plays 3 clips at 0.67 times their speed" in output
    assert "export with --fps 16" in output
    output = export(work, "--to", "diffusion-pipe", "--dry-run").output
    assert "would drop about every third drawing of 2 clips" in output
    assert "1 of these rows are of the split 'test': --split train omits them" in output


def test_a_shorter_length_is_advised_where_the_usual_one_drops_clips(work: Path) -> None:
    with pytest.raises(NothingToExport, match=r"drops 3: fewer than 81 frames"):
        export(work, "--to", "simpletuner", "--dry-run")
    output = (
        CliRunner().invoke(app, ["export", str(work), "--to", "simpletuner", "--dry-run"]).output
    )
    assert "export with --fps 16 --frames 33: 3 clips and 6.1 s are used, not 0 and 0.0" in output


def test_a_target_that_takes_no_clip_writes_nothing(work: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToExport, match=r"cosmos.* no clip .*drops 3: fewer than 94 frames"):
        export(work, "--to", "cosmos-predict2.5", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_is_updated_by_itself_only(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(work, "--to", "folder", "--out", out)
    before = {path.name: path.stat().st_ino for path in (out / "clips").glob("*.mp4")}
    export(work, "--to", "folder", "--out", out, "--split", "train")
    after = {path.name: path.stat().st_ino for path in (out / "clips").glob("*.mp4")}
    assert len(before) == 3 and len(after) == 2
    assert after.items() <= before.items()
    assert len(list((out / "clips").glob("*.txt"))) == 2
    for args, message in (
        (("--to", "nemo"), r"holds an export .* for folder \(wan2.1\), and .* nemo .*--out"),
        (("--to", "folder", "--model", "ltx-2"), r"for folder \(wan2.1\), and .*\(ltx-2\)"),
    ):
        with pytest.raises(UsageError, match=message):
            export(work, *args, "--out", out)
    shutil.copytree(work, tmp_path / "other")
    with pytest.raises(UsageError, match="name another folder with --out, or delete this one"):
        export(tmp_path / "other", "--to", "folder", "--out", out)


def test_a_folder_with_other_files_is_refused(work: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="holds other files, and no export"):
        export(work, "--to", "folder", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_texts_of_rows_that_are_gone_are_deleted_where_they_are(tmp_path: Path) -> None:
    clips = [NumberedClip(94), NumberedClip(95)]
    numbered_dataset(tmp_path / "work", clips)
    args = (tmp_path / "work", "--to", "cosmos-predict2.5", "--out", tmp_path / "out")
    export(*args)
    export(*args, "--split", "train")
    stems = {path.stem for path in (tmp_path / "out/videos").iterdir()}
    assert {path.stem for path in (tmp_path / "out/metas").iterdir()} == stems
    assert len(stems) == 1


def test_a_spoilt_marker_deletes_nothing_outside(work: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine.mp4"
    mine.touch()
    export(work, "--to", "folder", "--out", out)
    marker = out / "brickfilm-export.json"
    table = json.loads(marker.read_text())
    marker.write_text(json.dumps(table | {"media": ["../mine.mp4", str(mine), 3]}))
    export(work, "--to", "folder", "--out", out)
    assert mine.exists()
    marker.write_text("[")
    with pytest.raises(UsageError, match="cannot be read: delete the folder"):
        export(work, "--to", "folder", "--out", out)


def test_a_killed_export_is_continued(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(work, "--to", "folder", "--out", out)
    (out / "metadata.jsonl").unlink()
    next((out / "clips").glob("*.mp4")).unlink()
    (out / "clips/.half.mp4.4194999.tmp").touch()  # no process has this number
    export(work, "--to", "folder", "--out", out)
    assert not list(out.rglob(".*"))
    assert len((out / "metadata.jsonl").read_text().splitlines()) == 3
    assert len(list((out / "clips").glob("*.mp4"))) == 3


def test_all_trainers_are_compared_in_one_table(work: Path) -> None:
    lines = export(work, "--to", "all", "--dry-run").output.splitlines()
    assert lines[0].startswith("| trainer | model | clips |")
    assert len(lines) == 17
    assert (
        "| cosmos-predict2.5 | cosmos-predict2.5 | 0 of 3 | 0.0 of 7.6 | - | - | 0 of 0 |" in lines
    )
    with pytest.raises(UsageError, match="add --dry-run"):
        export(work, "--to", "all", "--out", "x")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name a target"),
        (("--to", "folder"), "needs --out FOLDER, or --dry-run"),
        (("--to", "vhs", "--out", "x"), "'vhs' is not known: diffusion-pipe, "),
        (("--to", "folder", "--out", "x", "--fps", "fast"), "give 'drawings', or a rate"),
        (("--to", "folder", "--out", "x", "--fps", "0"), "give 'drawings', or a rate"),
        (("--to", "folder", "--out", "x", "--size", "64"), "give even pixels as 832x480"),
        (("--to", "folder", "--out", "x", "--crop", "1,0,4,4"), "even pixels as x,y,width,height"),
        (("--to", "folder", "--out", "x", "--crop", "0,0,400,4"), "leaves the picture of clip"),
        (("--to", "folder", "--out", "x", "--split", "dev"), "give one of test, train"),
    ],
)
def test_a_wrong_call_is_said(work: Path, args: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(work, *args)
    assert not Path("x").exists()


def test_of_nothing_nothing_is_counted_for_a_recipe(tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=1, clips=0)
    with pytest.raises(UsageError, match="has no row"):
        export(tmp_path, "--for", "tiny/cpu")


def test_a_folder_that_cannot_be_written_is_a_wrong_call(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written.*name another folder"):
        export(work, "--to", "opensora", "--out", tmp_path / "file/out")
