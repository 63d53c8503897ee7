"""Find the parquet files of a dataset from the YAML of its card, which anybody may have written."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.errors import UsageError
from brickfilm.schema.columns import CONFIGS
from brickfilm.schema.public_text import error_line
from brickfilm.schema.safe_paths import file_inside, relative_path

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SplitKey = tuple[str, str]
"""(config, split)"""
SPLIT_NAME = re.compile(r"\w+(\.\w+)*")
"""As `datasets` allows; files of a push are named after it."""
DEFAULT_SPLIT = "train"
MAX_STARS = 3
"""Most stars in a part of a pattern, and most parts '**': each multiplies the time of a match."""


class DatasetNotFoundError(UsageError):
    """There is no dataset that we can read."""


def list_data_files(fs: AbstractFileSystem, root: str) -> dict[str, Any]:
    """Return `files` and `missing_splits` as in the card's YAML.

    Raise FileNotFoundError if there is no card, or none of its files exists, and
    DatasetNotFoundError if it is not a card of ours.
    """
    configs = _read_configs(fs, root)
    files: dict[SplitKey, list[str]] = {}
    for config in (c for c in configs if c.get("config_name") in CONFIGS):
        for split, pattern in _data_files(config, root):
            found = files.setdefault((str(config["config_name"]), split), [])
            found += [path for path in _matching_files(fs, root, pattern) if path not in found]
    if configs and not files:
        names = ", ".join(repr(config.get("config_name", "default")) for config in configs)
        raise DatasetNotFoundError(
            f"{root!r} is not a dataset of brickfilm: its configs are {names}, "
            "not 'clips' and 'images'; name another dataset"
        )
    if not any(files.values()):
        raise FileNotFoundError(root)
    existing = {key: paths for key, paths in files.items() if paths}
    return {"files": existing, "missing_splits": [key for key in files if key not in existing]}


def _read_configs(fs: AbstractFileSystem, root: str) -> list[Mapping[str, Any]]:
    from fsspec.implementations.local import LocalFileSystem
    from huggingface_hub import DatasetCard
    from yaml import YAMLError

    card = f"{root}/README.md"
    if isinstance(fs, LocalFileSystem) and os.path.lexists(card) and not Path(card).is_file():
        raise _card_error(root, "it is no regular file")
    try:
        text = fs.read_text(card, encoding="utf-8")
        configs = DatasetCard(text).data.get("configs") or []
    except (ValueError, TypeError, AttributeError, YAMLError) as error:
        raise _card_error(root, error_line(error)) from error
    except (IsADirectoryError, RecursionError) as error:
        raise _card_error(root, error_line(error)) from error
    if not isinstance(configs, list) or not all(isinstance(c, dict) for c in configs):
        raise _card_error(root, "'configs' is not a list of configs")
    return configs


def _data_files(config: Mapping[str, Any], root: str) -> Iterator[tuple[str, str]]:
    """Yield split and pattern of each entry: a text, a list of texts, or of splits with paths."""
    entries = config.get("data_files") or []
    for entry in entries if isinstance(entries, list) else [entries]:
        fields = entry if isinstance(entry, dict) else {"path": entry}
        split, paths = fields.get("split", DEFAULT_SPLIT), fields.get("path")
        if not isinstance(split, str) or not SPLIT_NAME.fullmatch(split):
            raise _card_error(root, f"{split!r} is not the name of a split")
        for path in paths if isinstance(paths, list) else [paths]:
            if not isinstance(path, str):
                raise _card_error(root, f"{path!r} is not a path of data files")
            yield split, _checked_pattern(relative_path(path), root)


def _checked_pattern(pattern: str, root: str) -> str:
    parts = pattern.split("/")
    if max(p.count("*") for p in parts) > MAX_STARS or parts.count("**") > MAX_STARS:
        raise _card_error(root, f"the pattern {pattern[:200]!r} has more than {MAX_STARS} stars")
    return pattern


def _matching_files(fs: AbstractFileSystem, root: str, pattern: str) -> Sequence[str]:
    """Return the files that match a pattern below the root, relative to it."""
    from fsspec.implementations.local import LocalFileSystem

    try:
        paths = sorted(str(path) for path in fs.glob(f"{_as_pattern(fs, root)}/{pattern}"))
    except (ValueError, re.error) as error:
        raise _card_error(root, f"the pattern {pattern!r} is invalid ({error})") from error
    depth = root.count("/") + 1
    relative = ["/".join(path.split("/")[depth:]) for path in paths]
    if isinstance(fs, LocalFileSystem):
        for path in relative:
            file_inside(Path(root), path)
    return relative


def _as_pattern(fs: AbstractFileSystem, root: str) -> str:
    """Return a root for a pattern: a folder's name may have brackets, a repository's has none."""
    from fsspec.implementations.local import LocalFileSystem

    return glob.escape(root) if isinstance(fs, LocalFileSystem) else root


def _card_error(root: str, reason: str) -> DatasetNotFoundError:
    return DatasetNotFoundError(
        f"the README.md of {root!r} does not describe a dataset ({reason[:300]}): correct it, or "
        "name another dataset"
    )
