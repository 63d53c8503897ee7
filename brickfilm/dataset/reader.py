"""Read a saved dataset from the folder of a build, a copy of it, or the Hub.

Tables are read a few rows at a time, so that a dataset may be larger than memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.dataset.data_files import DatasetNotFoundError, SplitKey, list_data_files
from brickfilm.dataset.write import FINGERPRINT_FILENAME
from brickfilm.errors import BrickfilmError
from brickfilm.files import recover_folder
from brickfilm.schema.columns import COLUMN_FORMS, MEDIA_COLUMN
from brickfilm.schema.hub_errors import check_repo_id, hub_errors
from brickfilm.schema.safe_paths import file_inside, relative_path

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from fsspec import AbstractFileSystem

MEDIA_SUFFIX = {"clips": ".mp4", "images": ".jpg"}
BATCH_ROWS = 16


class CorruptDatasetError(BrickfilmError):
    """A file of a dataset is not parquet, or is incomplete."""


@dataclass(frozen=True)
class SavedDataset:
    """The location of a saved dataset, and the parquet files of each config and split."""

    fs: AbstractFileSystem
    root: str
    files: Mapping[SplitKey, Sequence[str]]
    """Relative to the root."""
    missing_splits: Sequence[SplitKey] = ()
    """Splits in the card that have no file."""
    work: Path | None = None
    """The work folder, if this is the dataset of a build."""
    repo_id: str = ""
    checks_values: bool = True
    """False reads rows whose ids or digests have another form than ours, to validate them."""

    @property
    def name(self) -> str:
        """Return the repository's id, or the folder."""
        return self.repo_id or self.root

    @property
    def configs(self) -> list[str]:
        """Return the names of the configs, in the card's order."""
        return list(dict.fromkeys(config for config, _ in self.files))

    def splits(self, config: str) -> list[str]:
        """Return the splits of a config that have files."""
        return [split for name, split in self.files if name == config]

    def columns(self, config: str) -> list[str]:
        """Return the columns of a config, media included."""
        path = next(paths[0] for (name, _), paths in self.files.items() if name == config)
        with self.open_parquet(path) as file:
            return list(file.schema_arrow.names)

    def num_rows(self, config: str) -> int:
        """Return the number of rows of a config."""
        count = 0
        for path in (path for split in self.splits(config) for path in self.files[config, split]):
            with self.open_parquet(path) as file:
                count += file.metadata.num_rows
        return count

    @contextmanager
    def open_parquet(self, path: str) -> Iterator[pq.ParquetFile]:
        """Open a file of the dataset, on disk or on the Hub.

        Raise CorruptDatasetError if it is not parquet, and HubError.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with (
                self._hub_errors(),
                self.fs.open(f"{self.root}/{path}", "rb") as handle,
                pq.ParquetFile(handle, buffer_size=1 << 20) as file,
            ):
                yield file
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk or the network, not of what was read
            raise self._damaged(
                f"{path} cannot be read ({' '.join(str(error).split())})"
            ) from error

    def _damaged(self, what: str) -> CorruptDatasetError:
        """Return the error; the next build writes the dataset of its work folder anew."""
        if self.work is None:
            return CorruptDatasetError(f"{what} in {self.name!r}: save or fetch it again")
        with suppress(OSError):
            (Path(self.root) / FINGERPRINT_FILENAME).write_text("{}")
        return CorruptDatasetError(
            f"{what} in {self.name!r}: run the build again, to write it anew"
        )

    def iter_tables(
        self, config: str, split: str, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the rows of a split in tables of BATCH_ROWS rows, since media are large."""
        import pyarrow as pa

        for path in self.files[config, split]:
            with self.open_parquet(path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                    yield self._checked(pa.Table.from_batches([batch]), config, path)

    def to_pandas(self, config: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return all rows of a config without their media, with columns `split` and `file`."""
        import pandas as pd

        media = MEDIA_COLUMN[config]
        wanted = columns or [name for name in self.columns(config) if name != media]
        parts = []
        for split in self.splits(config):
            for path in self.files[config, split]:
                with self.open_parquet(path) as file:
                    table = self._checked(file.read(columns=list(wanted)), config, path)
                    rows = table.to_pandas()
                parts.append(rows.assign(split=split, file=path))
        frame: pd.DataFrame = pd.concat(parts, ignore_index=True)
        return frame

    def to_pandas_by_config(self) -> dict[str, pd.DataFrame]:
        """Return the rows of each config without their media."""
        return {config: self.to_pandas(config) for config in self.configs}

    def _checked(self, table: pa.Table, config: str, path: str) -> pa.Table:
        """Return the table; raise CorruptDatasetError for a value unfit for a file's name."""
        if self.checks_values:
            for column, value in odd_values(table, config):
                raise CorruptDatasetError(
                    f"{path} of {self.name!r} has the {column} {value!r}, which is not of "
                    "brickfilm's form: `brickfilm validate` lists such rows; name another dataset"
                )
        return table

    def read_media(self, cell: Mapping[str, Any] | None) -> bytes | None:
        """Return the bytes of a media cell: embedded, or from the dataset's file that it names.

        Raise UnsafePathError if that is not in the dataset's own folder or repository.
        """
        if not cell:
            return None
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        path = str(cell.get("path") or "")
        if not path:
            return None
        if not self.repo_id:
            return file_inside(Path(self.root), path).read_bytes()
        with (
            self._hub_errors(),
            self.fs.open(f"{self.root}/{relative_path(path, self.repo_id)}", "rb") as file,
        ):
            return bytes(file.read())

    def read_row_media(self, config: str, row: Mapping[str, Any]) -> bytes | None:
        """Return the media of a row with `id` and `sha256`; None if it has none.

        Raise CorruptDatasetError if the bytes are others.
        """
        content = self.read_media(row[MEDIA_COLUMN[config]])
        if content is not None and hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise self._damaged(f"the media of {row['id']} differ from their sha256")
        return content

    def _hub_errors(self) -> AbstractContextManager[None]:
        return hub_errors(self.repo_id) if self.repo_id else nullcontext()

    def read_text(self, path: str) -> str | None:
        """Return a text file beside the data, or None if there is none."""
        try:
            return str(self.fs.read_text(f"{self.root}/{path}", encoding="utf-8"))
        except FileNotFoundError:
            return None


def odd_values(table: pa.Table, config: str) -> Iterator[tuple[str, object]]:
    """Yield the first value of each column that has another form than `COLUMN_FORMS`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column, form in COLUMN_FORMS[config].items():
        if column not in table.column_names:
            continue
        values = table[column]
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            yield from ((column, value) for value in values[:1].to_pylist())
            continue
        is_odd = pc.invert(pc.fill_null(pc.match_substring_regex(values, f"^{form}$"), False))
        yield from ((column, value) for value in values.filter(is_odd)[:1].to_pylist())


def find_dataset(where: str | Path, *, revision: str | None = None) -> SavedDataset:
    """Return the dataset in a folder (of a build, or saved), or in a repository `user/name`."""
    folder = Path(where)
    for replaced in (folder, folder / "dataset"):
        with suppress(OSError):  # a folder that cannot be written
            recover_folder(replaced)
    if folder.is_dir():
        return _find_local_dataset(folder)
    if folder.is_absolute() or str(where).count("/") != 1:
        raise DatasetNotFoundError(
            f"{str(where)!r} is neither a folder nor a repository named 'user/name'"
        )
    try:
        return find_hub_dataset(str(where), revision=revision)
    except DatasetNotFoundError as error:
        raise DatasetNotFoundError(f"there is no folder {str(where)!r}, and {error}") from error


def find_hub_dataset(repo_id: str, *, revision: str | None = None) -> SavedDataset:
    """Return the dataset in a repository of the Hub, at a revision (default: the newest)."""
    from huggingface_hub import HfFileSystem
    from huggingface_hub.errors import GatedRepoError

    check_repo_id(repo_id)
    fs = HfFileSystem(skip_instance_cache=True)
    root = f"datasets/{repo_id}" + (f"@{revision}" if revision else "")
    try:
        with hub_errors(repo_id):
            return SavedDataset(fs, root, **list_data_files(fs, root), repo_id=repo_id)
    except (FileNotFoundError, GatedRepoError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise DatasetNotFoundError(
            f"no dataset {repo_id!r}{at} that you may read: check the name, and for a private or "
            "gated one log in with `hf auth login` or set HF_TOKEN"
        ) from error


def _find_local_dataset(folder: Path) -> SavedDataset:
    from fsspec.implementations.local import LocalFileSystem

    saved = folder / "dataset" if (folder / "dataset").is_dir() else folder
    work = saved.parent if (saved.parent / "ledger.sqlite").is_file() else None
    root = str(saved.resolve())
    fs = LocalFileSystem()
    try:
        return SavedDataset(fs, root, **list_data_files(fs, root), work=work)
    except FileNotFoundError as error:
        raise DatasetNotFoundError(
            f"{str(folder)!r} holds no saved dataset (no README.md with configs): name the work "
            "folder of a build, or what `dataset.save(folder)` wrote"
        ) from error
