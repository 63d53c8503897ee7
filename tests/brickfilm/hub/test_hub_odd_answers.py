"""A server that answers as no Hub does is one line, in every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from brickfilm.dataset.reader import find_dataset
from brickfilm.errors import BrickfilmError
from brickfilm.hub.publish import PushOptions, push_to_hub
from brickfilm.hub.removal import RemovalRequest, remove
from finetune.errors import DataError
from finetune.models.hub import download_snapshot
from tests.kit.servers.hub import HubServer
from tests.kit.servers.hub_routes import Reply
from tests.kit.toy_dataset import toy_dataset

REPO = "maker/brickfilm"
HTML = Reply(b"<html><body>Log in to the guest network</body></html>", headers={
    "Content-Type": "text/html"
})  # fmt: skip
REPLIES = {
    "HTML": HTML,
    "redirect loop": Reply(b"", status=302, headers={"Location": "/api/datasets/a/b"}),
    "a list": Reply([1, 2]),
    "a number": Reply(3),
    "empty object": Reply({}),
    "nothing": Reply(b""),
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    toy_dataset(folder, videos=1, clips=1)
    return folder


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("command", ["read", "push", "remove", "download"])
def test_an_odd_answer_is_one_line(hub: HubServer, work: Path, name: str, command: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: find_dataset(REPO),
        "push": lambda: push_to_hub(work, PushOptions(repo_id=REPO)),
        "remove": lambda: remove(REPO, RemovalRequest("uploader", "ada")),
        "download": lambda: download_snapshot(REPO, ["*"], DataError),
    }
    hub.answer_with("", REPLIES[name])
    with pytest.raises(BrickfilmError) as caught:
        calls[command]()
    assert "\n" not in str(caught.value)
    assert REPO in str(caught.value)
