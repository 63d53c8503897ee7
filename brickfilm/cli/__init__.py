"""The command line: each group of commands in its file. Errors become one line and an exit code."""

from brickfilm.cli import demo, build, merge, status, inspect, measure  # noqa: I001  # the order of --help
from brickfilm.cli import export, hub, captions, review
from brickfilm.cli.app import app, main

__all__ = [
    "app",
    "build",
    "captions",
    "demo",
    "export",
    "hub",
    "inspect",
    "main",
    "measure",
    "merge",
    "review",
    "status",
]
