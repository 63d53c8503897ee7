"""Embed the stills of clips by CLIP, for scores and for near-duplicates by meaning."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image as Picture

from brickfilm.captions.stills import read_written
from brickfilm.digest import digest_of
from brickfilm.embeddings.clip_model import DEFAULT_MODEL, Vectors, image_encoder
from brickfilm.embeddings.vectors import write_vector
from brickfilm.engine.calls import BatchFunction, result_of
from brickfilm.engine.stage import Answer, Result, WorkItem
from brickfilm.errors import Failed, ItemError
from brickfilm.media import sha256_of
from brickfilm.records import Clip, Embedding, with_fields
from brickfilm.schema.pictures import open_picture
from brickfilm.stages.base import ClipModelStage


@dataclass(frozen=True, kw_only=True)
class StillEmbedder(ClipModelStage):
    """Write the mean of the unit vectors of a clip's stills, as `embeddings/ID-....npy`.

    `AestheticScorer` and `ClipTextScorer` score it, and `build_dataset` finds near-duplicates by
    meaning with it. The model is loaded once in a worker; a call takes a batch of clips.
    """

    requires = ("stills",)
    provides = ("embedding",)

    model: str = DEFAULT_MODEL
    """Hub id or folder of a CLIP model of `transformers`; `id@revision` for a revision."""

    def group(self, item: Clip) -> str:
        return ""

    def key(self, request: Clip) -> str:
        return f"{super().key(request)}:{_stills_digest(request)}"

    @contextmanager
    def open(self, work: Path) -> Iterator[BatchFunction]:  # type: ignore[override]
        encode = image_encoder(self.model, self.device)
        yield lambda work_items: self._embed_batch(work, encode, work_items)

    def _embed_batch(
        self,
        work: Path,
        encode: Callable[[Sequence[Picture]], Vectors],
        work_items: Sequence[WorkItem],
    ) -> list[Result]:
        """Embed the clips whose stills can be read in one pass of the model."""
        loaded = [_pictures_or_error(work, work_item.item) for work_item in work_items]
        pictures = [p for some in loaded if not isinstance(some, ItemError) for p in some]
        try:
            vectors = iter(encode(pictures) if pictures else ())
        except Failed as error:
            return [some if isinstance(some, ItemError) else error for some in loaded]
        return [
            some
            if isinstance(some, ItemError)
            else self._write(work, work_item.item, np.stack([next(vectors) for _ in some]))
            for work_item, some in zip(work_items, loaded, strict=True)
        ]

    def _write(self, work: Path, clip: Clip, vectors: Vectors) -> Result:
        suffix = digest_of([self.digest, _stills_digest(clip)], 8)
        path = f"embeddings/{clip.id}-{suffix}.npy"
        write_vector(work / path, vectors.mean(axis=0))
        return {self.digest: {"files": [{"path": path, "sha256": sha256_of(work / path)}]}}

    def apply_parts(self, item: Clip, answers: Mapping[str, Answer]) -> Iterable[Clip]:
        (file,) = answers[self.digest]["files"]
        yield with_fields(item, embedding=Embedding(path=Path(file["path"]), model=self.model))

    def simulate(self, item: Clip) -> Iterable[Clip]:
        yield with_fields(item, embedding=Embedding(path=Path(), model=self.model))


def _stills_digest(clip: Clip) -> str:
    return digest_of([still.sha256 for still in clip.stills])


def _pictures_or_error(work: Path, clip: Clip) -> list[Picture] | ItemError:
    """Return the stills as RGB, or the error that one of them raises."""
    result: Any = result_of(partial(_pictures, work, clip))
    return result  # type: ignore[no-any-return]


def _pictures(work: Path, clip: Clip) -> Any:
    pictures = []
    for still in clip.stills:
        try:
            with open_picture(io.BytesIO(read_written(work / still.path, still.sha256))) as image:
                pictures.append(image.convert("RGB"))
        except OSError as error:
            raise Failed(
                f"still {still.path} cannot be read: {error}", reason="no still"
            ) from error
    return pictures
