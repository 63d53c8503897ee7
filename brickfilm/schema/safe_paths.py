"""Check paths and names that come from data: they may lead only to the data's own files."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from brickfilm.errors import UsageError

HUB_URL = re.compile(r"hf://datasets/(?P<repo_id>[^/@]+/[^/@]+)(?:@[^/]+)?/(?P<path>.+)")
HUB_CACHE = re.compile(
    r"(?P<home>.*/(?:datasets|models)--(?P<user>[^/]+?)--(?P<name>[^/]+))/snapshots/"
    r"(?P<revision>[^/]+)(?:/.*)?"
)
"""A folder in the Hub's cache: files of a snapshot are links into the folder `blobs` beside it."""


class UnsafePathError(UsageError):
    """A path in data leads out of the data's own folder or repository."""


def relative_path(path: str, repo_id: str = "") -> str:
    """Return a path in data relative to the data's folder or repository.

    repo_id: the repository of the data; an `hf://datasets/` URL must be of it, and without one only
    its path counts. Raise UnsafePathError for any other URL, an absolute path, and `..`.
    """
    url = HUB_URL.fullmatch(path)
    inner = url["path"] if url else path
    parts = PurePosixPath(inner).parts
    is_foreign = url is not None and repo_id not in ("", url["repo_id"])
    if is_foreign or not parts or parts[0] == "/" or ".." in parts or re.search("://|\0", inner):
        raise _unsafe(path)
    return "/".join(parts)


def is_below(path: str) -> bool:
    """Return True if a path stays below the folder that it is relative to."""
    return not path.startswith("/") and ".." not in path.split("/")


def may_lead_out(json: str) -> bool:
    """Return False if no path in a JSON text can fail `is_below`: to read them all takes longer."""
    return '"/' in json or ".." in json or "\\" in json


def named_files(value: Any) -> list[str]:
    """Return the path of each file in JSON of ours: objects that have both `path` and `sha256`."""
    paths: list[str] = []
    if isinstance(value, dict):
        if "sha256" in value and "path" in value:
            paths.append(str(value["path"]))
        value = value.values()
    elif not isinstance(value, list):
        return paths
    for element in value:
        if isinstance(element, (dict, list)):
            paths += named_files(element)
    return paths


def file_inside(folder: Path, path: str) -> Path:
    """Return the file that a path in data names, in the data's own folder.

    Absolute paths may lead there too, as tables of trainers have them; links may not lead out.
    Raise UnsafePathError otherwise, and FileNotFoundError if there is no such regular file.
    """
    is_absolute = path.startswith(("/", "~/"))
    named = Path(path).expanduser() if is_absolute else folder / relative_path(path)
    try:
        file, roots = named.resolve(), [folder.resolve()]
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name with a zero byte
        raise _unsafe(path) from error
    if cache := HUB_CACHE.fullmatch(str(folder.absolute())):
        roots.append(Path(cache["home"], "blobs").resolve())
    if not any(file.is_relative_to(root) for root in roots):
        raise _unsafe(path)
    try:
        is_file = file.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise FileNotFoundError(f"{path[:200]!r} cannot be opened: {error.strerror}") from error
    if not is_file:
        raise FileNotFoundError(f"there is no such file: {named}")
    return named


def _unsafe(path: str) -> UnsafePathError:
    return UnsafePathError(
        f"the data name the file {path[:200]!r}, which is not in their own folder or repository: "
        "put it there and name it by a relative path, or do not trust these data"
    )
