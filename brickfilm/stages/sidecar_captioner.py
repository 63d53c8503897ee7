"""Take captions that came with the video, from a file beside it, or from a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from brickfilm.captions.caption_table import CaptionTable, cue_texts
from brickfilm.captions.lint import FILE_RULES, lint
from brickfilm.captions.request import ClipOrImage
from brickfilm.captions.subtitles import find_sidecar, read_cues, sidecar_digest
from brickfilm.digest import digest_of
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import Rejected
from brickfilm.files import printable
from brickfilm.records import GIVEN_BY_SOURCE, MAX_CAPTION, Caption, Clip, Image, with_fields


@dataclass(frozen=True, kw_only=True)
class SidecarCaptioner(Stage[ClipOrImage, ClipOrImage]):
    """Add captions from the file with the video's name (film.mp4, film.vtt), or from a table.

    A caption that the source lists for a span is kept, unless there is a table.

    A clip gets the cue that overlaps it most and the cues that lie mostly within it; an image gets
    the cue at its own time, else its clip's. An item without a cue is rejected as 'no caption',
    one whose text breaks a rule (speech and sounds, labels, by default) as 'audit: RULE', one of
    over 20,000 characters as 'caption too long'.
    """

    input_types = (Clip, Image)
    provides = ("caption",)
    suffixes: tuple[str, ...] = (".vtt", ".srt", ".json")
    """The first existing file is read."""
    table: str | Path | None = field(default=None, compare=False)
    """A .csv, .jsonl or .parquet file (docs/captions.md) that replaces the files beside videos."""
    rules: tuple[str, ...] = field(default=FILE_RULES, compare=False)
    """Lint rules that a text must keep; `()` takes every text."""

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=4)

    def check(self) -> None:
        """Raise UsageError if the table cannot be read, or a rule does not exist."""
        lint("", self.rules)
        if self.table:
            CaptionTable.read(Path(self.table))

    def key(self, item: ClipOrImage) -> str:
        """Digest the item's id and the file's bytes, or its text of the table."""
        if self.table:
            return digest_of([item.id, "table", self._table_text(item)])
        if text := _given_text(item):
            return digest_of([item.id, "given", text])
        return digest_of([item.id, sidecar_digest(item.video.path, self.suffixes)])

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[ClipOrImage], Answer]]:
        def compute(item: ClipOrImage) -> Answer:
            if self.table:
                return {"text": self._table_text(item), "file": printable(Path(self.table).name)}
            if text := _given_text(item):
                return {"text": text, "file": "the source"}
            sidecar = find_sidecar(work / item.video.path, self.suffixes)
            texts = cue_texts(item, read_cues(sidecar)) if sidecar else []
            return {"text": " ".join(texts), "file": printable(sidecar.name) if sidecar else ""}

        yield compute

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        text, file = answer["text"], answer["file"]
        if not text:
            problem = f"{file} has no caption there" if file else "no subtitle file beside it"
            yield Rejected(f"{item.id}: {problem}", reason="no caption")
        elif len(text) > MAX_CAPTION:
            problem = f"{file} has {len(text):,} characters there, {MAX_CAPTION:,} are read"
            yield Rejected(f"{item.id}: {problem}", reason="caption too long")
        elif findings := lint(text, self.rules):
            rule, words = findings[0].rule, findings[0].words
            yield Rejected(f"{item.id}: {file} has {words!r} ({rule})", reason=f"audit: {rule}")
        else:
            is_given = not self.table and _given_text(item)
            model = GIVEN_BY_SOURCE if is_given else "sidecar"
            yield with_fields(item, caption=Caption(text=text, model=model))

    def _table_text(self, item: ClipOrImage) -> str:
        return CaptionTable.read(Path(self.table or "")).text_for(item)


def _given_text(item: ClipOrImage) -> str:
    """Return the caption that the source lists for a clip, or for an image's clip; '' for none."""
    caption = (item.clip if isinstance(item, Image) else item).caption
    return caption.text if caption and caption.model == GIVEN_BY_SOURCE else ""
