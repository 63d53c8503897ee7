"""Heads of one layer and of several score as torch does; another file is named."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brickfilm.embeddings.aesthetic_head import read_head
from brickfilm.errors import Failed, UsageError

torch = pytest.importorskip("torch")


def saved(path: Path, module: Any) -> Path:
    torch.save(module.state_dict(), path)
    return path


def layers(*sizes: int) -> Any:
    """Return the layers of LAION's second head: linear, with dropout between them."""
    torch.manual_seed(1)
    parts = [p for a, b in pairwise(sizes) for p in (torch.nn.Linear(a, b), torch.nn.Dropout())]
    return torch.nn.ModuleDict({"layers": torch.nn.Sequential(*parts[:-1])}).eval()


@pytest.mark.parametrize("sizes", [(16, 1), (16, 12, 8, 1), (16, 15, 14, 13, 12, 11, 10, 1)])
def test_layers_are_one_linear_function(sizes: tuple[int, ...], tmp_path: Path) -> None:
    module = layers(*sizes)
    vector = np.random.default_rng(0).standard_normal(16).astype(np.float32)
    expected = module["layers"](torch.from_numpy(vector)).item()
    head = read_head(saved(tmp_path / "head.pth", module))
    assert head.score(vector) == pytest.approx(expected, abs=1e-5)


def test_a_plain_layer_and_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    module = torch.nn.Linear(4, 1)
    vector = np.ones(4, np.float32)
    expected = module(torch.ones(4)).item()
    save_file(module.state_dict(), tmp_path / "v1.safetensors")
    for path in (saved(tmp_path / "v1.pth", module), tmp_path / "v1.safetensors"):
        assert read_head(path).score(vector) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(Failed, match=r"vectors of 4 numbers, the model gives 16"):
        read_head(path).score(np.ones(16, np.float32))


def test_what_is_no_head_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "text.safetensors").write_text("weights")
    saved(tmp_path / "norm.pth", torch.nn.BatchNorm1d(4))
    saved(tmp_path / "two.pth", torch.nn.Linear(4, 2))
    saved(tmp_path / "gap.pth", torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(2, 1)))
    bad = torch.nn.Linear(4, 1)
    bad.bias.data[:] = float("nan")
    saved(tmp_path / "nan.pth", bad)
    for name, message in {
        "text.pth": "cannot be read as weights",
        "text.safetensors": "cannot be read as weights",
        "norm.pth": "no linear layers alone",
        "two.pth": "gives 2 numbers",
        "gap.pth": "does not fit the layer before it",
        "nan.pth": "no numbers",
    }.items():
        with pytest.raises(UsageError, match=rf"{name}.*{message}"):
            read_head(tmp_path / name)
