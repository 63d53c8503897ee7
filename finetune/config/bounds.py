"""Types of settings with bounds, as constraints that pydantic checks when a recipe is read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Constraints by pydantic's names; only reading a recipe imports pydantic."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    allow_inf_nan: bool | None = None
    pattern: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the constraints that are set."""
        return {n: value for n, value in dataclasses.asdict(self).items() if value is not None}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), **self.as_dict()}


Positive = Annotated[int, Bounds(ge=1)]
Count = Annotated[int, Bounds(ge=0)]
Finite = Annotated[float, Bounds(allow_inf_nan=False)]
NonNegative = Annotated[float, Bounds(ge=0, allow_inf_nan=False)]
AtLeastOne = Annotated[float, Bounds(ge=1, allow_inf_nan=False)]
AboveZero = Annotated[float, Bounds(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Bounds(ge=0, le=1)]
ShareAboveZero = Annotated[float, Bounds(gt=0, le=1)]
Decay = Annotated[float, Bounds(ge=0, lt=1)]
Name = Annotated[str, Bounds(pattern=r"\S")]
