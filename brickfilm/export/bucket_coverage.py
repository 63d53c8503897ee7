"""Count the clips that a training recipe would use, before any caption is paid for.

`finetune plan` counts by the same rules the same clips: those to train on that have a caption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from brickfilm.dataset.reader import SavedDataset
from brickfilm.schema.buckets import NO_CAPTION, sort_buckets
from brickfilm.schema.columns import HELD_OUT_SPLITS
from brickfilm.schema.frame_sampling import poses
from brickfilm.schema.training_recipe import ClipShape, RecipeBucket, TrainingRecipe

COUNTED_COLUMNS = (
    *("num_frames", "height", "width", "fps_num", "fps_den"),
    *("new_drawings", "caption"),
)


@dataclass(frozen=True)
class RecipeCoverage:
    """Number of clips for each bucket, and of unused clips by reason."""

    recipe: TrainingRecipe
    total: int
    used: Counter[RecipeBucket]
    unused: Counter[str]

    @classmethod
    def from_sizes(cls, recipe: TrainingRecipe, sizes: Iterable[ClipShape | str]) -> RecipeCoverage:
        """Count the shapes of clips; a text is the reason why a clip is not used."""
        rows = list(sizes)
        shapes = [row for row in rows if isinstance(row, ClipShape)]
        counts = Counter([*recipe.assign(shapes), *(row for row in rows if isinstance(row, str))])
        used = Counter({b: n for b, n in counts.items() if isinstance(b, RecipeBucket)})
        unused = Counter({reason: n for reason, n in counts.items() if isinstance(reason, str)})
        return cls(recipe, counts.total(), used, unused)

    def to_rows(self) -> list[tuple[str, str, int, float]]:
        """Return rows of (bucket or 'not used', requirement or reason, clips, fraction)."""
        buckets = sort_buckets(self.recipe.buckets)
        counts = [(str(b), self.recipe.describe_length(b), self.used[b]) for b in buckets]
        counts += [("not used", reason, n) for reason, n in self.unused.most_common()]
        return [(bucket, text, n, n / max(1, self.total)) for bucket, text, n in counts]


def dataset_clip_shapes(dataset: SavedDataset) -> Iterator[ClipShape | str]:
    """Yield the shapes of the clips and images that are trained on; an image has one frame.

    Rows of other splits than those for training are left out; of one without a caption it is said.
    """
    for config in dataset.configs:
        names = [name for name in dataset.columns(config) if name in COUNTED_COLUMNS]
        rows = dataset.to_pandas(config, names)
        for row in rows[~rows["split"].isin(HELD_OUT_SPLITS)].to_dict("records"):
            yield _shape(row) if (row["caption"] or "").strip() else NO_CAPTION


def _shape(row: Mapping[Hashable, Any]) -> ClipShape:
    if "num_frames" not in row:
        return ClipShape(1, row["height"], row["width"])
    fps, drawings = Fraction(row["fps_num"], row["fps_den"]), row.get("new_drawings")
    measured = 0 if drawings is None or not len(drawings) else len(poses(tuple(drawings)))
    return ClipShape(row["num_frames"], row["height"], row["width"], fps, measured)
