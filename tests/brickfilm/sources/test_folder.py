"""FolderSource and Probe, on valid and invalid files."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from brickfilm.errors import MediaError, UsageError
from brickfilm.records import Listing
from brickfilm.sources import FolderSource
from brickfilm.sources.folder import Probe
from tests.brickfilm.conftest import Drawn
from tests.kit.ask_stage import ask, video_of


def names(source: FolderSource) -> list[str]:
    return [item.source_id for item in source.items() if isinstance(item, Listing)]


def test_a_folder_lists_its_films_by_name_and_opens_none(tmp_path: Path) -> None:
    for name in ("b.mp4", "deep/a.MKV", "notes.txt", "b.vtt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no film")
    assert names(FolderSource(tmp_path)) == ["b.mp4", "deep/a.MKV"]
    assert names(FolderSource(tmp_path / "*.mp4")) == ["b.mp4"]
    assert names(FolderSource(tmp_path / "notes.txt")) == ["notes.txt"]
    assert names(FolderSource(tmp_path, tmp_path / "b.mp4")) == ["b.mp4", "deep/a.MKV"]


def test_clips_of_a_build_among_the_films_are_no_footage(tmp_path: Path) -> None:
    for name in ("film.mp4", "clips/a.mp4", "build/clips/b.mp4", "other/clips/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "ledger.sqlite").touch()
    (tmp_path / "build" / "ledger.sqlite").touch()
    assert names(FolderSource(tmp_path)) == ["film.mp4", "other/clips/c.mp4"]


def test_equal_names_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "film.mp4").touch()
    assert names(FolderSource(tmp_path / "one", tmp_path / "two")) == [
        "one/film.mp4",
        "two/film.mp4",
    ]


def test_a_path_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no"):
        list(FolderSource(tmp_path / "nowhere").items())
    with pytest.raises(UsageError, match="no video below"):
        list(FolderSource(tmp_path).items())
    with pytest.raises(UsageError, match="needs a path"):
        FolderSource()


def test_a_licence_nobody_knows_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="'CC BX' is not known"):
        FolderSource("films", licence="CC BX")


@pytest.mark.parametrize("name", ["ein Film.mp4", "фильм é 片.mp4", "two\nlines.mp4", "-rf.mp4"])
def test_any_name_will_do(name: str, plain: Drawn, tmp_path: Path) -> None:
    shutil.copy(plain.video.path, tmp_path / name)
    (listing,) = FolderSource(tmp_path).items()
    (video,) = ask(Probe(), [listing], tmp_path)
    assert video.source_id == name
    assert video.id == plain.video.id


def test_a_film_is_what_it_is(plain: Drawn) -> None:
    assert plain.video.fps == Fraction(24)
    assert plain.video.time_base == plain.truth.time_base
    assert (plain.video.width, plain.video.height) == (320, 180)
    assert plain.video.duration == pytest.approx(float(plain.truth.duration), abs=0.05)


def test_one_film_under_two_names_is_one_film(plain: Drawn, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(plain.video.path, tmp_path / name)
    one, two = (video_of(tmp_path / name) for name in ("a.mp4", "b.mp4"))
    assert one.id == two.id
    assert one.source_id != two.source_id


def test_a_replaced_file_is_looked_at_again(plain: Drawn, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    shutil.copy(plain.video.path, film)
    listing = Listing(source_id="film.mp4", path=film)
    before = Probe().key(listing)
    os.utime(film, ns=(1, 1))
    assert Probe().key(listing) != before
    film.unlink()
    assert Probe().key(listing).endswith("missing")


def _sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _bad(kind: str, path: Path, good: Path) -> None:
    match kind:
        case "empty":
            path.touch()
        case "text":
            path.write_text("This is not a film.\n" * 50)
        case "sound":
            _sound(path)
        case "no index":
            path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
        case "folder":
            path.mkdir()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "is empty"),
        ("text", "is no video"),
        ("sound", "no video stream"),
        ("no index", "is no video"),
        ("missing", "cannot be read"),
        ("folder", "is no video|cannot be read"),
    ],
)
def test_a_bad_file_says_what_is_wrong(
    kind: str, message: str, plain: Drawn, tmp_path: Path
) -> None:
    path = tmp_path / "bad.mp4"
    _bad(kind, path, plain.video.path)
    with pytest.raises(MediaError, match=message) as caught:
        video_of(path)
    assert "bad.mp4" in str(caught.value)
