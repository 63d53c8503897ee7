"""kill -9 in the middle of a push, then the same push again: whole, and nothing sent twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset

from brickfilm.dataset.reader import find_dataset
from brickfilm.dataset.validate import validate
from brickfilm.hub.publish import PushOptions, push_to_hub
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import toy_dataset

pytestmark = pytest.mark.slow

REPO = "maker/brickfilm"
CLIPS = 8
PUSH = """
import sys
from brickfilm.hub.publish import PushOptions, push_to_hub, upload
upload.FILES_PER_COMMIT = 5  # so that a kill can fall between two commits of media
push_to_hub(sys.argv[1], PushOptions(repo_id=sys.argv[2], media=sys.argv[3]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("built")
    toy_dataset(work, videos=4, clips=2)
    return work


def killed_push(hub: HubServer, work: Path, media: str, held: str, nth: int) -> None:
    """A push in a process that dies while the Hub holds back the answer to its nth such request."""
    hub.hold(held, skip=nth - 1)
    process = subprocess.Popen([sys.executable, "-c", PUSH, str(work), REPO, media])
    try:
        assert hub.holding.wait(60)
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        hub.release()


@pytest.mark.parametrize(
    ("media", "held", "nth"),
    [
        ("embed", "POST /api/repos/create", 1),
        ("embed", "PUT /lfs/", 1),
        ("embed", "PUT /lfs/", 3),
        ("embed", "POST /api/datasets/maker/brickfilm/commit", 1),
        ("files", "PUT /lfs/", 4),
        ("files", "POST /api/datasets/maker/brickfilm/commit", 2),
        ("none", "PUT /lfs/", 2),
    ],
)
def test_a_push_that_was_killed_is_finished_by_the_next(
    hub: HubServer, built: Path, media: str, held: str, nth: int
) -> None:
    killed_push(hub, built, media, held, nth)
    arrived = {blob.name for blob in hub.store.folder.iterdir() if len(blob.name) == 64}
    hub.requests.clear()
    push_to_hub(built, PushOptions(repo_id=REPO, media=media))  # type: ignore[arg-type]
    sent = [r.removeprefix("PUT /lfs/") for r in hub.requests if r.startswith("PUT /lfs/")]
    assert len(sent) == len(set(sent))
    assert not arrived & set(sent)
    ids = set(find_dataset(built).to_pandas("clips", ["id"]).id)
    for config in ("clips", "images"):
        for streaming in (False, True):
            splits = load_dataset(REPO, config, streaming=streaming)
            rows = [row for part in splits.values() for row in part]
            assert len(rows) == CLIPS
            assert {row.get("clip_id", row["id"]) for row in rows} == ids
    assert validate(find_dataset(REPO), workers=1).is_valid
