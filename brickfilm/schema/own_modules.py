"""Import what users write themselves: files beside a recipe, and objects named `module:object`."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from brickfilm.errors import UsageError


def add_import_folder(folder: Path) -> None:
    """Put a folder last in `sys.path`, which spawned workers inherit: it hides no other module."""
    if (name := str(folder.resolve())) not in sys.path:
        sys.path.append(name)


def import_object(name: str) -> object:
    """Return the object at `module:object`, of the working folder or of any importable module.

    Raise UsageError if there is none, with the line of the module that fails.
    """
    module, _, attribute = name.partition(":")
    add_import_folder(Path.cwd())
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:  # a module is anybody's code
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            remedy = f": run the command in the folder of {module}.py, or add it to PYTHONPATH"
            raise UsageError(f"{name!r} cannot be imported ({error}){remedy}") from error
        raise UsageError(f"{name!r} cannot be imported{_location(module, error)}") from error


def error_location(path: Path, error: Exception) -> str:
    """Return the last line of a file that ran, and the error that it led to."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    location = f"in line {lines[-1]}" if lines else "to load"
    return f"{location}: {type(error).__name__}: {error}"


def _location(module: str, error: Exception) -> str:
    if isinstance(error, AttributeError) and module in sys.modules:
        return f" ({error})"
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return f" ({type(error).__name__}: {error})"
    return f": {spec.origin} fails {error_location(Path(spec.origin), error)}"
