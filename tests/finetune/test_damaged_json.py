"""JSON that is nested too deeply, or of another form, is damage: named in one line or left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from brickfilm.errors import BrickfilmError
from finetune.data.index import ABOUT_FILE as INDEX_ABOUT
from finetune.data.index import Index
from finetune.data.shards import ABOUT_FILE as STORE_ABOUT
from finetune.data.shards import read_about
from finetune.errors import CacheError, CheckpointError, DataError, SamplingError, WeightsError
from finetune.models import find_family
from finetune.models.adapters import write_lora_files
from finetune.models.stdit2 import STDiT2
from finetune.sampling.sidecar import read_sidecar
from finetune.sampling.sources import SAMPLING_FILE, find_model
from finetune.training import checkpoint_reader
from finetune.training.checkpoint_folders import MANIFEST_FILE, read_manifest, verify_checkpoint
from finetune.training.loggers import read_metrics
from finetune.validation.page import (
    TRAINING_METRICS_FILE,
    VALIDATION_FILE,
    training_metrics,
    validation_results,
)

NESTED = "[" * 200_000
CONTENTS = (NESTED, "{", "[]", '{"files": [], "pictures": 3, "request": 1, "model": 2}', "null")


def load_checkpoint(folder: Path) -> None:
    checkpoint_reader.load(folder, {}, cast(Any, None), {"depth": 1})


def load_weights(folder: Path) -> object:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"files"', '"hidden_size"'))
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    return STDiT2.from_pretrained(folder)


CASES: tuple[tuple[str, type[BrickfilmError], Callable[[Path], object]], ...] = (
    (INDEX_ABOUT, DataError, Index.open),
    (STORE_ABOUT, CacheError, read_about),
    (MANIFEST_FILE, CheckpointError, verify_checkpoint),
    (MANIFEST_FILE, SamplingError, lambda folder: find_model(str(folder))),
    ("model/config.json", CheckpointError, load_checkpoint),
    ("config.json", WeightsError, load_weights),
    ("sample.json", SamplingError, lambda folder: read_sidecar(folder / "sample.json")),
    (SAMPLING_FILE, SamplingError, lambda folder: find_model(str(folder))),
)


@pytest.mark.parametrize("content", CONTENTS, ids=["nested", "cut", "list", "odd", "null"])
@pytest.mark.parametrize(("name", "error", "read"), CASES)
def test_it_is_one_line(
    tmp_path: Path,
    name: str,
    error: type[BrickfilmError],
    read: Callable[[Path], object],
    content: str,
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(error) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_nested_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text(NESTED)
    with pytest.raises(CheckpointError, match="nested too deeply"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", CONTENTS)
def test_what_only_informs_is_left_out(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "samples" / "step-00000001"
    folder.mkdir(parents=True)
    (folder / VALIDATION_FILE).write_text(content)
    (folder.parent / TRAINING_METRICS_FILE).write_text(content)
    (tmp_path / "config.json").write_text(content)
    assert validation_results(tmp_path) == []
    assert training_metrics(folder.parent) == []
    write_lora_files(find_family("stdit2"), tmp_path, tmp_path)


def test_damaged_lines_of_metrics_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    long = '{"step": ' + "9" * 5000 + "}"  # more digits than Python reads
    file.write_text("\n".join([json.dumps({"step": 1}), NESTED, long, json.dumps({"step": 2})]))
    assert [line["step"] for line in read_metrics(file)] == [1, 2]
