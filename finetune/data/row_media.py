"""Read the encoded bytes of a row's clip or image, and compare them with its sha256."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from brickfilm.schema.columns import CONFIGS
from brickfilm.schema.hub_errors import HubError, hub_errors
from brickfilm.schema.safe_paths import (
    HUB_CACHE,
    HUB_URL,
    UnsafePathError,
    file_inside,
    relative_path,
)
from brickfilm.schema.tar_headers import CheckedTarInfo
from finetune.data.rows import FILE, MEDIA_COLUMNS, TAR_MEMBER, DatasetRow
from finetune.errors import BadSample


def read_media(row: DatasetRow) -> bytes:
    """Return the bytes of a row's media.

    Raise BadSample if they cannot be read, or are not those that the row describes.
    """
    return check_digest(stored_bytes(row.file, row.row_group, row.row_in_group), row.sha256)


def check_digest(media: bytes, sha256: bytes) -> bytes:
    """Return the media; raise BadSample if they are not those that a row describes."""
    digest = hashlib.sha256(media).digest()
    if digest != sha256:
        raise BadSample(
            f"was replaced: its sha256 is {digest.hex()[:12]}, its row says {sha256.hex()[:12]}; "
            "restore the file, or build the dataset again"
        )
    return media


def stored_bytes(file: str, row_group: int, row_in_group: int) -> bytes:
    """Return the bytes at the place that a `DatasetRow` names; raise BadSample without any."""
    from pyarrow import ArrowException

    try:
        if row_group == FILE:
            return Path(file).read_bytes()
        if row_group == TAR_MEMBER:
            return _tar_member(file, row_in_group)
        folder = Path(file).parent
        cell = read_row_group(file, row_group)[row_in_group]
        return cell_bytes(cell, lambda path: _media_file(path, folder).read_bytes())
    except (UnsafePathError, HubError) as error:
        raise BadSample(str(error)) from error
    except (OSError, ArrowException, tarfile.TarError) as error:
        raise BadSample(f"cannot be read: {error}") from error


@lru_cache(maxsize=2)
def read_row_group(file: str, row_group: int) -> list[Any]:
    """Read the media column of a row group; consecutive rows share one read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        names = parquet.schema_arrow.names
        column = next(name for name in MEDIA_COLUMNS if name in names)
        table = parquet.read_row_group(row_group, columns=[column])
        cells: list[Any] = table.column(column).to_pylist()
        return cells


def cell_bytes(cell: Any, read_file: Callable[[str], bytes]) -> bytes:
    """Return the bytes in a cell, or those of the file that it names.

    A cell is bytes, a path, or both by name, as `datasets` stores them. read_file: returns the
    content of a path, in the dataset's own folder or repository alone. Raise BadSample for neither.
    """
    if isinstance(cell, str | bytes):
        cell = {"path" if isinstance(cell, str) else "bytes": cell}
    if cell and cell.get("bytes"):
        return bytes(cell["bytes"])
    path: str = (cell or {}).get("path") or ""
    if not path:
        raise BadSample("has neither bytes nor a path")
    return read_file(str(path))


def _media_file(path: str, folder: Path) -> Path:
    """Return the file that a cell names, in the dataset's own folder or repository.

    folder: of the table. Raise UnsafePathError for any other place.
    """
    is_url = HUB_URL.fullmatch(path)
    if snapshot := HUB_CACHE.fullmatch(str(folder.absolute())):  # its media are not downloaded yet
        repo_id = f"{snapshot['user']}/{snapshot['name']}"
        root = Path(snapshot["home"], "snapshots", snapshot["revision"])
        table = Path() if is_url else folder.absolute().relative_to(root)
        filename = (table / relative_path(path, repo_id)).as_posix()
        return _download_from_hub(repo_id, snapshot["revision"], filename)
    if not is_url:
        return file_inside(folder, path)
    return file_inside(folder.parent if folder.name in CONFIGS else folder, relative_path(path))


def _tar_member(file: str, block: int) -> bytes:
    """Return the content of the member whose header is at this block of 512 bytes."""
    with Path(file).open("rb") as stream:
        stream.seek(block * tarfile.BLOCKSIZE)
        header = stream.read(tarfile.BLOCKSIZE)
        size = CheckedTarInfo.frombuf(header, tarfile.ENCODING, "surrogateescape").size
        return stream.read(size)


def _download_from_hub(repo_id: str, revision: str | None, filename: str) -> Path:
    """Download a file of a dataset on the Hub into the Hub's cache, once."""
    from huggingface_hub import hf_hub_download

    with hub_errors(f"{repo_id}/{filename}"):
        return Path(hf_hub_download(repo_id, filename, repo_type="dataset", revision=revision))
