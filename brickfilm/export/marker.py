"""Mark a folder as an export, so that the same export updates it and no other writes over it."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from brickfilm.engine.ledger.stale_files import delete_temp_files_of_dead_processes
from brickfilm.errors import UsageError
from brickfilm.export.config_files import write_json
from brickfilm.files import make_folder, parse_json

MARKER_NAME = "brickfilm-export.json"


@dataclass(frozen=True)
class ExportMarker:
    """Identify an export: trainer, model and dataset."""

    exporter: str
    model: str
    dataset: str

    def __str__(self) -> str:
        return f"an export of {self.dataset!r} for {self.exporter} ({self.model})"


@contextmanager
def open_export(out: Path, marker: ExportMarker, media: Sequence[str]) -> Iterator[None]:
    """Create or reopen the folder of an export; delete media of earlier rows at the end.

    media: paths relative to `out` that the block writes. Raise UsageError if the folder holds
    another export or other files.
    """
    earlier = _read_marker(out, marker)
    make_folder(out)
    delete_temp_files_of_dead_processes(out)  # trainers take them for media
    every = sorted({*earlier, *media})
    write_json(out / MARKER_NAME, asdict(marker) | {"media": every})
    yield
    for name in sorted(set(earlier) - set(media)):
        _delete_row(out, Path(name).stem)
    write_json(out / MARKER_NAME, asdict(marker) | {"media": sorted(media)})


def _delete_row(out: Path, stem: str) -> None:
    """Delete the media and texts of a row that is gone, wherever the format put them."""
    for path in list(out.rglob(f"{glob.escape(stem)}.*")):
        path.unlink(missing_ok=True)


def _read_marker(out: Path, marker: ExportMarker) -> list[str]:
    """Return the media of the same export that is there, [] in a new or empty folder."""
    path = out / MARKER_NAME
    if not path.is_file():
        if out.is_dir() and any(out.iterdir()):
            raise UsageError(
                f"{str(out)!r} holds other files, and no export of this program: "
                "name a new folder with --out"
            )
        return []
    try:
        table = parse_json(path.read_text(encoding="utf-8"))
        found = ExportMarker(**{name: table[name] for name in asdict(marker)})
        media = [name for name in table["media"] if _is_inside(name)]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{str(path)!r} cannot be read: delete the folder, or name another with --out"
        ) from error
    if found != marker:
        raise UsageError(
            f"{str(out)!r} holds {found}, and would be mixed with {marker}: "
            "name another folder with --out, or delete this one"
        )
    return media


def _is_inside(name: object) -> bool:
    """Return True for a relative path that leads out of no folder: it may be deleted."""
    return isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts
