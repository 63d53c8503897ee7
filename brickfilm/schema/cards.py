"""Read the templates of dataset, model and Space cards."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def read_card_template(package: str, name: str) -> str:
    """Read a template of `cards/`, from the installed package or from the clone."""
    folder = Path(str(resources.files(package)))
    packaged = folder / "cards" / name
    file = packaged if packaged.is_file() else folder.parent / "cards" / name
    return file.read_text(encoding="utf-8")
