"""States of torch's random generators, as a checkpoint keeps them."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import torch
from torch import Tensor


def rng_state() -> dict[str, str]:
    """Return the state of this rank's torch generators as text."""
    state = {"cpu": _rng_to_text(torch.get_rng_state())}
    if torch.cuda.is_available():
        state["cuda"] = _rng_to_text(torch.cuda.get_rng_state())
    return state


def set_rng_state(state: Mapping[str, str]) -> None:
    """Set this rank's torch generators to a state of `rng_state`."""
    torch.set_rng_state(_rng_from_text(state["cpu"]))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(_rng_from_text(state["cuda"]))


def _rng_to_text(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _rng_from_text(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
