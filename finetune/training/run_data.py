"""Give a run its batches and positions: of an indexed dataset, and the protocol of any other."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from finetune.config import Recipe
from finetune.data.bucket_coverage import MANY_EPOCHS, BucketCoverage
from finetune.data.cache_layout import index_folder
from finetune.data.index import Index
from finetune.data.loader import Batch, SampleLoader, batches
from finetune.data.sampler import Sampler, SamplerState
from finetune.engines.distributed import rank_and_world_size
from finetune.training.recipe_changes import added_buckets

log = logging.getLogger(__name__)

Manifest = Mapping[str, Any]


class RunData(Protocol):
    """Source of the batches of a run."""

    @property
    def index(self) -> Index:
        """Return the index of the dataset; of a streamed one, of the rows that name captions."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a sha256 of the content."""
        ...

    def batches(self, state: SamplerState, seed: int, workers: int) -> Iterator[Batch]:
        """Yield this rank's batches from a state on, endlessly; every rank must iterate."""
        ...

    def fixed_batches(self, count: int) -> list[Batch]:
        """Return the batches of the validation loss, the same in every run."""
        ...

    def resumed_state(self, manifest: Manifest | None, seed: int) -> SamplerState:
        """Return the position of a checkpoint; that of the beginning for none."""
        ...

    def manifest_entries(self, state: SamplerState) -> dict[str, Any]:
        """Return what a checkpoint says of the position; every rank must call."""
        ...

    def describe(self, world_size: int) -> str:
        """Return what is known of the clips before training; log warnings."""
        ...

    def summary(self, state: SamplerState) -> dict[str, object]:
        """Return what is known of the clips after training; every rank must call."""
        ...


@dataclass(frozen=True)
class IndexedData:
    """A dataset whose rows are indexed: all ranks draw from all clips."""

    recipe: Recipe
    index: Index
    coverage: BucketCoverage

    @property
    def fingerprint(self) -> str:
        return self.index.fingerprint

    def batches(self, state: SamplerState, seed: int, workers: int) -> Iterator[Batch]:
        rank, world_size = rank_and_world_size()
        load = SampleLoader(index_folder(self.recipe), self.recipe, self.index)
        sampler, ranks = self._sampler(seed), {"rank": rank, "world_size": world_size}
        return batches(load, sampler, state, workers=workers, **ranks)

    def fixed_batches(self, count: int) -> list[Batch]:
        same_as_ever = SamplerState(steps=None)  # the losses of a run's earlier versions compare
        seed = self.recipe.validation.seed
        return list(islice(self.batches(same_as_ever, seed, 0), count))

    def resumed_state(self, manifest: Manifest | None, seed: int) -> SamplerState:
        """Return the checkpoint's position, with buckets that the recipe adds to it."""
        if manifest is None:
            return SamplerState()
        skipped, steps = manifest.get("position_skipped", {}), manifest.get("position_steps")
        state = SamplerState(manifest["position"], skipped, steps)
        added = added_buckets(self.recipe, manifest)
        return self._sampler(seed).admit(state, added) if added else state

    def manifest_entries(self, state: SamplerState) -> dict[str, Any]:
        return {"epoch": state.samples / max(1, int(self.coverage.usable.sum()))}

    def describe(self, world_size: int) -> str:
        epochs = self.coverage.epochs(self.recipe, world_size)
        if epochs.count > MANY_EPOCHS:
            log.warning("%s: the clips may be learned by heart", epochs)
        return str(self.coverage)

    def summary(self, state: SamplerState) -> dict[str, object]:
        return {}

    def _sampler(self, seed: int) -> Sampler:
        return Sampler(self.index, self.recipe, self.coverage.usable, seed)
