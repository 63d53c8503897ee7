"""After a removal the words about a clip are nowhere: in no table, no free page, no log."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brickfilm import (
    CaptionAudit,
    FolderSource,
    FrameSampler,
    GPT4oCaptioner,
    RefusalFilter,
    SceneSplitter,
    build_dataset,
)
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.hub.removal import RemovalRequest, remove
from tests.brickworld import BrickFilm, Shot
from tests.kit.ledger_texts import stored_texts
from tests.kit.servers.openai import CaptionServer, ReceivedRequest, Reply, answer

SORRY = "I'm sorry, but I cannot describe"


def telling(request: ReceivedRequest) -> Reply:
    """Words of its own for every question; stills are refused, and a clip's first try is faulty."""
    if request.is_image:
        return answer("described", f"{SORRY} {request.digest}.")
    if request.is_revision:
        return answer("described", f"A red car {request.digest} stops in front of a blue house.")
    return answer("described", f"The video shows a red car {request.digest}.")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed in (1, 2):
        shots = tuple(Shot(frames=frames) for frames in (24, 30))
        BrickFilm(seed=seed, size=(128, 72), shots=shots).render(folder / f"{seed}.mp4")
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer(script=telling) as running:
        yield running


def build(films: Path, work: Path, server: CaptionServer, min_frames: int = 15) -> None:
    asks = GPT4oCaptioner(base_url=server.url, timeout=10.0)
    stages = (SceneSplitter(min_frames=min_frames), FrameSampler(), asks, RefusalFilter())
    build_dataset(FolderSource(films), *stages, CaptionAudit(asks), workdir=work)


def looks(content: bytes) -> np.ndarray:
    """A still as few grey values: a copy that is encoded again looks as before."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("L").resize((32, 18)), dtype=float)


def words_of(clip: str, work: Path, server: CaptionServer) -> set[bytes]:
    """What only answers about a clip and its still say."""
    stills = [looks(path.read_bytes()) for path in (work / "stills").glob(f"{clip}-*")]
    return {
        request.digest.encode()
        for request in server.requests
        if any(np.abs(looks(request.stills[0]) - still).mean() < 1 for still in stills)
    }


def holders(word: bytes, work: Path, texts: Iterable[bytes] = ()) -> list[str]:
    """Return the files with a word, or with the packed texts that had it."""
    needles = {word, *texts, *stored_texts(word.decode(), work)}
    contents = {p.name: p.read_bytes() for p in work.rglob("*") if p.is_file()}
    return [name for name, content in contents.items() if any(n in content for n in needles)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "source"])
def test_answers_refusals_and_second_tries_go_and_do_not_come_back(
    films: Path, tmp_path: Path, server: CaptionServer, kind: str
) -> None:
    build(films, tmp_path, server)
    rows = find_dataset(tmp_path).to_pandas("clips")
    first = rows.iloc[0]
    removed = [first.id] if kind == "clip" else list(rows[rows.source_id == first.source_id].id)
    words_by_clip = {clip: words_of(clip, tmp_path, server) for clip in rows.id}
    assert all(len(words) == 2 for words in words_by_clip.values())  # of the clip, and of its still
    texts = {
        w: stored_texts(w.decode(), tmp_path) for words in words_by_clip.values() for w in words
    }
    assert all(FILENAME in holders(word, tmp_path) for word in texts)
    reader = sqlite3.connect(tmp_path / FILENAME)
    reader.execute("SELECT COUNT(*) FROM answers").fetchone()
    remove(tmp_path, RemovalRequest(kind, first.id if kind == "clip" else first.source_id))
    for clip, words in words_by_clip.items():
        for word in words:
            assert bool(holders(word, tmp_path, texts[word])) == (clip not in removed), (clip, word)
    requests = len(server.requests)
    build(films, tmp_path, server, min_frames=16)
    assert len(server.requests) == requests
    assert not [
        name
        for clip in removed
        for word in words_by_clip[clip]
        for name in holders(word, tmp_path, texts[word])
    ]
    assert set(find_dataset(tmp_path).to_pandas("clips").id) == set(rows.id) - set(removed)
    reader.close()
