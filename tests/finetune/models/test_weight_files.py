"""Files of weights that are damaged, or made to harm."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.errors import WeightsError
from finetune.models.weight_files import read_state_dict


def pickled(*, legacy: bool) -> bytes:
    out = io.BytesIO()
    network = {"model": {"a": torch.zeros(3)}, "step": 1, "name": "x"}
    torch.save(network, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


def damaged(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(3):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def with_damaged_pickle(archive: bytes, draw: random.Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            new.writestr(name, damaged(body, draw) if name.endswith("data.pkl") else body)
    return out.getvalue()


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_no_byte_of_a_pickle_is_a_traceback(tmp_path: Path, legacy: bool) -> None:
    draw, content = random.Random(7), pickled(legacy=legacy)
    file, reasons = tmp_path / "a.pt", set()
    for _ in range(150):
        file.write_bytes((damaged if legacy else with_damaged_pickle)(content, draw))
        try:
            read_state_dict(file)
        except WeightsError as error:
            assert "\n" not in str(error)
            reasons.add(type(error.__cause__).__name__)
    assert len(reasons) > 3


def test_a_pickle_that_holds_itself_ends(tmp_path: Path) -> None:
    stored: dict[str, Any] = {"t": torch.zeros(1)}
    stored["model"] = stored
    torch.save(stored, tmp_path / "a.pt")
    assert read_state_dict(tmp_path / "a.pt") == {}
