"""What a request costs: from a dated data file, never from a guess."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from brickfilm.errors import UsageError

TILE_SIZE, PATCH_SIZE, MAX_PATCHES = 512, 32, 1536
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class UnknownPrice(UsageError):
    """A limit in dollars was asked for a model whose price nobody told us."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars per million tokens of one model, and the tokens it counts for a picture."""

    input: float
    output: float
    cached: float | None = None
    base: int = 0
    tile: int = 0
    patch: float = 0.0
    retires: date | None = None

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """US dollars of one answer."""
        cached = self.input if self.cached is None else self.cached
        fresh = input_tokens - cached_tokens
        return (fresh * self.input + cached_tokens * cached + output_tokens * self.output) / 1e6

    def image_tokens(self, width: int, height: int, detail: str = "high") -> int:
        """Tokens of one picture: patches, or a base and tiles, as the model counts."""
        if self.patch:
            patches = math.ceil(width / PATCH_SIZE) * math.ceil(height / PATCH_SIZE)
            return math.ceil(min(patches, MAX_PATCHES) * self.patch)
        if detail == "low":
            return self.base
        return self.base + self.tile * _tile_count(width, height)


@dataclass(frozen=True)
class PriceList:
    """A dated list of prices, and the limits of the batch service."""

    date: date
    models: dict[str, Price]
    batch_requests: int = 50_000
    batch_bytes: int = 200_000_000
    batch_discount: float = 0.5

    def price_of(self, model: str) -> Price | None:
        """The price of a model, or of its family if the name is dated; None is unknown."""
        return self.models.get(model) or self.models.get(_DATED.sub("", model))


def price_list(own: str | Path | None = None) -> PriceList:
    """The list that comes with the package, or the user's own file of the same form."""
    return _load_builtin() if own is None else _load_file(Path(own))


@lru_cache(maxsize=16)
def _load_file(path: Path) -> PriceList:
    """Read once: a list does not change under a running build."""
    try:
        return _parse(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"prices={str(path)!r} cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _load_builtin() -> PriceList:
    source = resources.files("brickfilm.captions") / "prices.toml"
    return _parse(tomllib.loads(source.read_text(encoding="utf-8")), source.name)


def _parse(data: dict[str, Any], origin: str) -> PriceList:
    known = {f.name for f in fields(Price)}
    try:
        models = {
            name: Price(**{k: v for k, v in entry.items() if k in known})
            for name, entry in data["models"].items()
        }
        return PriceList(data["date"], models, **data.get("limits", {}))
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"{origin} is no price list ({error}): it needs date = 2026-01-31 and tables "
            "[models.NAME] with input and output, in dollars per million tokens"
        ) from error


def _tile_count(width: int, height: int) -> int:
    """512 px squares after the service's shrinking: to 2048 px, then 768 px on the short side."""
    shrink = min(1.0, 2048 / max(width, height))
    shrink = min(shrink, 768 / min(width, height))
    return math.ceil(width * shrink / TILE_SIZE) * math.ceil(height * shrink / TILE_SIZE)
