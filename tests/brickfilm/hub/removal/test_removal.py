"""Removed clips are nowhere: not in the folder, the ledger, or a repository."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import HfApi

from brickfilm import (
    BrickfilmDataset,
    FolderSource,
    FrameSampler,
    Keep,
    SceneSplitter,
    build_dataset,
)
from brickfilm.dataset.data_files import DatasetNotFoundError
from brickfilm.dataset.reader import find_dataset
from brickfilm.digest import with_digest, without_digest
from brickfilm.engine.ledger import Ledger, ledger_frame
from brickfilm.errors import WorkdirBusy
from brickfilm.hub.publish import PushOptions, push_to_hub, upload
from brickfilm.hub.removal import (
    NothingToRemoveError,
    PartialRemovalError,
    RemovalRequest,
    find_rows,
    remove,
)
from brickfilm.schema.hub_errors import HubError
from tests.brickworld import BrickFilm
from tests.kit.ledger_texts import ledger_texts, stored_texts
from tests.kit.servers.hub import HubServer
from tests.kit.servers.videos import video_site
from tests.kit.toy_dataset import toy_dataset
from tests.kit.youtube import fetch, youtube_source

REPO = "maker/brickfilm"


def published_ids(config: str = "clips", **more: object) -> set[str]:
    splits = load_dataset(REPO, config, **more)
    return {row for rows in splits.values() for row in rows["id"]}


def first_clip(work: Path) -> str:
    return str(find_dataset(work).to_pandas("clips", ["id"]).id[0])


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed in (1, 2):
        BrickFilm(seed=seed, length=5, size=(128, 72)).render(folder / f"{seed}.mp4")
    return folder


def build(films: Path, work: Path, min_frames: int = 15) -> BrickfilmDataset:
    stages = (SceneSplitter(min_frames=min_frames), FrameSampler())
    return build_dataset(FolderSource(films), *stages, workdir=work)


@pytest.mark.slow
def test_a_source_goes_with_all_its_files_and_no_rebuild_brings_it_back(
    films: Path, tmp_path: Path
) -> None:
    before = build(films, tmp_path)
    ids = {row["id"] for split in before["clips"].values() for row in split}
    film = find_dataset(tmp_path).to_pandas("clips", ["id", "source_id"])
    removed = set(film[film.source_id == "1.mp4"].id)
    removal = remove(tmp_path, RemovalRequest("source", "1.mp4"))
    assert set(removal.clips) == removed
    left = [p.name for p in tmp_path.rglob("*") if p.suffix in (".mp4", ".jpg")]
    assert left
    assert not [name for name in left if name.startswith(tuple(removed))]
    again = build(films, tmp_path, min_frames=20)
    kept = {row["id"] for split in again["clips"].values() for row in split}
    assert kept
    assert kept <= ids - removed
    outcomes = ledger_frame(tmp_path)
    assert set(outcomes[outcomes.reason == "removed on request"].source_id) == {"1.mp4"}
    assert "1.mp4" in removal.reply_text()


@pytest.mark.slow
def test_own_footage_stays_even_below_the_work_folder(films: Path, tmp_path: Path) -> None:
    own = shutil.copytree(films, tmp_path / "films")
    build(own, tmp_path)
    remove(tmp_path, RemovalRequest("source", "1.mp4"))
    assert sorted(path.name for path in own.glob("*.mp4")) == ["1.mp4", "2.mp4"]


@pytest.mark.slow
def test_one_clip_goes_and_what_lies_beside_it_stays(films: Path, tmp_path: Path) -> None:
    build(films, tmp_path)
    clip = first_clip(tmp_path)
    others = set(find_dataset(tmp_path).to_pandas("clips", ["id"]).id) - {clip}
    remove(tmp_path, RemovalRequest("clip", clip))
    assert set(find_dataset(tmp_path).to_pandas("clips", ["id"]).id) == others
    assert clip not in set(find_dataset(tmp_path).to_pandas("images", ["clip_id"]).clip_id)
    assert not list(tmp_path.rglob(f"{clip}*"))
    assert (tmp_path / "ledger.sqlite").read_bytes().count(clip.encode()) == 0
    assert not stored_texts(clip, tmp_path)
    build(films, tmp_path)
    assert set(find_dataset(tmp_path).to_pandas("clips", ["id"]).id) == others


@pytest.mark.slow
def test_a_source_of_which_nothing_came_through_goes_too(films: Path, tmp_path: Path) -> None:
    stages = (SceneSplitter(), FrameSampler(), Keep("sharpness", at_least=1e9))
    build_dataset(FolderSource(films / "1.mp4", films / "2.mp4"), *stages, workdir=tmp_path)
    assert len(find_dataset(tmp_path).to_pandas("images", ["id"]))
    before = len(list(tmp_path.rglob("*.mp4")))
    removal = remove(tmp_path, RemovalRequest("source", "1.mp4"))
    assert removal.images
    assert 0 < len(list(tmp_path.rglob("*.mp4"))) < before
    with pytest.raises(NothingToRemoveError):
        remove(tmp_path, RemovalRequest("source", "3.mp4"))


def test_an_answer_that_other_clips_share_is_kept(tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=1, clips=3)
    frame = find_dataset(tmp_path).to_pandas("clips")
    frame.loc[1:, "caption"] = 'the same "words" twice'
    own, shared = frame.caption[0], frame.caption[1]
    assert find_rows({"clips": frame}, RemovalRequest("clip", frame.id[0])).captions == {own}
    assert find_rows({"clips": frame}, RemovalRequest("clip", frame.id[1])).captions == frozenset()
    everything = find_rows({"clips": frame}, RemovalRequest("uploader", frame.uploader[0]))
    assert everything.captions == {own, shared}


@pytest.mark.slow
@pytest.mark.parametrize("media", ["embed", "files"])
def test_a_published_repository_is_updated_too(hub: HubServer, tmp_path: Path, media: str) -> None:
    toy_dataset(tmp_path, videos=4, clips=2)
    push_to_hub(tmp_path, PushOptions(repo_id=REPO, media=media))
    before, stills = published_ids(), published_ids("images")
    removal = remove(tmp_path, RemovalRequest("uploader", "ada"))
    after = published_ids()
    assert after == before - set(removal.clips)
    assert len(removal.clips) == 4
    assert published_ids("images") == stills - set(removal.images)
    assert {row["id"] for row in load_dataset(REPO, split="train", streaming=True)} <= after
    names = " ".join(hub.files(REPO))
    assert not any(clip in names for clip in removal.clips)
    card = hub.files(REPO)["README.md"].read_text()
    assert "Removed on request so far: 4 clips." in card
    assert "4 captioned video clips" in card


@pytest.mark.slow
@pytest.mark.parametrize("earlier", [False, True])
def test_media_that_a_broken_push_left_behind_go_too(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    toy_dataset(tmp_path, videos=2, clips=2)
    if earlier:
        push_to_hub(tmp_path, PushOptions(repo_id=REPO))
    monkeypatch.setattr(upload, "FILES_PER_COMMIT", 3)
    hub.fail("POST /api/datasets/maker/brickfilm/commit", status=403, skip=1)
    with pytest.raises(HubError):
        push_to_hub(tmp_path, PushOptions(repo_id=REPO, media="files"))
    clips = set(find_dataset(tmp_path).to_pandas("clips", ["id"]).id)
    left = {name for name in hub.files(REPO) if name.startswith("media/")}
    assert len(left) == 3
    removal = remove(tmp_path, RemovalRequest("source", "src0"))
    kept = {clip for clip in clips if clip not in removal.clips}
    names = [name for name in hub.files(REPO) if name.startswith("media/")]
    assert {name for name in names if not any(clip in name for clip in kept)} == set()
    assert len(names) < len(left)
    assert f"{REPO}, branch main: " in removal.reply_text()
    if earlier:
        assert published_ids() == kept
        assert "inside the tables" in hub.files(REPO)["README.md"].read_text()


@pytest.mark.slow
def test_history_is_destroyed_only_when_asked(hub: HubServer, tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=2, clips=2)
    push_to_hub(tmp_path, PushOptions(repo_id=REPO, media="files"))
    clip = first_clip(tmp_path)
    path = next(name for name in hub.files(REPO) if clip in name)
    first = hub.files(REPO)[path]
    removal = remove(REPO, RemovalRequest("clip", clip))
    assert first.exists()
    assert "older versions of the repository still contain them" in removal.reply_text()
    assert "--forget-history" in removal.next_steps[0]
    second = str(find_dataset(REPO).to_pandas("clips", ["id"]).id[0])
    blobs = [blob for name, blob in hub.files(REPO).items() if second in name]
    remove(REPO, RemovalRequest("clip", second), forget_history=True)
    assert not [blob for blob in [*blobs, first] if blob.exists()]
    assert len(HfApi().list_repo_commits(REPO, repo_type="dataset")) == 1
    assert len(published_ids()) == 2


@pytest.mark.slow
def test_history_can_be_destroyed_after_a_removal_and_for_nothing_else(
    hub: HubServer, tmp_path: Path
) -> None:
    toy_dataset(tmp_path, videos=2, clips=2)
    push_to_hub(tmp_path, PushOptions(repo_id=REPO))
    clip = first_clip(tmp_path)
    blobs = [blob for name, blob in hub.files(REPO).items() if name.endswith("train-00000.parquet")]
    remove(tmp_path, RemovalRequest("clip", clip))
    with pytest.raises(NothingToRemoveError):
        remove(tmp_path, RemovalRequest("uploader", "nobody"), forget_history=True)
    assert all(blob.exists() for blob in blobs)
    again = remove(tmp_path, RemovalRequest("clip", clip), forget_history=True)
    assert again.actions == [f"{REPO}: all older versions deleted"]
    assert not [blob for blob in blobs if blob.exists()]
    assert len(published_ids()) == 3


@pytest.mark.slow
def test_a_commit_in_between_only_means_trying_again(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_dataset(tmp_path, videos=2, clips=2)
    push_to_hub(tmp_path, PushOptions(repo_id=REPO))
    hub.fail("POST /api/datasets/maker/brickfilm/commit", status=412)
    clip = first_clip(tmp_path)
    remove(tmp_path, RemovalRequest("clip", clip))
    assert clip not in published_ids()


@pytest.mark.slow
def test_every_branch_is_cleaned(hub: HubServer, tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=2, clips=2)
    push_to_hub(tmp_path, PushOptions(repo_id=REPO))
    push_to_hub(tmp_path, PushOptions(repo_id=REPO, revision="v2"))
    clip = first_clip(tmp_path)
    remove(tmp_path, RemovalRequest("clip", clip))
    assert clip not in published_ids() | published_ids(revision="v2")


def test_with_the_last_clip_the_published_dataset_ends(hub: HubServer, tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=1, clips=1)
    push_to_hub(tmp_path, PushOptions(repo_id=REPO, media="files"))
    blobs = [blob for name, blob in hub.files(REPO).items() if name.startswith("media/")]
    removal = remove(tmp_path, RemovalRequest("clip", first_clip(tmp_path)), forget_history=True)
    assert f"{REPO}, branch main: all rows removed, no clip was left" in removal.reply_text()
    assert set(hub.files(REPO)) == {".gitattributes", "README.md"}
    assert not [blob for blob in blobs if blob.exists()]
    with pytest.raises(DatasetNotFoundError):
        find_dataset(REPO)


@pytest.mark.slow
@pytest.mark.parametrize("media", ["embed", "files", "none"])
def test_both_configs_load_plain_and_streaming_after_a_removal(
    hub: HubServer, tmp_path: Path, media: str
) -> None:
    toy_dataset(tmp_path, videos=4, clips=2)
    push_to_hub(tmp_path, PushOptions(repo_id=REPO, media=media))
    left = {config: published_ids(config) for config in ("clips", "images")}
    clip = first_clip(tmp_path)
    removal = remove(tmp_path, RemovalRequest("clip", clip))
    left["clips"] -= {clip}
    left["images"] -= set(removal.images)
    assert {config: len(ids) for config, ids in left.items()} == {"clips": 7, "images": 7}
    assert {config: loaded(config) for config in left} == {c: (i, i) for c, i in left.items()}


def loaded(config: str) -> tuple[set[str], set[str]]:
    """The ids of a config, plain and streamed, from a whole read of every row."""
    plain, streamed = (load_dataset(REPO, config, streaming=s) for s in (False, True))
    rows = [[row for part in splits.values() for row in part] for splits in (plain, streamed)]
    assert len(rows[0]) == len(rows[1])
    return {row["id"] for row in rows[0]}, {row["id"] for row in rows[1]}


@pytest.mark.slow
def test_a_repository_that_refuses_keeps_no_other_from_being_cleaned(
    hub: HubServer, tmp_path: Path
) -> None:
    toy_dataset(tmp_path, videos=2, clips=2)
    for name in (REPO, "maker/also"):
        push_to_hub(tmp_path, PushOptions(repo_id=name))
    HfApi().delete_repo("maker/also", repo_type="dataset")
    clip = first_clip(tmp_path)
    with pytest.raises(
        PartialRemovalError, match=r"maker/also: 404.*Run the same command again"
    ) as raised:
        remove(tmp_path, RemovalRequest("clip", clip))
    assert clip not in published_ids()
    assert f"{REPO}, branch main: 1 clip and 1 still removed" in raised.value.report.reply_text()


@pytest.mark.slow
def test_a_removal_that_was_killed_goes_on(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(films, tmp_path)
    clip = first_clip(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("brickfilm.hub.removal.work.delete_files", interrupted)
        with pytest.raises(KeyboardInterrupt):
            remove(tmp_path, RemovalRequest("clip", clip))
    assert list(tmp_path.rglob(f"{clip}*"))
    remove(tmp_path, RemovalRequest("clip", clip))
    assert not list(tmp_path.rglob(f"{clip}*"))
    with pytest.raises(NothingToRemoveError, match="was removed before"):
        remove(tmp_path, RemovalRequest("clip", clip))
    assert len((tmp_path / "tombstones.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_nothing_is_removed_under_a_running_build(films: Path, tmp_path: Path) -> None:
    build(films, tmp_path)
    clip = first_clip(tmp_path)
    with Ledger(tmp_path), pytest.raises(WorkdirBusy):
        remove(tmp_path, RemovalRequest("clip", clip))
    assert first_clip(tmp_path) == clip
    assert not (tmp_path / "tombstones.jsonl").exists()


def interrupted(*_: object) -> int:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_an_older_cut_of_the_same_seconds_goes_too(films: Path, tmp_path: Path) -> None:
    build_dataset(
        FolderSource(films), SceneSplitter(max_frames=30), FrameSampler(), workdir=tmp_path
    )
    older = set(find_dataset(tmp_path).to_pandas("clips", ["id"]).id)
    build(films, tmp_path)
    clips = find_dataset(tmp_path).to_pandas("clips")
    clip = clips.sort_values("num_frames").iloc[-1]
    same = {i for i in older if i[:16] == clip.id[:16] and clip.start_frame < int(i[24:])
            and int(i[17:23]) < clip.end_frame}  # fmt: skip
    assert same - {clip.id}
    remove(tmp_path, RemovalRequest("clip", clip.id))
    assert not [p for i in same for p in tmp_path.rglob(f"{i}*")]
    assert [p for i in older - same for p in tmp_path.rglob(f"{i}*.mp4")]


@pytest.mark.slow
def test_an_uploader_goes_with_films_of_which_no_row_came(films: Path, tmp_path: Path) -> None:
    with video_site() as site:
        pages = [site.add(f"film{n}", (films / f"{n}.mp4").read_bytes()) for n in (1, 2)]
        fetch(tmp_path / "first", youtube_source(pages))
        with Ledger(tmp_path):  # a new one, beside the sources of another
            shutil.move(tmp_path / "first/sources", tmp_path)
        for n, sidecar in enumerate(sorted((tmp_path / "sources").glob("*.json"))):
            metadata = without_digest(json.loads(sidecar.read_text()))
            metadata["film"]["uploader"] = ("ada", "grace")[n]
            sidecar.write_text(json.dumps(with_digest(metadata)))
        stages = (SceneSplitter(), FrameSampler(images=False), Keep("sharpness", at_least=1e9))
        build_dataset(youtube_source(pages), *stages, workdir=tmp_path)
        left = set(tmp_path.rglob("*.mp4"))
        removal = remove(tmp_path, RemovalRequest("uploader", "ada"))
        assert "0 clips and 0 stills" in removal.reply_text()
        assert len(list((tmp_path / "sources").glob("*.mp4"))) == 1
        assert 0 < len(set(tmp_path.rglob("*.mp4"))) < len(left)
        said = "\n".join(text for _, text in ledger_texts(tmp_path))
        assert ("ada" in said, "grace" in said) == (False, True)
        requests = len(site.hits)
        build_dataset(youtube_source(pages), *stages, workdir=tmp_path)
        assert len(site.hits) == requests


def test_a_name_that_nothing_has_is_said(tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=1, clips=1)
    with pytest.raises(NothingToRemoveError, match="'nobody'"):
        remove(tmp_path, RemovalRequest("clip", "nobody"))
