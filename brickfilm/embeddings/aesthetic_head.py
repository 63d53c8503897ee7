"""Read the weights of an aesthetic predictor: linear layers on CLIP's unit vectors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.embeddings.vectors import Vector
from brickfilm.errors import Failed, UsageError
from brickfilm.files import DAMAGED_PICKLE_ERRORS
from brickfilm.schema.public_text import error_line


@dataclass(frozen=True, eq=False)
class AestheticHead:
    """A linear function of a vector."""

    weight: NDArray[np.float64]
    """[d]"""
    bias: float

    def score(self, vector: Vector) -> float:
        """Return the score of a vector, [d]; Failed if it has another length."""
        if vector.shape != self.weight.shape:
            raise Failed(
                f"the aesthetic head is for vectors of {self.weight.size} numbers, the model gives "
                f"{vector.size}: take the head that was trained on this model",
                reason="another head",
            )
        return float(self.weight @ vector + self.bias)


@lru_cache(maxsize=4)
def read_head(path: Path) -> AestheticHead:
    """Read a head of one linear layer (LAION's v1) or of several (v2, as Open-Sora uses it).

    The layers have no activations between them, so they are multiplied into one. A file of
    `torch.save` (a state dict, no code is run) or safetensors. Raise UsageError if it is another.
    """
    state = _state(path)
    layers = {n.removesuffix("weight") for n in state if n.endswith("weight")}
    named = {f"{layer}{part}" for layer in layers for part in ("weight", "bias")}
    if not layers or named != set(state):
        raise UsageError(f"head={str(path)!r} has no linear layers alone: {', '.join(state)[:200]}")
    size = _array(state, path, f"{min(layers, key=_order)}weight").shape[-1]
    weight, bias = np.eye(size), np.zeros(size)
    for layer in sorted(layers, key=_order):
        matrix, offset = (_array(state, path, f"{layer}{part}") for part in ("weight", "bias"))
        if matrix.ndim != 2 or matrix.shape[1] != len(weight) or offset.shape != matrix.shape[:1]:
            raise UsageError(f"head={str(path)!r}: {layer}weight does not fit the layer before it")
        weight, bias = matrix @ weight, matrix @ bias + offset
    if len(weight) != 1:
        raise UsageError(f"head={str(path)!r} gives {len(weight)} numbers, a score is one")
    return AestheticHead(weight[0], float(bias[0]))


def _order(layer: str) -> list[int]:
    """Sort `layers.10.` behind `layers.2.`."""
    return [int(number) for number in re.findall(r"\d+", layer)]


def _array(state: Mapping[str, Any], path: Path, name: str) -> NDArray[np.float64]:
    values = np.asarray(state[name], np.float64)
    if not np.isfinite(values).all():
        raise UsageError(f"head={str(path)!r}: {name} has values that are no numbers")
    return values


def _state(path: Path) -> Mapping[str, Any]:
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except DAMAGED_PICKLE_ERRORS as error:
        problem = error_line(error, 200)
        raise UsageError(f"head={str(path)!r} cannot be read as weights: {problem}") from error


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:  # a plain Exception
        raise ValueError(str(error)) from error


def _read_pickle(path: Path) -> Mapping[str, Any]:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.double().numpy() for name, tensor in state.items()}
