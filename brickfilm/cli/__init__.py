"""The command line: each group of commands in its file. Errors become one line and an exit code."""

from brickfilm.cli import demo, build, merge, status, inspect, export, hub, captions, review  # noqa: I001  # the order of --help
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
    "merge",
    "review",
    "status",
]
