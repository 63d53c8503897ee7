"""Names of types that the renderer's modules share."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
"""A numpy array; its shape and unit stand in the docstring of whoever takes it."""
