"""Read the rows of a parquet file: brickfilm's columns, or media and captions of anybody's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.data.parse_row import Place, first_column, parse_row
from finetune.data.rows import (
    CAPTION_COLUMNS,
    MEDIA_COLUMNS,
    DatasetRow,
    Stamp,
    file_stamp,
)
from finetune.errors import BadSample, DataError

READ_COLUMNS = (
    *("sha256", "num_frames", "fps", "fps_num", "fps_den", "height", "width"),
    "new_drawings",
)


@dataclass(frozen=True)
class ParquetFile:
    """One parquet file."""

    file: Path

    def stamps(self) -> list[Stamp]:
        return [file_stamp(self.file)]

    def rows(self) -> Iterator[DatasetRow | BadSample]:
        """Yield its rows; raise DataError if it is damaged or lacks a column."""
        from pyarrow import ArrowException

        try:
            yield from self._rows()
        except ArrowException as error:
            raise DataError(
                f"{self.file} cannot be read ({error}): build or download it again"
            ) from error

    def _rows(self) -> Iterator[DatasetRow | BadSample]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file) as parquet:
            names: list[str] = parquet.schema_arrow.names
            media, caption = self._columns(names)
            columns = [caption, *(name for name in READ_COLUMNS if name in names)]
            for row_group in range(parquet.num_row_groups):
                table = parquet.read_row_group(row_group, columns=columns)
                for number, row in enumerate(table.to_pylist()):
                    yield self._parse(row, row_group, number, is_image=media == "image")

    def _columns(self, names: list[str]) -> tuple[str, str]:
        """Return the columns of media and captions; raise DataError if one is missing."""
        media, caption = first_column(MEDIA_COLUMNS, names), first_column(CAPTION_COLUMNS, names)
        if media and caption:
            return media, caption
        missing = [
            *([] if media else ["video (or image)"]),
            *([] if caption else ["caption (or text)"]),
        ]
        raise DataError(
            f"{self.file} lacks the column(s) {', '.join(missing)}: see docs/dataset-schema.md"
        )

    def _parse(
        self, row: dict[str, Any], row_group: int, number: int, *, is_image: bool
    ) -> DatasetRow | BadSample:
        name = f"row {number} of row group {row_group} of {self.file}"
        return parse_row(row, Place(str(self.file), row_group, number, name), is_image=is_image)
