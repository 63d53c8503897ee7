"""Share the settings of stages that run a CLIP model."""

from __future__ import annotations

from dataclasses import dataclass, field

from brickfilm.embeddings.clip_model import check_packages
from brickfilm.engine.capabilities import Checked, DryRun, MultiPart
from brickfilm.engine.stage import Part, Resources, Stage
from brickfilm.records import Clip


@dataclass(frozen=True, kw_only=True)
class ClipModelStage(Stage[Clip, Clip], MultiPart, Checked, DryRun):
    """Run a CLIP model on batches of clips, in processes that load it once."""

    version = 1
    input_types = (Clip,)

    device: str = field(default="auto", compare=False)
    """A device of torch; 'auto' is the first GPU, else the CPU."""
    batch_size: int = field(default=16, compare=False)
    """Clips in a call, at most."""
    workers: int = field(default=1, compare=False)
    """Processes, each with the model."""
    gpus: float = field(default=0.0, compare=False)
    """GPUs that each gets on a Ray cluster."""

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", concurrency=self.workers, gpus=self.gpus)

    @property
    def max_items_per_call(self) -> int:  # type: ignore[override]
        return self.batch_size

    def check(self) -> None:
        """Raise UsageError without the extra `scores`."""
        check_packages()

    def parts(self) -> tuple[Part, ...]:
        return (self,)
