"""The golden files in the folder GOLDEN_DIR, recognised by their content, not by name.

A copy of the folder lies beside this file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors import SafetensorError, safe_open
from torch import Tensor

FOLDER = Path(os.environ.get("GOLDEN_DIR") or Path(__file__).with_name("golden"))
NETWORK = {"in.x", "in.timestep", "in.y", "out"}
DIFFUSION = {"in.x_start", "in.noise", "in.t"}


class Golden(NamedTuple):
    """A file of tensors, and what its metadata say."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def part(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def read(path: Path) -> Golden:
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return Golden(tensors, file.metadata() or {})


def kind_of(path: Path) -> str | None:
    """What a file is about, or none if it is of no golden format."""
    try:
        if path.suffix == ".json":
            return kind_of_table(json.loads(path.read_bytes()))
        with safe_open(path, "pt") as file:
            keys = set(file.keys())
    except (ValueError, SafetensorError):  # of another program, or cut short
        return None
    return "network" if keys >= NETWORK else "diffusion" if keys >= DIFFUSION else None


def kind_of_table(table: Any) -> str | None:
    """Buckets are a list of cases; what else there is tells itself by its first entry."""
    if isinstance(table, list):
        is_case = bool(table) and isinstance(table[0], dict)
        return "buckets" if is_case and "num_frames" in table[0] else None
    first = next(iter(table.values()), None) if isinstance(table, dict) else None
    if isinstance(first, list):
        return "state dict"
    inner = next(iter(first.items()), ("", None)) if isinstance(first, dict) else ("", None)
    if isinstance(inner[1], list):
        return "sizes"
    return "rates" if inner[0].isdigit() else None


@cache
def files() -> dict[str | None, list[Path]]:
    """Every golden file by its kind, those of no kind under none."""
    by_kind: dict[str | None, list[Path]] = {}
    for path in sorted(p for p in FOLDER.rglob("*") if p.suffix in {".json", ".safetensors"}):
        by_kind.setdefault(kind_of(path), []).append(path)
    return by_kind


def cases(kind: str) -> list[Any]:
    """One test a file of this kind; a test that is skipped where there is none."""
    paths = files().get(kind, [])
    if paths:
        return [pytest.param(path, id=path.stem) for path in paths]
    reason = f"no golden file of {kind} in {FOLDER.name}"
    return [pytest.param(None, id="none", marks=pytest.mark.skip(reason=reason))]


def network_of(process: Path) -> Path | None:
    """The file of the network whose text and scalars a diffusion file is about.

    It is the plain video of the same batch; among several, the one that shares most of its name.
    """
    wanted = read(process).tensors["in.x_start"]

    def likeness(path: Path) -> tuple[bool, int, bool]:
        same = read(path).tensors["in.x"].shape == wanted.shape
        shared = set(path.stem.split("_")) & set(process.stem.split("_"))
        return same, len(shared), "video" in path.stem

    fit = [p for p in files().get("network", []) if _fits(read(p), wanted)]
    return max(fit, key=likeness, default=None)


def _fits(network: Golden, wanted: Tensor) -> bool:
    x = network.tensors["in.x"]
    return "in.x_mask" not in network.tensors and x.shape[:2] == wanted.shape[:2]
