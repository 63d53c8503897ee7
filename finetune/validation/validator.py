"""Sample the weights at fixed noise during training, measure the samples, write the page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from brickfilm.digest import with_digest
from brickfilm.files import atomic_write
from finetune.data.encoders import load_text_encoder, load_vae
from finetune.data.media import write_video
from finetune.engines.base import Engine
from finetune.engines.distributed import all_reduce_sum
from finetune.engines.ema import start_share
from finetune.models.family import LatentCodec
from finetune.sampling.generate import (
    EncodedPrompt,
    LatentGenerator,
    decode_latent,
    encode_prompt,
    generate_latent,
)
from finetune.sampling.images import read_images
from finetune.sampling.measures import VideoMetrics, compute_metrics
from finetune.sampling.request import SampleRequest
from finetune.sampling.sources import default_settings
from finetune.training.loggers import LoggedVideo
from finetune.validation.fixed_loss import FixedLoss
from finetune.validation.page import TRAINING_METRICS_FILE, VALIDATION_FILE, write_page

if TYPE_CHECKING:
    from finetune.training.run import TrainingRun


class Validator:
    """Sample each rank's share of the prompts; rank 0 gathers, writes and logs.

    Every rank samples equally often, as ranks with sharded weights (FSDP2) need.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run, self.settings = run, run.recipe.validation
        self.prompts = self.settings.sampled_prompts
        self._prompts: list[EncodedPrompt] = []
        self._vae: LatentCodec | None = None
        self._loss: FixedLoss | None = None

    def is_due(self, *, last: bool) -> bool:
        """Return True if a validation follows this step."""
        every = self.settings.every or self.run.recipe.checkpoints.every
        return last or self.run.step % every == 0

    def is_pending(self) -> bool:
        """Return True if the step where the run resumes was not validated, because of a kill.

        Rank 0 checks the files; all ranks get the same answer.
        """
        run = self.run
        if run.step == 0:
            return True
        missing = run.engine.rank == 0 and not (self._folder() / VALIDATION_FILE).is_file()
        any_missing = all_reduce_sum(torch.tensor([float(missing)], dtype=torch.float64))[0] > 0
        return bool(any_missing) and self.is_due(last=run.step >= run.recipe.steps)

    def __call__(self) -> None:
        """Sample, measure, write and log, without changing the run's random state.

        If a stop is requested meanwhile, write nothing for this step.
        """
        if not self.prompts:
            return
        run = self.run
        try:
            with _preserve_rng_state(run.device), _raise_on_stop_request(run), torch.no_grad():
                with _swapped_weights(run.engine, self.settings.weights):
                    vae, loss = self._open()
                    values = {"validation/loss": loss(), **self._ema_values()}
                    frames = self._sample_all(vae, self.requests())
                if self.other_weights:
                    with _swapped_weights(run.engine, self.other_weights):
                        frames += self._sample_all(vae, self.requests()[: len(self.prompts)])
        except StopRequested:
            return
        if run.engine.rank == 0:
            metrics = [compute_metrics(clip) for clip in frames]
            unswept = metrics[: len(self.prompts)]
            values |= {f"validation/{name}": _mean(unswept, name) for name in VideoMetrics._fields}
            videos = self._write(frames, metrics, values)
            run.log.log(run.step, values, {f"sample/{n}": v for n, v in enumerate(videos)})
        if run.engine.world_size > 1:
            dist.barrier()

    def requests(self) -> list[SampleRequest]:
        """Return a request per prompt, and after the last step the guidance sweep of the first."""
        settings = default_settings(self.run.recipe)
        seed = settings.pop("seed")
        images = self.settings.images or (None,) * len(self.prompts)
        requests = [
            SampleRequest.from_dict(
                {"prompt": prompt, "image": image, "seed": seed + n, **settings}
            )
            for n, (prompt, image) in enumerate(zip(self.prompts, images, strict=True))
        ]
        if self.run.step >= self.run.recipe.steps:
            requests += [dataclasses.replace(requests[0], guidance=g) for g in self.settings.sweep]
        return requests

    @property
    def other_weights(self) -> str | None:
        """Return the weights that are sampled too after the last step, to compare; or none."""
        if self.run.step < self.run.recipe.steps or not self.run.recipe.optimizer.ema:
            return None
        return "raw" if self.settings.weights == "ema" else "ema"

    def _ema_values(self) -> dict[str, float]:
        optimizer = self.run.recipe.optimizer
        if not optimizer.ema:
            return {}
        return {"validation/ema_start_share": start_share(optimizer, self.run.engine.updates)}

    def _open(self) -> tuple[LatentCodec, FixedLoss]:
        """Encode the prompts once and release the text encoder, the largest network."""
        run = self.run
        if self._vae is None or self._loss is None:
            encoder = run.batch_encoder.text_encoder or load_text_encoder(
                run.recipe, run.data.index, run.device
            )
            self._prompts = [encode_prompt(run.family, encoder, text) for text in self.prompts]
            self._vae = run.batch_encoder.vae or load_vae(run.recipe, run.device)
            self._loss = FixedLoss(run)
            if run.engine.rank == 0:
                self._write_training(self._vae, self._loss)
        return self._vae, self._loss

    def _sample_all(self, vae: LatentCodec, requests: Sequence[SampleRequest]) -> list[Tensor]:
        """Sample in rounds of one request per rank; return frames [T, 3, H, W] uint8 on rank 0."""
        run, gathered = self.run, list[Tensor]()
        rank, world_size = run.engine.rank, run.engine.world_size
        generator = LatentGenerator(run.family, run.objective, run.engine.module, vae, run.device)
        by_guidance = bool(run.family.pipeline_class)
        for round_ in sampling_rounds(requests, world_size, by_guidance=by_guidance):
            request = round_[min(rank, len(round_) - 1)]
            prompt = self._prompts[self.prompts.index(request.prompt)]
            images = read_images(request, run.family, run.device)
            latent = generate_latent(generator, prompt, request, images)
            gathered += _gather_frames(decode_latent(vae, latent), run.engine)[: len(round_)]
        return gathered

    def _write(
        self, frames: Sequence[Tensor], metrics: Sequence[VideoMetrics], values: dict[str, float]
    ) -> list[LoggedVideo]:
        """Write the videos, then `about.json`, then the page over all checkpoints so far."""
        folder = self._folder()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VALIDATION_FILE).unlink(missing_ok=True)  # written last: a kill leaves none
        videos, samples = [], []
        for number, (name, request, about) in enumerate(self._planned_files()):
            write_video(folder / name, frames[number], request.fps)
            videos.append(LoggedVideo(folder / name, frames[number], request.fps))
            sample = {"file": name, **about, "measures": metrics[number]._asdict()}
            samples.append({**request.as_dict(), **sample})
        about = {"step": self.run.step, "values": values, "samples": samples}
        with atomic_write(folder / VALIDATION_FILE) as stream:
            stream.write(json.dumps(with_digest(about), indent=1).encode())
        write_page(self.run.out, self.run.recipe, until=self.run.step)
        return videos[: len(self.prompts)]

    def _planned_files(self) -> Iterator[tuple[str, SampleRequest, dict[str, object]]]:
        """Yield each sample's file name, request, and place: beside the prompts' is a sweep."""
        requests, count = self.requests(), len(self.prompts)
        for number, request in enumerate(requests[:count]):
            yield f"{number:02d}.mp4", request, {"sweep": False}
        for request in requests[count:]:
            yield f"guidance-{request.guidance:g}.mp4", request, {"sweep": True}
        for number, request in enumerate(requests[:count] if self.other_weights else ()):
            name = f"{number:02d}-{self.other_weights}.mp4"
            yield name, request, {"sweep": True, "weights": self.other_weights}

    def _folder(self) -> Path:
        """Return the folder of this step's samples."""
        return self.run.out / "samples" / f"step-{self.run.step:08d}"

    def _write_training(self, vae: LatentCodec, loss: FixedLoss) -> None:
        """Write the metrics of training clips, decoded by the same VAE."""
        metrics = [compute_metrics(decode_latent(vae, x))._asdict() for x in loss.latents()]
        file = self.run.out / "samples" / TRAINING_METRICS_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as stream:
            stream.write(json.dumps(metrics).encode())


def sampling_rounds(
    requests: Sequence[SampleRequest], world_size: int, *, by_guidance: bool
) -> Iterator[Sequence[SampleRequest]]:
    """Yield requests to sample at the same time, in order, at most one a rank.

    by_guidance: apart with and without it. diffusers' pipelines call the network twice a step, or
    once; ranks with sharded weights (FSDP2) must call it equally often.
    """
    for _, group in groupby(requests, key=lambda request: by_guidance and request.guidance > 1):
        alike = list(group)
        yield from (alike[i : i + world_size] for i in range(0, len(alike), world_size))


@contextmanager
def _swapped_weights(engine: Engine, weights: str) -> Iterator[None]:
    """Swap in the "ema" weights, if the run has them, or the "raw" ones, within the block."""
    engine.module.eval()
    with torch.no_grad():
        ema = engine.shards()["ema"] if weights == "ema" else {}
        engine.swap_in(ema or engine.shards()["model"])
    try:
        yield
    finally:
        engine.sync_compute_weights()
        engine.module.train()


class StopRequested(Exception):
    """A stop requested during sampling, which takes minutes; a terminated job has about one."""


@contextmanager
def _raise_on_stop_request(run: TrainingRun) -> Iterator[None]:
    """Raise StopRequested on all ranks at the network's next forward pass after a request."""

    def raise_if_stopped(*_: object) -> None:
        if run.any_rank_stop_requested():
            raise StopRequested

    # prepended, to run before FSDP2's own hook
    hook = run.engine.module.register_forward_pre_hook(raise_if_stopped, prepend=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _preserve_rng_state(device: torch.device) -> Iterator[None]:
    """Restore torch's global generators after the block."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _gather_frames(frames: Tensor, engine: Engine) -> list[Tensor]:
    """Return every rank's frames, in order, on rank 0; nothing on others."""
    if engine.world_size == 1:
        return [frames]
    gathered: list[Tensor] | None = [frames] * engine.world_size if engine.rank == 0 else None
    dist.gather_object(frames, gathered)
    return gathered or []


def _mean(metrics: Sequence[VideoMetrics], name: str) -> float:
    return sum(float(getattr(m, name)) for m in metrics) / len(metrics)
