"""Write and read the vector of a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brickfilm.errors import Failed
from brickfilm.files import atomic_path

Vector = NDArray[np.float32]
"""[d]"""


def write_vector(path: Path, vector: Vector) -> None:
    """Write a vector as `.npy`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.asarray(vector, np.float32), allow_pickle=False)


def read_vector(path: Path) -> Vector:
    """Read a vector; raise Failed if the file is none. A damaged one is deleted."""
    try:
        with path.open("rb") as stream:  # np.load would take a pickle, and leave it open
            vector = np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError as error:
        raise Failed(f"{path} is missing: run the build again", reason="no embedding") from error
    except (OSError, ValueError, EOFError) as error:
        path.unlink(missing_ok=True)
        raise Failed(
            f"{path} was damaged, and is deleted: run the build again, which writes it anew",
            reason="damaged file",
        ) from error
    return np.asarray(vector, np.float32).ravel()
