"""Score how well a caption fits a clip's pictures, by CLIP."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from brickfilm.digest import digest_of
from brickfilm.embeddings.clip_model import text_encoder
from brickfilm.embeddings.vectors import Vector, read_vector
from brickfilm.engine.calls import BatchFunction, result_of
from brickfilm.engine.stage import Answer, Result, WorkItem
from brickfilm.errors import Failed
from brickfilm.records import Clip
from brickfilm.stages.base import ClipModelStage


@dataclass(frozen=True, kw_only=True)
class ClipTextScorer(ClipModelStage):
    """Score the cosine of a caption and its clip's stills, -1 to 1: good ones have 0.2 to 0.35.

    Put it behind `StillEmbedder`, whose model it uses, and the captioner. The first 77 tokens of a
    caption are read; a clip without a caption has 0.
    """

    requires = ("embedding", "caption")
    provides = ("clip_text",)

    batch_size: int = field(default=64, compare=False)
    """Captions in a call, at most."""

    def group(self, item: Clip) -> str:
        return _model_of(item)

    def key(self, request: Clip) -> str:
        assert request.embedding is not None  # `requires`
        place, model = str(request.embedding.path), request.embedding.model
        return digest_of([request.id, place, model, _text_of(request)])

    @contextmanager
    def open(self, work: Path) -> Iterator[BatchFunction]:  # type: ignore[override]
        yield lambda work_items: self._score_batch(work, work_items)

    def _score_batch(self, work: Path, work_items: Sequence[WorkItem]) -> list[Result]:
        clips: list[Clip] = [work_item.item for work_item in work_items]
        encode = text_encoder(_model_of(clips[0]), self.device)
        try:
            vectors = encode([_text_of(clip) for clip in clips])
        except Failed as error:
            return [error] * len(clips)

        return [
            result_of(partial(self._score, work, clip, vector))
            for clip, vector in zip(clips, vectors, strict=True)
        ]

    def _score(self, work: Path, clip: Clip, text: Vector) -> Mapping[str, Answer]:
        assert clip.embedding is not None  # `requires`
        cosine = float(text @ read_vector(work / clip.embedding.path))
        return {self.digest: {"clip_text": round(cosine, 4) if _text_of(clip) else 0.0}}

    def apply_parts(self, item: Clip, answers: Mapping[str, Answer]) -> Iterable[Clip]:
        yield item.with_scores(clip_text=answers[self.digest]["clip_text"])

    def simulate(self, item: Clip) -> Iterable[Clip]:
        """Yield the clip with no number for a score, which every `Keep` lets pass."""
        yield item.with_scores(clip_text=math.nan)


def _model_of(clip: Clip) -> str:
    return clip.embedding.model if clip.embedding else ""


def _text_of(clip: Clip) -> str:
    return clip.caption.text if clip.caption and clip.caption.status == "described" else ""
