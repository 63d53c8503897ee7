"""Captions that people already have: a .vtt, .srt or .json beside the film."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from brickfilm.captions.timed_text import (
    Cue,
    cue_at,
    cues_in_span,
    find_sidecar,
    read_cues,
    sidecar_digest,
)
from brickfilm.digest import digest_of
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import Rejected
from brickfilm.records import Caption, Clip, Image

ClipOrImage = Clip | Image


@dataclass(frozen=True, kw_only=True)
class SidecarCaptioner(Stage[ClipOrImage, ClipOrImage]):
    """Captions from a file beside the film that has its name: film.mp4, film.vtt.

    A clip gets the line that overlaps it most, and the lines that lie within it; an image gets the
    line at its own time, else its clip's. Where there is no line there is no caption: the item is
    rejected.
    """

    input_types = (Clip, Image)
    provides = ("caption",)
    suffixes: tuple[str, ...] = (".vtt", ".srt", ".json")
    """The first that is there is read."""

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=4)

    def key(self, item: ClipOrImage) -> str:
        """The item's place, and the file's words: an edited file is read again."""
        return digest_of([item.id, sidecar_digest(item.video.path, self.suffixes)])

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[ClipOrImage], Answer]]:
        def compute(item: ClipOrImage) -> Answer:
            beside = find_sidecar(work / item.video.path, self.suffixes)
            lines = read_cues(beside) if beside else ()
            return {
                "text": " ".join(_caption_lines(item, lines)),
                "file": beside.name if beside else "",
            }

        yield compute

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        if not answer["text"]:
            where = (
                f"{answer['file']} has no line there"
                if answer["file"]
                else "no file beside the film"
            )
            yield Rejected(f"{item.id}: {where}", reason="no caption")
        else:
            yield replace(item, caption=Caption(text=answer["text"], model="sidecar"))


def _caption_lines(item: ClipOrImage, lines: tuple[Cue, ...]) -> list[str]:
    if isinstance(item, Image):
        own = cue_at(lines, item.time)
        return [own.text] if own else _caption_lines(item.clip, lines)
    return [line.text for line in cues_in_span(lines, item.start, item.end)]
