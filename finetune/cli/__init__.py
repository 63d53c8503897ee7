"""The command line: each group of commands in its file. Errors become one line and an exit code."""

from finetune.cli import training, sampling, release  # noqa: I001  # the order of --help
from finetune.cli.app import app, main

__all__ = ["app", "main", "release", "sampling", "training"]
