from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from brickfilm.digest import seal
from brickfilm.engine.ledger import Ledger, caption_texts, latest_answers
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.ledger.packed import MIN_CHARACTERS, PREFIX, SMALL_BYTES, pack, unpack
from brickfilm.engine.stage import Part

PACKED_FIRST = bytes.fromhex(
    "01c3e71d03432363135333730bcbc4a4e494d4345d03300053261660cf191818"
    "ea9aa519a5981b251982bd0576343ecb01"
)
"""A text as the first version with packed texts stored it, which is read for ever."""
EDGES = ["0123456789abcdef"[: n % 13 + 3] * 9 + "x" * n for n in (SMALL_BYTES - 30, SMALL_BYTES)]
"""Texts of about the size up to which a small window is used."""
TEXTS = ["", "{}", "a wall " * 99, "\u00e9\u4e2d" * 200, "x" * 100_000, *EDGES]


def test_a_text_that_the_first_version_packed_is_read() -> None:
    path = "stills/0123456789abcdef-000000-000048-f000001-6f2d72b1.jpg"
    answer = {"files": [{"path": path}], "width": 1280, "height": 720}
    assert unpack(PACKED_FIRST) == json.dumps(answer)


def stills(number: int) -> dict[str, object]:
    names = [f"stills/0123456789abcdef-000000-000048-f{n:06d}-6f2d72b1.jpg" for n in range(4)]
    hashes = [hashlib.sha256(f"{number}-{n}".encode()).hexdigest() for n in range(4)]
    files = [{"path": p, "sha256": h} for p, h in zip(names, hashes, strict=True)]
    return {"files": files, "stills": [{"frame": n, **f} for n, f in enumerate(files)]}


@pytest.mark.parametrize("text", TEXTS)
def test_a_packed_text_is_read_back(text: str) -> None:
    assert unpack(pack(text)) == text
    assert isinstance(pack(text), str) == (len(text) < MIN_CHARACTERS)


def test_an_answer_with_files_takes_less_than_half() -> None:
    text = json.dumps(stills(1))
    assert len(text) > 1000
    assert len(pack(text)) < 300


def test_what_does_not_shrink_stays_a_text() -> None:
    text = "".join(chr(33 + h % 90) for h in hashlib.shake_256(b"noise").digest(200))
    assert pack(text) == text or len(pack(text)) < len(text)


@pytest.mark.parametrize("change", ["cut", "added", "flipped"])
def test_damage_in_a_packed_answer_is_found(change: str, tmp_path: Path) -> None:
    answer = {"text": "a brick figure walks over a plate " * 9}
    with Ledger(tmp_path) as ledger:
        with ledger.transaction():
            ledger.put("part", "key", answer, item="clip")
        assert ledger.get("part", "key") == answer
    with sqlite3.connect(tmp_path / FILENAME) as db:
        (packed,) = db.execute("SELECT answer FROM answers").fetchone()
        assert packed[:1] == PREFIX
        half = len(packed) // 2
        flipped = bytes([*packed[:half], packed[half] ^ 4, *packed[half + 1 :]])
        damaged = {"cut": packed[:-1], "added": packed + b"x", "flipped": flipped}[change]
        db.execute("UPDATE answers SET answer = ?", (damaged,))
    db.close()
    with Ledger(tmp_path) as ledger:
        assert ledger.get("part", "key") is None


def test_texts_of_older_ledgers_and_packed_ones_are_read_side_by_side(tmp_path: Path) -> None:
    part = Part()
    long, short = "a wall of bricks " * 20, "a wall"
    with Ledger(tmp_path) as ledger:
        ledger.register_parts([part])
        with ledger.transaction():
            ledger.put(part.digest, "new", {"text": long}, item="new")
            ledger.put(part.digest, "short", {"text": short}, item="short")
    with sqlite3.connect(tmp_path / FILENAME) as db:
        old = json.dumps({"text": long})
        db.execute(
            "INSERT INTO answers (part, key, answer, at, item, digest) VALUES (?, 'old', ?, 0, "
            "'old', ?)",
            (part.digest, old, seal(old)),
        )
    db.close()
    assert caption_texts(tmp_path) == {"old": long, "new": long, "short": short}
    answers = latest_answers(tmp_path, "Part", list)
    assert sorted(answer["text"] for answer in answers) == sorted([long, long, short])


def test_a_removal_finds_ids_and_texts_inside_packed_answers(tmp_path: Path) -> None:
    words = "a brick figure walks over a plate " * 9
    with Ledger(tmp_path) as ledger:
        with ledger.transaction():
            ledger.put("part", "1", {"text": words, "of": "clip-7"})
            ledger.put("part", "2", {"text": f"{words} and back"})
            ledger.put("part", "3", {"text": words})
        assert ledger.delete(lambda name: False, ["clip-7"], [words]) == 2
        assert ledger.get("part", "2") == {"text": f"{words} and back"}
    assert words.encode() not in (tmp_path / FILENAME).read_bytes()
