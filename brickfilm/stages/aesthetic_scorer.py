"""Score how well people would like a clip's pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from brickfilm.digest import digest_of
from brickfilm.embeddings.aesthetic_head import read_head
from brickfilm.embeddings.clip_model import check_packages
from brickfilm.embeddings.vectors import read_vector
from brickfilm.engine.capabilities import Checked, DryRun
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import UsageError
from brickfilm.media import sha256_of
from brickfilm.records import Clip


@dataclass(frozen=True, kw_only=True)
class AestheticScorer(Stage[Clip, Clip], Checked, DryRun):
    """Score a clip's embedding by a linear head: the mean of its stills' scores, about 1 to 10.

    Put it behind `StillEmbedder`, with the CLIP model that the head was trained on.
    """

    input_types = (Clip,)
    requires = ("embedding",)
    provides = ("aesthetic",)

    head: str | Path = field(compare=False)
    """Weights: LAION's `sac+logos+ava1-l14-linearMSE.pth` or `sa_0_4_vit_l_14_linear.pth`, or
    others of linear layers. Its bytes, not its path, are part of every key."""

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=4)

    def check(self) -> None:
        """Raise UsageError without the extra `scores`, or if the head cannot be read."""
        if not Path(self.head).is_file():
            raise UsageError(f"AestheticScorer(head={str(self.head)!r}): there is no such file")
        check_packages()
        read_head(Path(self.head))

    def key(self, request: Clip) -> str:
        assert request.embedding is not None  # `requires`
        return digest_of([request.id, str(request.embedding.path), _sha256(str(self.head))])

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Clip], Answer]]:
        head = read_head(Path(self.head))

        def compute(clip: Clip) -> Answer:
            assert clip.embedding is not None
            return {"aesthetic": round(head.score(read_vector(work / clip.embedding.path)), 4)}

        yield compute

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        yield item.with_scores(aesthetic=answer["aesthetic"])

    def simulate(self, item: Clip) -> Iterable[Clip]:
        """Yield the clip with no number for a score, which every `Keep` lets pass."""
        yield item.with_scores(aesthetic=math.nan)


@lru_cache(maxsize=4)
def _sha256(path: str) -> str:
    return sha256_of(Path(path))
