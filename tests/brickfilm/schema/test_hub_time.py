"""A Hub that sends a byte now and then is an error in a bounded time, with its own client."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from brickfilm.dataset.reader import find_dataset
from brickfilm.errors import BrickfilmError
from brickfilm.hub.publish import PushOptions, push_to_hub
from brickfilm.schema import hub_time
from brickfilm.schema.hub_errors import HubError
from finetune.data.row_media import read_media
from finetune.data.rows import DatasetRow
from finetune.errors import BadSample, DataError
from finetune.models.hub import download_snapshot
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import toy_dataset

REPO = "maker/films"
PAUSE = 0.05
"""Seconds a byte: the headers of an answer last 8 s and more, any of these answers 5 s and more."""


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_time, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(hub_time, "WINDOW_SECONDS", 0.5)


@pytest.fixture
def repo(hub: HubServer) -> HubServer:
    api, content = HfApi(), secrets.token_bytes(3000)  # in no cache
    for kind in ("dataset", "model"):
        api.create_repo(REPO, repo_type=kind)
        api.upload_file(path_or_fileobj=content, path_in_repo="a.bin", repo_id=REPO, repo_type=kind)
    hub.requests.clear()
    return hub


def read() -> object:
    return find_dataset(REPO)


def download() -> object:
    return download_snapshot(REPO, ["*.bin"], DataError)


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "body"])
@pytest.mark.parametrize("call", [read, download])
def test_a_trickling_answer_is_one_line_in_a_bounded_time(
    repo: HubServer, call: Callable[[], object], headers: bool
) -> None:
    repo.trickle("", PAUSE, headers=headers)
    begun = time.monotonic()
    with pytest.raises(BrickfilmError, match="then run the same command again") as caught:
        call()
    assert "\n" not in str(caught.value)
    assert REPO in str(caught.value)
    assert time.monotonic() - begun < 60
    assert len(repo.requests) <= 4  # nothing is asked five times, as after a lost connection


def test_a_trickling_push_is_one_line(hub: HubServer, tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=1, clips=1)
    hub.trickle("POST /api/repos", PAUSE, headers=True)
    with pytest.raises(HubError, match=r"did not answer in 1 s: check HF_ENDPOINT"):
        push_to_hub(tmp_path, PushOptions(repo_id=REPO))


def test_a_download_that_breaks_after_each_byte_ends(repo: HubServer) -> None:
    repo.cut("GET /cdn", after=1, times=1_000)
    with pytest.raises(HubError, match=r"sent \d+ bytes in \d s"):
        download()
    assert repo.count("GET /cdn") < 10


def test_a_slow_media_file_is_a_skipped_sample(repo: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / f"datasets--{REPO.replace('/', '--')}" / "snapshots" / "main"
    folder.mkdir(parents=True)
    repo.trickle("", PAUSE, headers=True)
    import pyarrow as pa
    import pyarrow.parquet as pq

    cell = {"bytes": None, "path": f"hf://datasets/{REPO}/a.bin"}
    pq.write_table(pa.table({"video": [cell]}), folder / "t.parquet")
    row = DatasetRow(
        sha256=b"0" * 32,
        caption="A wall.",
        frames=4,
        height=9,
        width=16,
        fps=24,
        file=str(folder / "t.parquet"),
        row_group=0,
        row_in_group=0,
    )
    with pytest.raises(BadSample, match="did not answer in 1 s"):
        read_media(row)


def test_an_answer_that_comes_in_time_is_whole(repo: HubServer) -> None:
    (stored,) = (f for n, f in repo.files(REPO, kind="model").items() if n == "a.bin")
    assert (Path(str(download())) / "a.bin").read_bytes() == stored.read_bytes()
