"""Types of settings with bounds, which pydantic checks when a recipe is read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"\S")]
