"""Damaged state is repaired, or named in one line: no traceback, and never another dataset."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brickfilm.build.plan_file import Plan
from brickfilm.captions.audit import audit_rates
from brickfilm.dataset.reader import find_dataset
from brickfilm.dataset.validate import validate
from brickfilm.engine.ledger import ledger_frame, spend_frame
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.tombstones import Tombstone, Tombstones, write_tombstone
from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.hub.publish import PushOptions, plan_push, pushed_repos
from brickfilm.records import Listing
from brickfilm.sources.base import SourceFile, all_source_metadata
from brickfilm.sources.base.lock import LOCK_FILENAME, LockedVideo, SourcesLock
from tests.kit.damage import DAMAGES, Damage, cut
from tests.kit.footage import film_bytes
from tests.kit.http_source import DownloadFile
from tests.kit.servers.videos import video_site
from tests.kit.small_build import built, two_shots

STATE_FILES = (
    FILENAME,
    "plan.json",
    "tombstones.jsonl",
    "pushed.txt",
    "ledger.lock",
    "report.html",
    "dataset/README.md",
    "dataset/.fingerprint.json",
    "dataset/clips/train-00000-of-00001.parquet",
    "dataset/images/train-00000-of-00001.parquet",
)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return two_shots(path, size=(96, 54))


@pytest.fixture(scope="module")
def original(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    built(film, work)
    write_tombstone(work, Tombstone("source", "gone.mp4", "2026-11-30", sources=("gone.mp4",)))
    (work / "pushed.txt").write_text("me/films\n")
    with sqlite3.connect(work / FILENAME) as db:  # all in one file
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return work


@pytest.fixture
def work(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "work"))


def tables(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (work / "dataset").rglob("*.parquet")}


def one_line(act: Callable[[], Any]) -> bool:
    """Return True if it worked, False after an expected error of one line."""
    try:
        act()
    except BrickfilmError as error:
        assert "\n" not in str(error)
        return False
    return True


def use_damaged(film: Path, original: Path, work: Path, name: str, content: bytes) -> None:
    """Replace a file and use all state; a build that ends well gives the same dataset."""
    (work / name).write_bytes(content)
    for act in (
        lambda: (ledger_frame(work), spend_frame(work), audit_rates(work)),
        lambda: Plan.read(work),
        lambda: pushed_repos(work),
        lambda: validate(find_dataset(work), workers=1),
        lambda: plan_push(work, PushOptions(repo_id="me/films", i_have_the_rights=True)),
    ):
        one_line(act)
    if one_line(lambda: built(film, work)):
        assert tables(work).keys() == tables(original).keys()  # their bytes are checked when read
        one_line(lambda: validate(find_dataset(work), workers=1))


@pytest.mark.parametrize("name", STATE_FILES)
@pytest.mark.parametrize("damage", [pytest.param(d, marks=pytest.mark.slow) for d in DAMAGES])
def test_any_damage_is_repaired_or_named(
    film: Path, original: Path, work: Path, name: str, damage: Damage
) -> None:
    content = damage((work / name).read_bytes(), random.Random(name))
    use_damaged(film, original, work, name, content)


@pytest.mark.parametrize("name", [FILENAME, "plan.json", "tombstones.jsonl", STATE_FILES[-1]])
def test_a_cut_file_is_repaired_or_named(film: Path, original: Path, work: Path, name: str) -> None:
    content = cut((work / name).read_bytes(), random.Random(name))
    use_damaged(film, original, work, name, content)


@pytest.mark.parametrize("name", ["plan.json", "tombstones.jsonl", "dataset/README.md"])
def test_a_file_of_nothing_but_brackets_is_named(
    film: Path, original: Path, work: Path, name: str
) -> None:
    content = b"---\n" * name.endswith("md") + b"[" * 100_000
    use_damaged(film, original, work, name, content)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_any_damage_of_thirty_is_repaired_or_named(
    film: Path, original: Path, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    for n in range(30):
        work = Path(shutil.copytree(original, tmp_path / "work"))
        name = draw.choice([FILENAME, *STATE_FILES])
        damage = draw.choice(DAMAGES)
        print(n, name, damage.__name__)
        content = damage((work / name).read_bytes(), draw)
        use_damaged(film, original, work, name, content)
        shutil.rmtree(work)


def test_every_file_of_a_work_folder_is_among_them(original: Path) -> None:
    files = {str(path.relative_to(original)) for path in original.rglob("*") if path.is_file()}
    media = {name for name in files if name.startswith(("clips/", "stills/"))}  # test_damage.py
    assert media
    assert files - media == set(STATE_FILES)


def all_damage(content: bytes) -> Iterator[bytes]:
    """Yield the content with a bit of each byte changed, and cut after each byte."""
    for place, value in enumerate(content):
        yield content[:place]
        yield content[:place] + bytes([value ^ 1 << place % 8]) + content[place + 1 :]


def test_a_lock_file_with_a_byte_wrong_or_cut_is_read_or_named(tmp_path: Path) -> None:
    text = dict.fromkeys(("source_id", "url", "title", "format_id", "format", "licence"), "å")
    video = LockedVideo(**text, height=9, sha256="0", bytes=7, fetched_at=1.5, tool="t")
    SourcesLock((video,)).write(tmp_path)
    path = tmp_path / LOCK_FILENAME
    assert SourcesLock.read(tmp_path).videos == (video,)
    for content in all_damage(path.read_bytes()):
        path.write_bytes(content)
        one_line(lambda: SourcesLock.read(tmp_path))


def test_a_sidecar_with_a_byte_wrong_or_cut_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    file = SourceFile(tmp_path, "a film")
    file.write_plan({"source_id": "a film", "url": "", "uploader": "å"})
    whole = file.plan()
    assert whole
    for content in all_damage(file.sidecar.read_bytes()):
        file.sidecar.write_bytes(content)
        assert file.plan() in (None, whole)  # a space between two entries may be another one
        assert list(all_source_metadata(tmp_path)) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_video_with_a_damaged_sidecar_is_fetched_again(
    tmp_path: Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    with video_site() as site:
        site.add("a", film_bytes(frames=30))
        stage, item = DownloadFile(), Listing(source_id="a", url=site.file("a"))
        with stage.open(tmp_path) as compute:
            fetched = compute(item)
            (sidecar,) = (tmp_path / "sources").glob("*.json")
            sidecar.write_bytes(damage(sidecar.read_bytes(), random.Random(7)))
            again = compute(item)
    assert len(site.requests_for("a")) == 2
    assert "is damaged" in caplog.text
    assert {k: v for k, v in again["film"].items() if k != "fetched_at"} == {
        k: v for k, v in fetched["film"].items() if k != "fetched_at"
    }


def test_an_empty_ledger_beside_clips_is_not_a_new_one(film: Path, work: Path) -> None:
    (work / FILENAME).write_bytes(b"")
    with pytest.raises(UsageError, match=r"is empty, and clips, stills, dataset beside it"):
        built(film, work)
    assert (work / FILENAME).stat().st_size == 0
    (work / FILENAME).unlink()
    assert built(film, work).exit_code == 0


def test_a_damaged_answer_is_computed_again_and_said(
    film: Path, original: Path, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(work / FILENAME) as db:
        changed = "UPDATE answers SET answer = substr(answer, 1, length(answer) - 1)"
        writer = "part = (SELECT digest FROM parts WHERE name = 'ClipWriter')"
        assert db.execute(f"{changed} WHERE {writer}").rowcount == 2
    db.close()
    shutil.rmtree(work / "dataset")
    assert built(film, work).exit_code == 0
    assert caplog.text.count("is damaged, and computed again") == 2
    assert tables(work) == tables(original)


@pytest.mark.parametrize("line", ["{", "[]", '{"kind": "source"}', "\x00\x00", "{}"])
def test_a_torn_tombstone_stops_the_build_and_names_its_line(
    film: Path, work: Path, line: str
) -> None:
    with (work / "tombstones.jsonl").open("a") as file:
        file.write(line)
    with pytest.raises(UsageError, match=r"line 2 of .*tombstones.jsonl.*repeat `brickfilm rem"):
        built(film, work)


def test_a_changed_name_in_a_tombstone_is_found(work: Path) -> None:
    path = work / "tombstones.jsonl"
    assert Tombstones.load(work).entries[0].sources == ("gone.mp4",)
    path.write_text(path.read_text().replace('["gone.mp4"]', '["gonf.mp4"]'))
    with pytest.raises(UsageError, match="its digest is of another content"):
        Tombstones.load(work)
