"""Clips cut again from references: the same, alike, another, or gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict, load_dataset

from brickfilm import (
    ClipWriter,
    FolderSource,
    FrameSampler,
    RateLimits,
    SceneSplitter,
    YouTubeSource,
    build_dataset,
)
from brickfilm.dataset.reader import find_dataset
from brickfilm.dataset.rewrite import copy_without_rows
from brickfilm.errors import UsageError
from brickfilm.hub.materialize import NothingMaterializedError, materialize
from brickfilm.hub.materialize.cutter import clip_of_row
from brickfilm.hub.publish import PushOptions, push_to_hub
from brickfilm.scan.timestamps import FrameTimestamps
from tests.brickworld import BrickFilm
from tests.brickworld.encode import Encoding
from tests.kit.odd_videos import Film, joined
from tests.kit.servers.hub import HubServer
from tests.kit.servers.videos import video_site
from tests.kit.toy_stages import video

REPO = "maker/references"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed in (1, 2):
        BrickFilm(seed=seed, length=5, size=(128, 72)).render(folder / f"{seed}.mp4")
    return folder


@pytest.fixture(scope="module")
def built(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of two films, cut with a setting of its own."""
    work = tmp_path_factory.mktemp("built")
    stages = (SceneSplitter(), ClipWriter(crf=23), FrameSampler())
    build_dataset(FolderSource(films), *stages, workdir=work)
    return work


@pytest.fixture
def published(hub: HubServer, built: Path) -> str:
    push_to_hub(built, PushOptions(repo_id=REPO, media="none"))
    return REPO


def test_the_image_of_a_trimmed_clip_is_cut_at_its_own_frame() -> None:
    pts, source = np.arange(60), video("a")
    sizes, flags = np.full((60, 2), 8), np.zeros(60, np.int64)
    times = FrameTimestamps(pts, 1, sizes, flags, source.time_base)
    row = {"id": f"{source.id}-000022-000040", "start_frame": 22, "end_frame": 40}
    for frame, chosen in ((31, 31), (30, None), (45, None)):  # 30 is the middle, 45 outside
        image = {"id": f"{row['id']}-f{frame:06d}"}
        assert clip_of_row(row, image, source, times).image_frame == chosen
    assert clip_of_row(row, None, source, times).image_frame is None


@pytest.mark.slow
def test_the_same_films_give_the_same_bytes(
    published: str, built: Path, films: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    (folder / "empty.mp4").touch()  # which no row wants
    done = materialize(find_dataset(published), tmp_path / "again", sources=folder)
    assert done.all_match
    assert set(done.counts) == {"same bytes"}
    again, first = (load_dataset(str(w / "dataset")) for w in (tmp_path / "again", built))
    assert contents(again) == contents(first)


@pytest.mark.slow
def test_clips_beside_a_jump_of_the_clock_are_cut_as_the_build_cut_them(tmp_path: Path) -> None:
    """The last frame before a gap is shown as long as usual, not until the next one."""
    films = tmp_path / "films"
    films.mkdir()

    Film(frames=48, pts=lambda n: n + 2400 * (n >= 24)).write(films / "gap.mkv")
    joined(100, 0)(films / "back.ts")
    stages = (SceneSplitter(), ClipWriter(), FrameSampler(at=(0.5,)))
    work = tmp_path / "built"
    build_dataset(FolderSource(films), *stages, workdir=work)
    clips = find_dataset(work).to_pandas_by_config()["clips"]
    assert len(clips) == 4 and clips.duration.max() < 1.01
    done = materialize(find_dataset(work), tmp_path / "again", sources=films)
    assert set(done.counts) == {"same bytes"}
    copies = tmp_path / "copies"
    copies.mkdir()
    (copies / "gap.mkv").write_bytes((films / "gap.mkv").read_bytes() + b"\0")
    done = materialize(find_dataset(work), tmp_path / "of_a_copy", sources=copies)
    assert done.counts == {"same bytes": 4, "gone": 4}  # cut by seconds; back.ts has no copy


def contents(splits: DatasetDict) -> dict[str, list[bytes]]:
    return {name: [video["bytes"] for video in rows["video"]] for name, rows in splits.items()}


def test_images_whose_clips_were_not_published_come_back_too(
    built: Path, films: Path, tmp_path: Path
) -> None:
    rest = tmp_path / "rest"
    shutil.copytree(built / "dataset", rest)
    clips, images = (pd.read_parquet(rest / config) for config in ("clips", "images"))
    for file in sorted((rest / "clips").glob("*.parquet")):
        copy_without_rows(file, file.with_suffix(".less"), "video", {clips.id[0]})
        file.with_suffix(".less").replace(file)
    done = materialize(find_dataset(rest), tmp_path / "out", sources=films)
    assert done.all_match
    assert done.counts.total() == len(clips) - 1 + len(images)
    again = pd.read_parquet(tmp_path / "out" / "dataset" / "images")
    assert sorted(again.id) == sorted(images.id)


@pytest.mark.slow
def test_an_image_alone_is_told_nothing_of_by_another_copy(
    built: Path, films: Path, tmp_path: Path
) -> None:
    rest, others = tmp_path / "rest", tmp_path / "others"
    shutil.copytree(built / "dataset", rest)
    others.mkdir()
    for seed in (1, 2):
        film = BrickFilm(seed=seed, length=5, size=(128, 72), encoding=Encoding(crf=30))
        film.render(others / f"{seed}.mp4")
    clips = pd.read_parquet(rest / "clips")
    for file in sorted((rest / "clips").glob("*.parquet")):
        copy_without_rows(file, file.with_suffix(".less"), "video", {clips.id[0]})
        file.with_suffix(".less").replace(file)
    done = materialize(find_dataset(rest), tmp_path / "out", sources=others)
    table = pd.read_csv(done.table)
    alone = table[table.id.str.startswith(clips.id[0])]
    assert list(alone.verdict) == ["differs"]
    assert "another copy" in alone.note.item()


def test_the_dataset_of_a_build_is_not_replaced(
    published: str, films: Path, tmp_path: Path
) -> None:
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(UsageError, match="is the work folder of a build"):
        materialize(find_dataset(published), tmp_path, sources=films)


def test_films_that_are_nowhere_are_gone_row_by_row(published: str, tmp_path: Path) -> None:
    with pytest.raises(NothingMaterializedError, match=r"\d+ gone.*csv lists the reasons"):
        materialize(find_dataset(published), tmp_path)
    table = pd.read_csv(tmp_path / "materialized.csv")
    assert set(table.verdict) == {"gone"}
    assert len(table) == sum(
        len(rows) for rows in find_dataset(published).to_pandas_by_config().values()
    )
    assert table.note.str.contains("--sources FOLDER").all()


@pytest.mark.slow
def test_a_copy_encoded_anew_gives_the_same_pictures(
    published: str, films: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for seed in (1, 2):
        worse = BrickFilm(seed=seed, length=5, size=(128, 72), encoding=Encoding(crf=30))
        worse.render(copies / f"{seed}.mp4")
    done = materialize(find_dataset(published), tmp_path / "again", sources=copies)
    assert done.all_match, done.counts
    assert done.counts["same pictures"] > done.counts["same bytes"] == 0
    places = find_dataset(tmp_path / "again").to_pandas("clips").id
    assert set(places) == set(find_dataset(published).to_pandas("clips").id)


@pytest.mark.slow
def test_another_film_differs_and_a_missing_one_is_gone(
    published: str, films: Path, tmp_path: Path
) -> None:
    some = tmp_path / "some"
    some.mkdir()
    BrickFilm(seed=77, length=5, size=(128, 72)).render(some / "1.mp4")
    with pytest.raises(NothingMaterializedError):
        materialize(find_dataset(published), tmp_path / "again", sources=some)
    shutil.copy(films / "2.mp4", some / "renamed.mp4")
    done = materialize(find_dataset(published), tmp_path / "again", sources=some)
    table = pd.read_csv(done.table)
    assert not done.all_match
    assert set(table[table.source_id == "1.mp4"].verdict) == {"differs"}
    assert set(table[table.source_id == "2.mp4"].verdict) == {"same bytes"}
    (some / "1.mp4").unlink()
    done = materialize(find_dataset(published), tmp_path / "again", sources=some)
    table = pd.read_csv(done.table)
    gone = table[table.source_id == "1.mp4"]
    assert set(gone.verdict) == {"gone"}
    assert gone.note.str.contains("--sources FOLDER").all()


@pytest.mark.slow
def test_films_are_fetched_from_their_addresses_and_a_film_taken_down_is_gone(
    hub: HubServer, films: Path, tmp_path: Path
) -> None:
    polite = RateLimits(between_videos=(0, 0), between_requests=0)
    with video_site() as site:
        pages = [site.add(f"film{n}", (films / f"{n}.mp4").read_bytes()) for n in (1, 2)]
        source = YouTubeSource(pages, on_low_resolution="keep", rate_limits=polite)
        build_dataset(source, SceneSplitter(), FrameSampler(), workdir=tmp_path / "built")
        push_to_hub(tmp_path / "built", PushOptions(repo_id=REPO, media="none"))
        del site.videos["film2"]
        done = materialize(
            find_dataset(REPO),
            tmp_path / "again",
            downloads=YouTubeSource((), rate_limits=polite),
            allow_private=True,
        )
    table = pd.read_csv(done.table)
    assert set(table[table.source_url == pages[0]].verdict) == {"same bytes"}
    assert set(table[table.source_url == pages[1]].verdict) == {"gone"}
