"""List the videos of a dataset on the Hugging Face Hub: files, values of a column, tars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from brickfilm.captions.caption_files import read_rows
from brickfilm.captions.json_reply import one_line
from brickfilm.errors import Failed, ItemError, UsageError
from brickfilm.records import Listing
from brickfilm.schema.columns import missing_columns
from brickfilm.schema.containers import VIDEO_SUFFIXES
from brickfilm.schema.hub_errors import check_repo_id
from brickfilm.schema.safe_paths import HUB_URL
from brickfilm.sources.remote.addresses import Access
from brickfilm.sources.remote.fetch import FetchFile
from brickfilm.sources.remote.hub_repository import HubRepository
from brickfilm.sources.remote.listed_rows import (
    LineError,
    ListedRow,
    columns_of,
    error_naming,
    videos_of_rows,
)
from brickfilm.sources.remote.parquet_rows import (
    holds_bytes,
    media_paths,
    table_schema,
    wrong_type,
)
from brickfilm.sources.remote.source import RemoteSource, hub_credentials, with_own
from brickfilm.sources.remote.webdataset import TarListing

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
TEXT_TABLES = (".csv", ".jsonl")


@dataclass(frozen=True)
class HubSource(RemoteSource):
    """Every video of a split of a dataset on the Hub, of its newest commit or of `revision`.

    HubSource("user/dataset", video="video", caption="text", split="train")

    The videos are files (with `metadata.csv` or the like), values of the column `video` (bytes,
    paths or URLs), or files in tars. Only what a build needs is downloaded, as it needs it. A row
    with a caption is one clip; `caption=""` leaves captions out, and shots are detected.
    """

    repo_id: str
    video: str = "video"
    caption: str | None = field(default=None, kw_only=True)
    """Column of captions; None takes `caption` or `text` if there is one."""
    split: str | None = field(default=None, kw_only=True)
    """None takes `train`, or the only one."""
    config: str | None = field(default=None, kw_only=True)
    revision: str | None = field(default=None, kw_only=True)
    columns: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Names of other columns, such as {"licence": "license_name"}."""
    token: str | None = field(default=None, kw_only=True, repr=False, compare=False)
    """By default HF_TOKEN, or that of `hf auth login`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_repo_id(self.repo_id)

    def listings(self) -> Iterator[Listing | ItemError]:
        """Yield the videos; UsageError for a dataset without any."""
        builder, files = self._repository.data_files
        with self._repository.errors():
            match builder:
                case "VideoFolder":
                    yield from self._listed_files(files)
                case "WebDataset":
                    names = {self._repository.url(path): f"{self.repo_id}/{path}" for path in files}
                    tars = TarListing(self.full_access(), self._given_columns, self._defaults)
                    yield from tars.videos(names)
                case "Parquet" | "Csv" | "Json":
                    yield from self._listed_rows(files)
                case _:
                    raise self._repository.no_video(f"its files are read as {builder}")

    def full_access(self) -> Access:
        from huggingface_hub import constants

        access = super().full_access()
        return with_own(access, [constants.ENDPOINT], hub_credentials(self.token))

    def fetch_stage(self, access: Access) -> FetchFile:
        stage = super().fetch_stage(access)
        is_table = self._repository.data_files[0] == "Parquet"
        return replace(stage, concurrency=1) if is_table else stage

    @cached_property
    def _repository(self) -> HubRepository:
        return HubRepository(self.repo_id, self.config, self.split, self.revision, self.token)

    # -- videos ------------------------------------------------------------------------------

    def _listed_files(self, files: Sequence[str]) -> Iterator[Listing | ItemError]:
        """Yield the video files with what the metadata beside them say; Failed for missing ones."""
        rows: dict[str, list[ListedRow]] = {}
        for table in (path for path in files if PurePosixPath(path).name in METADATA_NAMES):
            for path, row in self._text_rows(table, ("file_name", f"{self.video}_file_name")):
                rows.setdefault(path, []).append(row)
        videos = [path for path in files if PurePosixPath(path).suffix.lower() in VIDEO_SUFFIXES]
        if not videos:
            raise self._repository.no_video("none of its files is a video")
        found: list[ListedRow] = []
        for path in videos:
            bare = ListedRow({}, error_naming(f"{self.repo_id}/{path}"))
            found += [self._row_of_file(path, row) for row in rows.get(path, [bare])]
        yield from self._videos(found)
        for path in rows.keys() - self._repository.tree.keys():
            missing = f"{self.repo_id}/{path}"
            yield Failed(
                f"{missing}: its metadata name it, but there is no such file",
                reason="dead link",
                record=Listing(source_id=missing),
            )

    def _listed_rows(self, tables: Sequence[str]) -> Iterator[Listing]:
        """Yield the videos of the column `video`."""
        found: list[ListedRow] = []
        for table in tables:
            if table.endswith(".parquet"):
                found += self._parquet_rows(table)
            elif not table.endswith(TEXT_TABLES):
                name = f"{self.repo_id}/{table}"
                raise UsageError(f"{name}: tables are read as .csv, .jsonl, .parquet")
            else:
                rows = self._text_rows(table, (self.video,))
                found += [self._row_of_file(path, row) for path, row in rows]
        yield from self._videos(found)

    def _videos(self, rows: Sequence[ListedRow]) -> Iterator[Listing]:
        for listing in videos_of_rows(rows, self._defaults):
            path = listing.source_id.removeprefix(f"{self.repo_id}/")
            if path in self._repository.tree:
                yield replace(
                    listing,
                    version=self._repository.version(path),
                    bytes=self._repository.tree[path].size,
                )
            else:
                yield listing

    def _row_of_file(self, path: str, row: ListedRow) -> ListedRow:
        if "://" in path:
            return ListedRow({**row.cells, "url": path, "id": ""}, row.error)
        if path not in self._repository.tree:
            raise row.error(f"there is no file {path!r} in the repository")
        of_file = {"url": self._repository.url(path), "id": f"{self.repo_id}/{path}"}
        return ListedRow({**row.cells, **of_file}, row.error)

    def _text_rows(self, table: str, names: Sequence[str]) -> Iterator[tuple[str, ListedRow]]:
        """Yield path or URL, and the cells, of the rows of a .csv, .jsonl or .parquet file."""
        rows = read_rows(self._repository.download(table))
        error = error_naming(f"{self.repo_id}/{table}")
        have = list(rows[0].cells) if rows else []
        column = next((name for name in names if name in have), None)
        if rows and column is None:
            raise self._repository.no_video(
                f"{table} has no column {names[0]!r}, but {', '.join(have)}"
            )
        columns = self._columns(have, error)
        for row in rows:
            cells = {what: row.cells[name] for what, name in columns.items()}
            path = row.cells[column or ""]
            if path:
                yield self._in_repository(table, path), ListedRow(cells, row.error)

    def _parquet_rows(self, table: str) -> Iterator[ListedRow]:
        access, url, name = (
            self.full_access(),
            self._repository.url(table),
            f"{self.repo_id}/{table}",
        )
        with access.guard():
            schema = table_schema(url, access)
            columns = self._columns_of_table(name, schema)
            is_embedded = holds_bytes(schema, self.video)
            for number, values in enumerate(media_paths(url, self.video, access)):
                cells = {w: one_line(str(_or_empty(values.get(c)))) for w, c in columns.items()}
                row = ListedRow(cells, error_naming(f"{name} row {number}"))
                path = self._in_repository(table, values.get(self.video) or "")
                if "://" in path or path in self._repository.tree or (path and not is_embedded):
                    yield self._row_of_file(path, row)
                elif is_embedded:
                    embedded = {
                        "url": f"{url}#{self.video}:{number}",
                        "id": f"{name}@{self._repository.version(table)}#{number}",
                    }
                    yield ListedRow({**cells, **embedded}, row.error)

    def _columns_of_table(self, name: str, schema: Any) -> dict[str, str]:
        """Return the column of everything that rows say; UsageError for one of another type."""
        have = schema.names
        if self.video not in have and not missing_columns(have, "clips"):
            raise UsageError(
                f"{self.repo_id} holds references to videos, not videos: cut its clips with "
                f"`brickfilm materialize {self.repo_id} --out DIR`"
            )
        if self.video not in have:
            raise self._repository.no_video(
                f"{name} has no column {self.video!r}, but {', '.join(have)}"
            )
        if kind := wrong_type(schema, self.video, is_media=True):
            raise self._repository.no_video(f"the column {self.video!r} of {name} holds {kind}")
        error = error_naming(name)
        columns = self._columns(have, error)
        for what, column in columns.items():
            if kind := wrong_type(schema, column, is_media=False):
                remedy = f"name another one, or none, with --column {what}="
                raise error(f"the column {column!r} holds {kind}, not texts: {remedy}")
        return columns

    def _in_repository(self, table: str, path: str) -> str:
        """Return a path of a table relative to the repository, or a foreign URL as it is."""
        if url := HUB_URL.fullmatch(path):
            return url["path"] if url["repo_id"] == self.repo_id else path
        beside = str(PurePosixPath(table).parent / path)
        return (
            beside if beside in self._repository.tree or path not in self._repository.tree else path
        )

    @property
    def _given_columns(self) -> dict[str, str]:
        given = dict(self.columns)
        return given if self.caption is None else {**given, "caption": self.caption}

    @property
    def _defaults(self) -> dict[str, str]:
        return {"licence": self.licence, "uploader": self.uploader or self.repo_id.split("/")[0]}

    def _columns(self, have: Sequence[str], error: LineError) -> dict[str, str]:
        found = columns_of(
            [name for name in have if name != self.video], self._given_columns, error
        )
        unused = {"url", "id"}
        if not missing_columns(have, "clips"):  # of a build: times of the source, not of the clip
            unused |= {"start", "end"} - self.columns.keys()
        return {what: name for what, name in found.items() if what not in unused}


def _or_empty(value: object) -> object:
    return "" if value is None else value
