"""Published bytes are those that were answered: damage is written anew, power cuts lose nothing."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from brickfilm.build.build_dataset import BuildResult
from brickfilm.dataset.reader import CorruptDatasetError, find_dataset
from brickfilm.dataset.write import DamagedMediaError
from brickfilm.engine.ledger import Ledger
from brickfilm.export.media_files import write_media
from brickfilm.export.rows import ExportRow
from brickfilm.hub.publish import PushOptions, plan_push
from brickfilm.hub.publish.options import MediaMode
from tests.kit.power_cut import FlushedDisk
from tests.kit.small_build import built, two_shots

Rebuild = Callable[[], BuildResult]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return two_shots(path, size=(160, 90))


@pytest.fixture(scope="module")
def original(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    built(film, work)
    return work


@pytest.fixture
def work(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "work"))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [flip_bit, pytest.param(emptied, marks=pytest.mark.slow), Path.unlink]
)
def test_damaged_media_are_written_anew_and_it_is_said(
    film: Path, original: Path, work: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    image = next((work / "stills").glob("*-f000009-*"))  # the middle of 20 frames, an image
    clip = next((work / "clips").iterdir())
    damage(clip)
    damage(image)
    shutil.rmtree(work / "dataset")
    with caplog.at_level(logging.WARNING):
        result = built(film, work)
    assert result.exit_code == 0
    assert contents(work / "dataset") == contents(original / "dataset")
    assert contents(work / "clips") == contents(original / "clips")
    assert contents(work / "stills") == contents(original / "stills")
    if damage is not Path.unlink:  # what is missing is found by the pass itself
        assert "2 media files of the work folder are damaged" in caplog.text
        assert clip.name in caplog.text


def test_a_save_elsewhere_publishes_no_damaged_clip(film: Path, work: Path, tmp_path: Path) -> None:
    dataset = built(film, work).dataset
    clip = next((work / "clips").iterdir())
    flip_bit(clip)
    with pytest.raises(DamagedMediaError, match=f"1 media files .*{clip.name}"):
        dataset.save(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not clip.exists()  # the next build writes it anew
    built(film, work).dataset.save(tmp_path / "copy")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: next(folder.rglob("*.parquet")).unlink(),
        lambda folder: next(folder.rglob("*.parquet")).write_bytes(b"PAR1"),
        lambda folder: (folder / "README.md").write_bytes(b""),
        lambda folder: (folder / ".fingerprint.json").write_bytes(b""),
        lambda folder: (folder / ".fingerprint.json").write_bytes(b"[1]"),
    ],
    ids=["no table", "short table", "no card", "empty fingerprint", "odd fingerprint"],
)
def test_a_damaged_dataset_folder_is_rebuilt(
    film: Path, original: Path, work: Path, damage: Callable[[Path], Any]
) -> None:
    damage(work / "dataset")
    assert built(film, work).exit_code == 0
    assert contents(work / "dataset") == contents(original / "dataset")


@pytest.mark.parametrize("media", ["embed", pytest.param("files", marks=pytest.mark.slow)])
def test_no_damaged_row_is_pushed_or_exported_and_the_next_build_repairs_it(
    film: Path, original: Path, work: Path, tmp_path: Path, media: MediaMode
) -> None:
    (table,) = (work / "dataset/clips").iterdir()
    clip = min((work / "clips").iterdir()).read_bytes()
    content = bytearray(table.read_bytes())
    content[content.index(clip) + len(clip) // 2] ^= 1
    table.write_bytes(bytes(content))
    shutil.copytree(work / "dataset", tmp_path / "copy")
    push = PushOptions(repo_id="me/films", media=media, i_have_the_rights=True)
    with pytest.raises(CorruptDatasetError, match=r"the media of \w{16}-\S+ differ.*save or fetch"):
        plan_push(tmp_path / "copy", push)
    with pytest.raises(CorruptDatasetError, match=r"differ from their sha256.*run the build again"):
        plan_push(work, push)
    rows = [
        ExportRow(
            **{name: row[name] for name in ("split", "id", "sha256", "height", "width")},
            config="clips",
            caption="A wall.",
            frames=row["num_frames"],
            fps=Fraction(24),
            columns=row,
        )
        for row in find_dataset(work).to_pandas("clips").to_dict("records")
    ]
    names = {("clips", row.id): f"{row.id}.mp4" for row in rows}
    with pytest.raises(CorruptDatasetError, match="differ from their sha256"):
        write_media(find_dataset(work), rows, names, tmp_path / "out")
    assert built(film, work).exit_code == 0
    assert contents(work / "dataset") == contents(original / "dataset")
    plan_push(work, push)


def test_files_are_on_disk_before_their_answer_is_stored(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FlushedDisk(monkeypatch)
    put = Ledger.put
    files = []

    def checked_put(self: Ledger, part: str, key: str, answer: Any, *args: Any, **kw: Any) -> None:
        for file in answer.get("files", ()):
            content = disk.after_power_cut(tmp_path / "work" / file["path"], tmp_path / "work")
            assert content is not None, f"{file['path']} would be gone"
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
            files.append(file["path"])
        put(self, part, key, answer, *args, **kw)

    monkeypatch.setattr(Ledger, "put", checked_put)
    built(film, tmp_path / "work")
    assert (
        len(files) == 2 + 2 * 4
    )  # two clips; of each three stills and the image, one of which is both
