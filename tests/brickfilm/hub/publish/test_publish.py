"""Pushing, through the local Hub and the real clients."""

from __future__ import annotations

import io
from pathlib import Path

import av
import fsspec
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, IterableDataset, load_dataset
from huggingface_hub import HfApi

from brickfilm.dataset.data_files import DatasetNotFoundError
from brickfilm.dataset.reader import find_dataset
from brickfilm.dataset.required_columns import require_columns
from brickfilm.errors import UsageError
from brickfilm.hub.publish import PushOptions, plan_push, push_to_hub
from brickfilm.hub.publish.upload import Upload
from brickfilm.schema.hub_errors import CommitConflictError, HubError
from brickfilm.schema.licences import LicenceError
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import FRAMES, toy_dataset

REPO = "maker/brickfilm"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a build: 4 films of 2 clips."""
    work = tmp_path_factory.mktemp("built")
    toy_dataset(work)
    return work


def load(config: str = "clips", split: str = "train", **more: object) -> Dataset | IterableDataset:
    return load_dataset(REPO, config, split=split, **more)


def frames_of(cell: dict[str, object]) -> int:
    content = cell["bytes"] or fsspec.open(str(cell["path"]), "rb").open().read()
    with av.open(io.BytesIO(content)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("media", ["embed", "files"])
def test_one_line_loads_clips_and_images_plain_and_streaming(
    hub: HubServer, built: Path, media: str
) -> None:
    push_to_hub(built, PushOptions(repo_id=REPO, media=media))
    clips, streamed = load_dataset(REPO, split="train"), load(streaming=True)
    assert (len(clips), len(load(split="test"))) == (6, 2)
    assert clips["id"] == [row["id"] for row in streamed]
    assert frames_of(clips[0]["video"]) == FRAMES == clips[0]["num_frames"]
    assert frames_of(next(iter(streamed))["video"]) == FRAMES
    still = load("images", split="test")[0]
    assert still["image"].size == (64, 48)
    assert next(iter(load("images", streaming=True)))["image"].size == (64, 48)


def test_references_hold_no_pixel(hub: HubServer, tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=2, clips=1, licence="all rights reserved")
    push_to_hub(tmp_path, PushOptions(repo_id=REPO, media="none"))
    rows = load()
    assert "video" not in rows.column_names
    assert {"source_url", "start_frame", "sha256", "frame_hashes", "caption"} <= set(
        rows.column_names
    )
    assert not [path for path in hub.files(REPO) if path.endswith((".mp4", ".jpg"))]


def test_pixels_without_an_open_licence_stay_here_unless_you_say_so(
    hub: HubServer, tmp_path: Path
) -> None:
    toy_dataset(tmp_path, videos=1, clips=2, licence="Standard YouTube License")
    with pytest.raises(LicenceError, match=r"4 of 4 .*'Standard YouTube License'.*--media none"):
        push_to_hub(tmp_path, PushOptions(repo_id=REPO))
    assert not hub.requests
    push_to_hub(tmp_path, PushOptions(repo_id=REPO, i_have_the_rights=True))
    assert len(load()) == 2


def test_a_still_whose_clip_was_left_out_needs_a_licence_too(
    hub: HubServer, tmp_path: Path
) -> None:
    toy_dataset(tmp_path, videos=1, clips=1)
    (stills,) = (tmp_path / "dataset/images").glob("*.parquet")
    table = pq.read_table(stills)
    place = table.schema.get_field_index("licence")
    pq.write_table(table.set_column(place, "licence", [["all rights reserved"]]), stills)
    with pytest.raises(LicenceError, match=r"1 of 2 .*'all rights reserved'"):
        push_to_hub(tmp_path, PushOptions(repo_id=REPO))
    assert not hub.requests
    card = plan_push(tmp_path, PushOptions(repo_id=REPO)).card.text
    assert "license: other" in card
    assert "| all rights reserved | no | 1 | 0 | 1 | 0.0 s |" in card


def test_a_dry_run_sends_nothing_and_tells_the_truth(hub: HubServer, built: Path) -> None:
    for media in ("embed", "files", "none"):
        push = PushOptions(repo_id=REPO, media=media)  # type: ignore[arg-type]
        planned = plan_push(built, push)
        assert not hub.requests
        done = push_to_hub(built, push)
        assert sorted((f.name, f.bytes) for f in planned.files) == sorted(
            (f.name, f.bytes) for f in done.files
        )
        files = {path: blob.stat().st_size for path, blob in hub.files(REPO).items()}
        assert files == {".gitattributes": files[".gitattributes"]} | {
            f.name: f.bytes for f in done.files
        }
        hub.requests.clear()
        HfApi().delete_repo(REPO, repo_type="dataset")
        hub.requests.clear()


@pytest.mark.slow
def test_a_broken_upload_goes_on_where_it_broke(hub: HubServer, tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=6, clips=1)
    push = PushOptions(repo_id=REPO, media="files")
    hub.fail("PUT /lfs/", status=400, skip=4, times=99)
    with pytest.raises(HubError, match="completed work is kept"):
        push_to_hub(tmp_path, push)
    assert "README.md" not in hub.files(REPO)
    arrived = [blob.name for blob in hub.store.folder.iterdir()]
    assert len([name for name in arrived if len(name) == 64]) >= 4
    hub.requests.clear()
    hub.mend()
    push_to_hub(tmp_path, push)
    assert not set(arrived) & {request.removeprefix("PUT /lfs/") for request in hub.requests}
    for config in ("clips", "images"):
        assert len(load(config)) == 5 == len(list(load(config, streaming=True)))


def test_the_dataset_of_a_build_pushes_itself(hub: HubServer, tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path, videos=2, clips=1)
    done = dataset.push_to_hub(REPO, media="none", private=True, revision="draft")
    assert hub.repo(REPO).at("draft").sha == done.commit
    assert len(load(revision="draft")) == 1
    with pytest.raises(TypeError, match="colour"):
        dataset.push_to_hub(REPO, colour="red")


def test_a_second_push_sends_nothing_twice(hub: HubServer, built: Path) -> None:
    push_to_hub(built, PushOptions(repo_id=REPO))
    hub.requests.clear()
    push_to_hub(built, PushOptions(repo_id=REPO))
    assert hub.count("PUT /lfs/") == 0


def test_another_kind_of_push_leaves_nothing_of_the_first(hub: HubServer, built: Path) -> None:
    push_to_hub(built, PushOptions(repo_id=REPO, media="files"))
    HfApi().upload_file(
        path_or_fileobj=b"mine", path_in_repo="notes.txt", repo_id=REPO, repo_type="dataset"
    )
    push_to_hub(built, PushOptions(repo_id=REPO, media="none"))
    files = hub.files(REPO)
    assert "notes.txt" in files
    assert not [path for path in files if path.startswith("media/")]


def test_somebody_elses_commit_in_between_is_not_overwritten(
    hub: HubServer, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_to_hub(built, PushOptions(repo_id=REPO))
    preupload = Upload.preupload

    def meanwhile(upload: Upload) -> None:
        HfApi().upload_file(
            path_or_fileobj=b"!", path_in_repo="late.txt", repo_id=REPO, repo_type="dataset"
        )
        preupload(upload)

    monkeypatch.setattr(Upload, "preupload", meanwhile)
    with pytest.raises(CommitConflictError, match="run the same command again"):
        push_to_hub(built, PushOptions(repo_id=REPO, media="none"))
    assert "late.txt" in hub.files(REPO)


def test_private_gated_and_on_a_branch(
    hub: HubServer, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_to_hub(built, PushOptions(repo_id=REPO, private=True, gated="manual", revision="v2"))
    repo = hub.repo(REPO)
    assert (repo.private, repo.gated) == (True, "manual")
    assert "README.md" not in hub.files(REPO, "main")
    assert len(load(revision="v2")) == 6
    monkeypatch.setenv("HF_TOKEN", hub.token("hf_other", "visitor"))
    with pytest.raises(DatasetNotFoundError, match="hf auth login"):
        find_dataset(REPO, revision="v2")


def test_media_files_on_a_branch_are_named_on_that_branch(hub: HubServer, built: Path) -> None:
    push_to_hub(built, PushOptions(repo_id=REPO, media="files", revision="v2"))
    assert frames_of(load(revision="v2")[0]["video"]) == FRAMES


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "hf auth login"),
        ("hf_reader", "role 'write'"),
        ("hf_unknown", "does not know your token"),
    ],
)
def test_a_token_that_will_not_do_is_said_in_one_line(
    hub: HubServer, built: Path, monkeypatch: pytest.MonkeyPatch, token: str, message: str
) -> None:
    hub.token("hf_reader", "maker", "read")
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=message):
        push_to_hub(built, PushOptions(repo_id=REPO))
    assert not hub.store.repos


@pytest.mark.slow
def test_a_hub_with_hiccups_is_waited_for(hub: HubServer, built: Path) -> None:
    hub.fail("PUT /lfs/", status=503)
    hub.cut("PUT /lfs/", after=500)
    hub.fail("POST /api/datasets/maker/brickfilm/preupload", status=429, retry_after=1)
    push_to_hub(built, PushOptions(repo_id=REPO))
    assert len(load()) == 6


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="holds no saved dataset"):
        find_dataset(tmp_path)
    with pytest.raises(DatasetNotFoundError, match="neither a folder"):
        find_dataset(tmp_path / "nowhere")


def test_a_dataset_without_stills_is_published_without_their_config(
    hub: HubServer, tmp_path: Path
) -> None:
    toy_dataset(tmp_path, videos=1, clips=1, stills=False)
    assert len(load_dataset(str(tmp_path / "dataset"))["train"]) == 1
    push_to_hub(tmp_path, PushOptions(repo_id=REPO))
    assert len(load()) == 1
    assert not [name for name in hub.files(REPO) if name.startswith("images/")]


def test_nothing_is_not_published(hub: HubServer, tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=1, clips=0)
    with pytest.raises(UsageError, match="has no clip"):
        push_to_hub(tmp_path, PushOptions(repo_id=REPO))
    assert not hub.requests


@pytest.mark.parametrize(
    "name", ["maker/bad name", "maker/--x", "maker", "a/b/c", "maker/", "m/x.git"]
)
def test_a_name_that_the_hub_would_not_take_is_refused_before_anything_is_done(name: str) -> None:
    with pytest.raises(UsageError, match="repository"):
        PushOptions(repo_id=name)


def test_an_unknown_gate_is_refused_before_anything_is_done() -> None:
    with pytest.raises(UsageError, match="'maybe': choose auto, manual or False"):
        PushOptions(repo_id=REPO, gated="maybe")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_gate_is_put_up_left_alone_and_taken_down(hub: HubServer, built: Path) -> None:
    for gated, expected in (("auto", "auto"), (None, "auto"), (False, False)):
        push_to_hub(built, PushOptions(repo_id=REPO, gated=gated))  # type: ignore[arg-type]
        assert hub.repo(REPO).gated == expected


def test_a_gate_keeps_out_who_was_not_let_in(
    hub: HubServer, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_to_hub(built, PushOptions(repo_id=REPO, gated="manual"))
    monkeypatch.setenv("HF_TOKEN", hub.token("hf_other", "visitor"))
    with pytest.raises(DatasetNotFoundError, match="gated"):
        find_dataset(REPO)


def test_a_refusal_without_a_remedy_of_ours_is_told_in_the_hubs_words(
    hub: HubServer, built: Path
) -> None:
    hub.fail("POST /api/datasets/maker/brickfilm/branch/odd", status=400)
    with pytest.raises(HubError, match="400 from the Hub; scripted fault"):
        push_to_hub(built, PushOptions(repo_id=REPO, revision="odd"))


def test_a_card_that_the_hub_does_not_take_is_said_in_one_line(
    hub: HubServer, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brickfilm.hub.publish.card.common_licence", lambda written: "mine")
    with pytest.raises(HubError, match=f'{REPO}: .*"license" must be one of') as raised:
        push_to_hub(built, PushOptions(repo_id=REPO))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("config", ["default", "clips"])
def test_a_dataset_of_another_kind_is_said_to_be_one(hub: HubServer, config: str) -> None:
    Dataset.from_dict({"text": ["a"]}).push_to_hub("maker/texts", config)
    with pytest.raises(DatasetNotFoundError, match="not a dataset of brickfilm"):
        require_columns(find_dataset("maker/texts"))
    HfApi().create_repo("maker/net")
    with pytest.raises(DatasetNotFoundError, match="no dataset 'maker/net'"):
        find_dataset("maker/net")


def test_configs_that_somebody_added_are_left_alone(hub: HubServer, built: Path) -> None:
    push_to_hub(built, PushOptions(repo_id=REPO))
    Dataset.from_dict({"text": ["a"]}).push_to_hub(REPO, "notes")
    assert find_dataset(REPO).configs == ["clips", "images"]
