"""JSON from disk or strangers has one door, `parse_json`; deep nesting is damage, not a crash."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from brickfilm.captions.pricing import price_list
from brickfilm.dataset.parquet import hf_features
from brickfilm.dataset.reader import find_dataset
from brickfilm.digest import read_sealed
from brickfilm.engine.heartbeat import Owner
from brickfilm.engine.ledger import Ledger, Review, read_records, save_review, undo_review
from brickfilm.errors import UsageError
from brickfilm.export.caption_styles import render_caption
from brickfilm.files import parse_json
from brickfilm.schema.training_recipe import TrainingRecipe
from finetune.config import load_recipe
from tests.kit import ROOT

NESTED = "[" * 200_000
OWN_JSON = {
    "brickfilm/digest.py": "stands below `files`",
    "brickfilm/files.py": "the door",
    "brickfilm/hub/publish/provenance.py": "what pandas has just written",
    "brickfilm/schema/buckets.py": "a file of the package",
    "finetune/models/diffusers/networks.py": "what json has just written",
    "finetune/models/text_encoder.py": "what tokenizers has just written",
}


def test_json_has_one_door() -> None:
    files = [path for part in ("brickfilm", "finetune") for path in (ROOT / part).rglob("*.py")]
    call = re.compile(r"\bjson\.loads?\(")
    found = {str(path.relative_to(ROOT)) for path in files if call.search(path.read_text("utf-8"))}
    assert found == set(OWN_JSON)


def test_deep_nesting_is_an_error_of_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(NESTED)


def test_toml_of_others_has_one_door() -> None:
    files = [path for part in ("brickfilm", "finetune") for path in (ROOT / part).rglob("*.py")]
    found = [path.name for path in files if "tomllib.load" in path.read_text("utf-8")]
    packaged = ["pricing.py", "target_models.py", "token_bounds.py"]
    assert sorted(found) == sorted(["files.py", *packaged])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"[" + b".a" * 5000 + b"]", "nested too deeply|Invalid"),
        (b"a" * 200_000 + b" = 1", "200,004 characters"),
        (b"\xff\xfe", "decode|cannot be read"),
        (b"k" * 100_000 + b" = 1", "unknown key 'k{80}'|needs a line|price"),
    ],
)
def test_hostile_toml_is_one_line(text: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(text)
    for read in (load_recipe, TrainingRecipe.from_file, price_list):
        with pytest.raises(UsageError, match=reason) as caught:
            read(file)
        assert "\n" not in str(caught.value)


def test_deep_nesting_in_cells_and_answers_is_no_value(tmp_path: Path) -> None:
    assert read_sealed(NESTED, None) is None
    assert render_caption({"captions": NESTED, "caption": "a brick"}, "short") == "a brick"
    (tmp_path / "lock").write_text(NESTED)
    assert Owner.read(tmp_path / "lock") is None


@pytest.mark.parametrize("text", [NESTED, "[]", "{", '{"info": 3}', '{"info": {"features": 3}}'])
def test_damaged_features_of_a_parquet_file_are_one_line(text: str) -> None:
    schema = pa.schema([], {"huggingface": text})
    with pytest.raises(UsageError, match="write the file again") as caught:
        hf_features(schema)
    assert "\n" not in str(caught.value)


def change_ledger(work: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(work / "ledger.sqlite")) as db, db:
        assert db.execute(statement, values).rowcount > 0


@pytest.mark.parametrize("text", [NESTED, "[]", "{}", '{"stills": 3}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    with Ledger(tmp_path):
        pass
    change_ledger(tmp_path, "INSERT INTO records (item, facts) VALUES ('x', ?)", text)
    with pytest.raises(UsageError, match="run the same build again"):
        read_records(tmp_path)


@pytest.mark.parametrize("text", [NESTED, "[]", "{}"])
def test_a_verdict_with_damaged_state_is_not_taken_back(tmp_path: Path, text: str) -> None:
    with Ledger(tmp_path):
        pass
    save_review(tmp_path, Review(item="x", reviewer="me", queue="all"), [], None)
    change_ledger(tmp_path, "UPDATE reviews SET before = ?", text)
    with pytest.raises(UsageError, match="give another verdict"):
        undo_review(tmp_path, "me")


def loop(card: Path) -> None:
    card.symlink_to(card)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, loop])
def test_a_card_that_is_no_regular_file_is_one_line(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "README.md")
    with pytest.raises(UsageError, match="no regular file") as caught:
        find_dataset(tmp_path)
    assert "\n" not in str(caught.value)
