"""Count the clips that a training recipe would use, before any caption is paid for.

Applies the trainer's rules to a recipe's `buckets` and `frame_interval`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from brickfilm.dataset.reader import SavedDataset
from brickfilm.schema.buckets import sort_buckets
from brickfilm.schema.training_recipe import ClipShape, RecipeBucket, TrainingRecipe


@dataclass(frozen=True)
class RecipeCoverage:
    """Number of clips for each bucket, and of unused clips by reason."""

    recipe: TrainingRecipe
    total: int
    used: Counter[RecipeBucket]
    unused: Counter[str]

    @classmethod
    def from_sizes(cls, recipe: TrainingRecipe, sizes: Iterable[ClipShape]) -> RecipeCoverage:
        counts = Counter(recipe.bucket_for(size) for size in sizes)
        used = Counter({b: n for b, n in counts.items() if isinstance(b, RecipeBucket)})
        unused = Counter({reason: n for reason, n in counts.items() if isinstance(reason, str)})
        return cls(recipe, counts.total(), used, unused)

    def to_rows(self) -> list[tuple[str, str, int, float]]:
        """Return rows of (bucket or 'not used', requirement or reason, clips, fraction)."""
        buckets = sort_buckets(self.recipe.buckets)
        counts = [(str(b), self.recipe.describe_length(b), self.used[b]) for b in buckets]
        counts += [("not used", reason, n) for reason, n in self.unused.most_common()]
        return [(bucket, text, n, n / max(1, self.total)) for bucket, text, n in counts]


def dataset_clip_shapes(dataset: SavedDataset) -> Iterator[ClipShape]:
    """Yield the shapes of all clips and images of a dataset; an image has one frame."""
    columns = {"clips": ["num_frames", "height", "width"], "images": ["height", "width"]}
    for config in dataset.configs:
        for row in dataset.to_pandas(config, columns[config]).to_dict("records"):
            yield ClipShape(int(row.get("num_frames", 1)), row["height"], row["width"])
