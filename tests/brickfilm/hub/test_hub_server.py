"""The Hub that the other tests trust, held against the real client."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    DatasetCard,
    HfApi,
    HfFileSystem,
    get_hf_file_metadata,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.kit.servers.hub import HubServer

REPO = "maker/films"
BIG = bytes(range(256)) * 4096
"""1 MiB that goes the way of LFS by its suffix."""


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    api = HfApi()
    api.create_repo(REPO, repo_type="dataset")
    return api


def upload(api: HfApi, path: str, content: bytes, repo: str = REPO, **more: str) -> str:
    kind = more.pop("repo_type", "dataset")
    return api.upload_file(
        path_or_fileobj=content, path_in_repo=path, repo_id=repo, repo_type=kind, **more
    ).oid


def read(path: str, repo: str = REPO, **more: str | bool) -> bytes:
    kind = more.pop("repo_type", "dataset")
    return Path(HfApi().hf_hub_download(repo, path, repo_type=kind, **more)).read_bytes()


def size(path: str, *, token: str | bool) -> int | None:
    """Asks the server itself: a download would answer from its cache."""
    return get_hf_file_metadata(hf_hub_url(REPO, path, repo_type="dataset"), token=token).size


def test_files_come_back_small_and_large_for_data_sets_and_models(api: HfApi) -> None:
    api.create_repo("maker/net")
    for kind, repo in (("dataset", REPO), ("model", "maker/net")):
        upload(api, "README.md", b"# read me\n", repo, repo_type=kind)
        upload(api, "weights/a b.safetensors", BIG, repo, repo_type=kind)
        assert read("README.md", repo, repo_type=kind) == b"# read me\n"
        assert read("weights/a b.safetensors", repo, repo_type=kind) == BIG


def test_bytes_that_are_there_are_not_sent_again(api: HfApi, hub: HubServer) -> None:
    upload(api, "a.parquet", BIG)
    upload(api, "b.parquet", BIG)
    assert hub.count("PUT /lfs/") == 1
    assert read("b.parquet") == BIG


def test_a_folder_goes_up_and_comes_down_whole(api: HfApi, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"in/{number}").mkdir(parents=True)
        (tmp_path / f"in/{number}/x.mp4").write_bytes(BIG[number:])
    api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=tmp_path / "in")
    down = Path(snapshot_download(REPO, repo_type="dataset", local_dir=tmp_path / "out"))
    assert [(down / f"{n}/x.mp4").read_bytes() == BIG[n:] for n in range(3)] == [True] * 3


def test_a_range_is_just_that_range(api: HfApi) -> None:
    upload(api, "a.parquet", BIG)
    with HfFileSystem().open(f"datasets/{REPO}/a.parquet", block_size=1024) as file:
        file.seek(300_000)
        assert file.read(1000) == BIG[300_000:301_000]


def test_trees_are_paged_and_paths_described(api: HfApi, hub: HubServer) -> None:
    hub.page_size = 2
    for number in range(5):
        upload(api, f"folder/{number}.txt", b"x" * number)
    found = list(api.list_repo_tree(REPO, "folder", repo_type="dataset"))
    hub.page_size = 1000
    assert [(f.path, f.size) for f in found] == [(f"folder/{n}.txt", n) for n in range(5)]
    infos = api.get_paths_info(REPO, ["folder", "folder/3.txt", "none"], repo_type="dataset")
    assert [info.path for info in infos] == ["folder", "folder/3.txt"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(REPO, "nowhere", repo_type="dataset"))


def test_a_commit_on_an_old_parent_is_refused(api: HfApi) -> None:
    parent = api.dataset_info(REPO).sha
    upload(api, "a.txt", b"first")
    late = CommitOperationAdd("a.txt", io.BytesIO(b"late"))
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_commit(
            REPO, [late], commit_message="late", repo_type="dataset", parent_commit=parent
        )
    assert refused.value.response.status_code == 412
    assert read("a.txt") == b"first"


def test_branches_tags_and_history(api: HfApi) -> None:
    first = upload(api, "a.txt", b"1")
    api.create_branch(REPO, branch="try/out", repo_type="dataset")
    api.create_tag(REPO, tag="v1", repo_type="dataset")
    upload(api, "a.txt", b"2", revision="try/out")
    assert [read("a.txt", revision=r) for r in ("main", "try/out", "v1", first)] == [
        b"1", b"2", b"1", b"1",
    ]  # fmt: skip
    with pytest.raises(RevisionNotFoundError):
        read("a.txt", revision="v2")
    assert len(api.list_repo_commits(REPO, repo_type="dataset", revision="try/out")) == 3
    api.delete_branch(REPO, branch="try/out", repo_type="dataset")
    assert [b.name for b in api.list_repo_refs(REPO, repo_type="dataset").branches] == ["main"]


def test_deleting_leaves_history_until_it_is_squashed_and_purged(
    api: HfApi, hub: HubServer
) -> None:
    before = upload(api, "a.parquet", BIG)
    gone = CommitOperationDelete("a.parquet")
    api.create_commit(REPO, [gone], commit_message="remove", repo_type="dataset")
    with pytest.raises(EntryNotFoundError):
        read("a.parquet")
    assert read("a.parquet", revision=before) == BIG
    held = list(api.list_lfs_files(REPO, repo_type="dataset"))
    api.permanently_delete_lfs_files(REPO, held, repo_type="dataset")
    api.super_squash_history(REPO, repo_type="dataset")
    assert len(api.list_repo_commits(REPO, repo_type="dataset")) == 1
    assert not hub.store.has(held[0].file_oid)


def test_who_may_see_and_who_may_write(api: HfApi, hub: HubServer) -> None:
    reader, other = hub.token("hf_r", "maker", "read"), hub.token("hf_o", "visitor")
    upload(api, "a.txt", b"1")
    for token, status in ((False, 401), (reader, 403), (other, 403)):
        with pytest.raises(HfHubHTTPError) as refused:
            upload(HfApi(token=token), "a.txt", b"2")
        assert refused.value.response.status_code == status
    api.update_repo_settings(REPO, private=True, repo_type="dataset")
    assert size("a.txt", token=reader) == 1
    for token in (False, other):
        with pytest.raises(RepositoryNotFoundError):
            size("a.txt", token=token)


def test_a_gate_opens_for_those_let_through(api: HfApi, hub: HubServer) -> None:
    upload(api, "a.txt", b"1")
    api.update_repo_settings(REPO, gated="auto", repo_type="dataset")
    visitor = hub.token("hf_o", "visitor")
    with pytest.raises(GatedRepoError):
        size("a.txt", token=visitor)
    hub.repo(REPO).readers.add("visitor")
    assert size("a.txt", token=visitor) == 1


def test_creating_twice_and_deleting(api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError):
        api.create_repo(REPO, repo_type="dataset")
    api.create_repo(REPO, repo_type="dataset", exist_ok=True)
    api.delete_repo(REPO, repo_type="dataset")
    assert not api.repo_exists(REPO, repo_type="dataset")


@pytest.mark.slow
def test_scripted_faults_strike_and_pass(api: HfApi, hub: HubServer) -> None:
    hub.fail("PUT /lfs/", status=500)
    hub.fail("POST /api/datasets/maker/films/preupload", status=429, retry_after=1)
    upload(api, "a.parquet", BIG)
    assert hub.count("PUT /lfs/") == 2
    assert hub.count("POST /api/datasets/maker/films/preupload") == 2


@pytest.mark.slow
def test_an_upload_or_download_cut_off_is_taken_up_again(api: HfApi, hub: HubServer) -> None:
    hub.cut("PUT /lfs/", after=1000)
    content = b"never seen" + BIG
    upload(api, "a.parquet", content)
    hub.cut("GET /cdn/", after=500_000)
    assert read("a.parquet") == content
    assert hub.count("PUT /lfs/") == 2
    assert hub.count("GET /cdn/") == 2


def test_the_card_check_says_what_is_wrong(api: HfApi) -> None:
    DatasetCard("---\nlicense: cc-by-4.0\n---\n").validate(repo_type="dataset")
    with pytest.raises(ValueError, match="license"):
        DatasetCard("---\nlicense: mine\n---\n").validate(repo_type="dataset")
