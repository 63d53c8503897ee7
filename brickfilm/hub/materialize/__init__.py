"""Cut the clips of a published dataset again from their sources, and compare the results."""

from brickfilm.hub.materialize.materialize import (
    MaterializeResult,
    NothingMaterializedError,
    materialize,
)

__all__ = ["MaterializeResult", "NothingMaterializedError", "materialize"]
