"""Compute the cost of requests from a dated price list; unknown prices are never guessed."""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from brickfilm.errors import UsageError
from brickfilm.files import parse_toml

BUDGET_GROUP = ("Captioner", "GPT4oCaptioner", "CaptionAudit", "CaptionVerifier")
"""Stages whose requests a work folder's budget covers together."""
TILE_SIZE, PATCH_SIZE = 512, 32
MAX_PATCHES_AUTO = 12_000
"""Patches of a picture where the service may keep its full size (`detail="auto"`)."""
UNKNOWN_PATCH_TOKENS = 6.0
"""Tokens of a 32 px patch for a model whose rule is unknown: more than any known one counts."""
RETIREMENT_NOTICE_DAYS = 60
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class UnknownPrice(UsageError):
    """`max_cost_usd` is set for a model that is not in the price list."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars per million tokens of one model, and the tokens that it counts for an image."""

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None
    """Price of input that the service also stores; all new input is booked at it."""
    base: int = 0
    tile: int = 0
    patch: float = 0.0
    patches: int = 1536
    effort: str | None = None
    """Lowest reasoning effort of a model that reasons."""
    padded: bool = False
    """True if a picture counts as a square, as for a model whose rule is unknown."""
    retires: date | None = None
    """Announced date of retirement."""

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """Return the US dollars of one reply."""
        cached = self.input if self.cached is None else self.cached
        uncached = (input_tokens - cached_tokens) * max(self.input, self.cache_write or 0.0)
        return (uncached + cached_tokens * cached + output_tokens * self.output) / 1e6

    @property
    def is_zero(self) -> bool:
        return self.input == self.output == 0

    def image_tokens(self, width: int, height: int, detail: str = "high") -> int:
        """Return the tokens of one image, counted in patches, or as a base and tiles."""
        if self.padded:
            width = height = max(width, height)
        if self.patch:
            patches = math.ceil(width / PATCH_SIZE) * math.ceil(height / PATCH_SIZE)
            most = MAX_PATCHES_AUTO if detail == "auto" else self.patches
            return math.ceil(min(patches, most) * self.patch)
        if detail == "low":
            return self.base
        return self.base + self.tile * _tile_count(width, height)


@dataclass(frozen=True)
class PriceList:
    """A dated list of prices, and the limits of the Batch API."""

    date: date
    models: dict[str, Price]
    batch_requests: int = 50_000
    batch_bytes: int = 200_000_000
    batch_discount: float = 0.5

    def price_of(self, model: str) -> Price | None:
        """Return the price of a model, a dated name's by its family; None if unknown."""
        return self.models.get(model) or self.models.get(_DATED.sub("", model))


def find_price(
    prices: PriceList,
    model: str,
    *,
    base_url: str | None = None,
    per_million: tuple[float, float] | None = None,
) -> Price | None:
    """Return the price that requests to a model are booked at; None if it is unknown.

    per_million: US dollars per million (input, output) tokens, in place of the list's; pictures are
    counted as the list says, 'vendor/model' by its last part. A server on this machine or in a
    private network is free, unless the model is on the list: a gateway there passes the bill on.
    """
    if per_million is not None:
        if any(not 0 <= dollars < math.inf for dollars in per_million):
            raise UsageError(f"price_per_million={per_million}: give two prices of 0 or more")
        given, received = per_million
        rule = prices.price_of(model.rpartition("/")[2]) or UNKNOWN_RULE
        return replace(rule, input=given, output=received, cached=None, cache_write=None)
    if price := prices.price_of(model):
        return price
    return FREE if is_private_address(base_url) else None


def is_private_address(base_url: str | None) -> bool:
    """Return True for an address that only this machine or this network can reach."""
    host = (urlsplit(base_url or "").hostname or "").lower()
    if host in ("localhost", "host.docker.internal") or host.endswith((".localhost", ".local")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def retirement_warning(
    prices: PriceList, model: str, today: date, retires: date | None = None
) -> str:
    """Return a warning if a model is retired, or will be within 60 days; else ''.

    retires: the date that the service states; by default the list's.
    """
    price = prices.price_of(model)
    retires = retires or (price.retires if price else None)
    if retires is None or (days := (retires - today).days) > RETIREMENT_NOTICE_DAYS:
        return ""
    when = f"retires on {retires}, in {days} days"
    others = ", ".join(name for name, other in prices.models.items() if other.retires is None)
    return (
        f"model={model!r} {when if days >= 0 else f'was retired on {retires}'}: set model= "
        f"to another one ({others or 'the price list names none'})"
    )


FREE = Price(input=0.0, output=0.0)
UNKNOWN_RULE = Price(input=0.0, output=0.0, patch=UNKNOWN_PATCH_TOKENS, padded=True)


def price_list(path: str | Path | None = None) -> PriceList:
    """Load the built-in price list, or a file of the same form."""
    return _load_builtin() if path is None else _load_file(Path(path))


@lru_cache(maxsize=16)
def _load_file(path: Path) -> PriceList:
    """Load a file once: prices do not change during a build."""
    try:
        return _parse(parse_toml(path.read_text(encoding="utf-8")), str(path))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"prices={str(path)!r} cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _load_builtin() -> PriceList:
    source = resources.files("brickfilm.captions") / "prices.toml"
    return _parse(tomllib.loads(source.read_text(encoding="utf-8")), source.name)


def _parse(data: dict[str, Any], origin: str) -> PriceList:
    try:
        models = {name: _price(name, entry) for name, entry in data["models"].items()}
        prices = PriceList(data["date"], models, **data.get("limits", {}))
        _check_values("limits", prices)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{origin} is not a price list ({error}): it needs date = 2026-01-31 and tables "
            "[models.NAME] with input and output, in dollars per million tokens"
        ) from error
    return prices


def _price(name: str, entry: Mapping[str, Any]) -> Price:
    known = [f.name for f in fields(Price)]
    for setting in entry.keys() - set(known):
        like = difflib.get_close_matches(setting, known, n=1)
        meant = f", did you mean {like[0]}?" if like else ""
        raise ValueError(f"[models.{name}] has no {setting}{meant}")
    price = Price(**entry)
    _check_values(f"models.{name}", price)
    return price


def _check_values(table: str, record: Price | PriceList) -> None:
    """Raise ValueError for a value of another type, and for a number below 0 or infinite."""
    for setting, kind in get_type_hints(type(record)).items():
        value = getattr(record, setting)
        kinds = get_args(kind) if isinstance(kind, UnionType) else (get_origin(kind) or kind,)
        kinds = (*kinds, int) if float in kinds else kinds
        is_number = isinstance(value, int | float)
        if type(value) not in kinds or (is_number and not 0 <= value < math.inf):
            raise ValueError(f"{setting} = {value!r} in [{table}]")


def _tile_count(width: int, height: int) -> int:
    """Count 512 px tiles after a downscale to 2048 px, then to 768 px on the short side."""
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    return math.ceil(width * scale / TILE_SIZE) * math.ceil(height * scale / TILE_SIZE)
