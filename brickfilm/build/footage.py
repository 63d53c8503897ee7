"""Return the source of footage that is named in one word, as on the command line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from brickfilm.engine.pipeline import Source
from brickfilm.errors import UsageError
from brickfilm.sources import (
    FolderSource,
    HubSource,
    RemoteFolderSource,
    UrlListSource,
    WebDatasetSource,
)

HUB_PREFIX = "hub:"
LIST_SUFFIXES = (".csv", ".jsonl", ".parquet")
DOWNLOAD_OPTIONS = frozenset({"allow-private", "no-keep-sources"})
LIST_OPTIONS = DOWNLOAD_OPTIONS | {"column"}
HUB_OPTIONS = LIST_OPTIONS | {"split", "config", "revision"}


def source_of(
    footage: str | Path,
    *,
    fps: Any = None,
    max_pixels: int | None = None,
    columns: Mapping[str, str] | None = None,
    allow_private: bool = False,
    keep_sources: bool = True,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    **settings: Any,
) -> Source:
    """Return the source of a path, a list, tars, a URL, or a dataset as `hub:user/dataset`.

    settings: licence, uploader, hdr, deinterlace, of any source. Raise UsageError for an option
    that the source does not have.
    """
    name = str(footage)
    is_remote = "://" in name
    remote: dict[str, Any] = {"allow_private": allow_private, "keep_sources": keep_sources}
    of_hub: dict[str, Any] = {"split": split, "config": config, "revision": revision}
    given: dict[str, Any] = {"fps": fps, "max-pixels": max_pixels, "column": columns, **of_hub}
    given |= {"allow-private": allow_private, "no-keep-sources": not keep_sources}
    if name.startswith(HUB_PREFIX):
        _check(name, given, HUB_OPTIONS)
        named = dict(columns or {})
        video = named.pop("video", "video")
        repo = name.removeprefix(HUB_PREFIX)
        return HubSource(repo, video, columns=named, **of_hub, **remote, **settings)
    if name.partition("?")[0].endswith(".tar"):
        _check(name, given, LIST_OPTIONS)
        return WebDatasetSource(name, columns or {}, **remote, **settings)
    if name.endswith(LIST_SUFFIXES) and not is_remote:
        _check(name, given, LIST_OPTIONS)
        return UrlListSource(name, columns or {}, **remote, **settings)
    if is_remote:
        _check(name, given, DOWNLOAD_OPTIONS)
        return RemoteFolderSource(name, **remote, **settings)
    _check(name, given, {"fps", "max-pixels"})
    settings |= {} if max_pixels is None else {"max_pixels": max_pixels}
    return FolderSource(footage, fps=fps, **settings)


def _check(name: str, given: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Raise UsageError for an option that this footage does not have."""
    for option, value in given.items():
        if value and option not in allowed:
            raise UsageError(f"--{option} does not apply to {name!r}: leave it out")
