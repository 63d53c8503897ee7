"""List videos in a table of direct URLs, the form in which public sets are shared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from brickfilm.captions.caption_files import TableRow, read_rows
from brickfilm.errors import UsageError
from brickfilm.records import Listing
from brickfilm.schema.public_text import public_text
from brickfilm.sources.remote.addresses import SCHEMES, Access
from brickfilm.sources.remote.listed_rows import ListedRow, columns_of, error_naming, videos_of_rows
from brickfilm.sources.remote.source import RemoteSource, basic_credentials, with_own


@dataclass(frozen=True)
class UrlListSource(RemoteSource):
    """Every video of a .csv, .jsonl or .parquet file with a column `url`, once.

    Further columns, all optional: id, start and end (seconds, or hours:minutes:seconds), caption,
    licence, uploader, title. Rows with one URL are spans of one video. A listed span is a clip; so
    is a whole file with a caption. columns: names of columns that are called otherwise.
    """

    path: Path | str
    columns: Mapping[str, str] = field(default_factory=dict)

    def listings(self) -> Iterator[Listing]:
        """Yield a listing for each URL; UsageError names the line that is wrong."""
        defaults = {"licence": self.licence, "uploader": self.uploader}
        yield from videos_of_rows((self._row(row) for row in self._rows), defaults)

    def full_access(self) -> Access:
        urls = (row.cells[self._columns["url"]] for row in self._rows)
        return with_own(super().full_access(), (), basic_credentials(urls))

    @cached_property
    def _rows(self) -> list[TableRow]:
        rows = read_rows(Path(self.path))
        if not rows:
            raise UsageError(f"{str(self.path)!r} lists no video: it has no row")
        return rows

    @cached_property
    def _columns(self) -> dict[str, str]:
        error = error_naming(repr(str(self.path)))
        names = list(self._rows[0].cells)
        columns = columns_of(names, self.columns, error)
        if "url" not in columns:
            raise error(
                f"no column 'url': name it with columns={{'url': ...}} (--column url=NAME); its "
                f"columns are {', '.join(names)}"
            )
        return columns

    def _row(self, row: TableRow) -> ListedRow:
        cells = {what: row.cells[column] for what, column in self._columns.items()}
        if not _is_address(cells["url"]):
            raise row.error(
                f"{public_text(cells['url'])!r} is no address of a video: it must start with "
                f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}"
            )
        return ListedRow(cells, row.error)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # of a port or an IPv6 address
        return False
