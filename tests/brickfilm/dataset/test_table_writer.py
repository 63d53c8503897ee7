"""Tables of many rows are mapped from files, and equal those in memory."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from brickfilm.dataset import configs_from_rows, table_writer, write
from brickfilm.dataset.rows import clip_row
from brickfilm.dataset.write import save_configs, saved_card
from brickfilm.digest import digest_of
from tests.kit.report_builds import shot, source_video


def configs(work: Path, count: int) -> dict[str, Any]:
    (work / "clips").mkdir(exist_ok=True)
    clips = [shot(work, source_video(f"{n % 3}.mp4"), n) for n in range(count)]
    rows = [clip_row(clip) for clip in clips]
    for n, row in enumerate(rows):
        row["score_odd"] = (0.1 * n, float("inf"), 1e-9)[n % 3]
        (work / row["video"]).write_bytes(b"")
        row["sha256"] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    splits = {clip.video.id: "test" if clip.video.title == "1.mp4" else "train" for clip in clips}
    return configs_from_rows(rows, [], splits, work)


@pytest.mark.parametrize("count", [1, 6, 11])
def test_a_large_table_is_a_file_as_long_as_it_is_used(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = configs(tmp_path, count)
    monkeypatch.setattr(table_writer, "MEMORY_ROWS", 0)
    monkeypatch.setattr(table_writer, "BATCH_ROWS", 2)
    monkeypatch.setattr(write, "DIGESTED_ROWS", 2)
    large = configs(tmp_path, count)
    assert {s: t[:] for s, t in large["clips"].items()} == {
        s: t[:] for s, t in small["clips"].items()
    }
    assert saved_card(large) == saved_card(small)
    first, second = tmp_path / "small", tmp_path / "large"
    save_configs(small, first)
    save_configs(large, second)
    names = sorted(p.relative_to(first) for p in first.rglob("*.parquet"))
    assert [(first / n).read_bytes() for n in names] == [(second / n).read_bytes() for n in names]
    assert list(tmp_path.glob(".rows-*.tmp"))
    del large
    gc.collect()
    assert not list(tmp_path.glob(".rows-*.tmp"))


def test_the_content_digest_is_that_of_all_rows_at_once(tmp_path: Path) -> None:
    made = configs(tmp_path, 5)
    rows = {
        config: {split: list(table.remove_columns(media)) for split, table in splits.items()}
        for (config, splits), media in zip(made.items(), ("video", "image"), strict=True)
    }
    assert digest_of(rows) in saved_card(made)
