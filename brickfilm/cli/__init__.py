"""The command line: a skin over the library. Errors become one line and an exit code."""

from __future__ import annotations

from brickfilm.cli.app import (
    app,
    main,
)

__all__ = ["app", "main"]
