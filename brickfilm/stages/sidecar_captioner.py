"""Take captions from a .vtt, .srt or .json file beside the video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from brickfilm.captions.request import ClipOrImage
from brickfilm.captions.subtitles import (
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


@dataclass(frozen=True, kw_only=True)
class SidecarCaptioner(Stage[ClipOrImage, ClipOrImage]):
    """Add captions from the file with the video's name: film.mp4, film.vtt.

    A clip gets the cue that overlaps it most and the cues that lie mostly within it; an image gets
    the cue at its own time, else its clip's. An item without a cue is rejected as 'no caption'.
    """

    input_types = (Clip, Image)
    provides = ("caption",)
    suffixes: tuple[str, ...] = (".vtt", ".srt", ".json")
    """The first existing file is read."""

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=4)

    def key(self, item: ClipOrImage) -> str:
        """Digest the item's id and the file's bytes: an edited file is read again."""
        return digest_of([item.id, sidecar_digest(item.video.path, self.suffixes)])

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[ClipOrImage], Answer]]:
        def compute(item: ClipOrImage) -> Answer:
            sidecar = find_sidecar(work / item.video.path, self.suffixes)
            cues = read_cues(sidecar) if sidecar else ()
            return {
                "text": " ".join(_cue_texts(item, cues)),
                "file": sidecar.name if sidecar else "",
            }

        yield compute

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        if not answer["text"]:
            file = answer["file"]
            problem = f"{file} has no cue there" if file else "no subtitle file beside the video"
            yield Rejected(f"{item.id}: {problem}", reason="no caption")
        else:
            yield replace(item, caption=Caption(text=answer["text"], model="sidecar"))


def _cue_texts(item: ClipOrImage, cues: tuple[Cue, ...]) -> list[str]:
    if isinstance(item, Image):
        cue = cue_at(cues, item.time)
        return [cue.text] if cue else _cue_texts(item.clip, cues)
    return [cue.text for cue in cues_in_span(cues, item.start, item.end)]
