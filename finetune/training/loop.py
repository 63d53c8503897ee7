"""The training loop: encode, mask, add noise, loss, backward, step, EMA, log, save, validate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from finetune.config import Recipe
from finetune.engines.distributed import all_reduce_sum, choose_device, process_group
from finetune.planning.remedies import suggest_batch_sizes
from finetune.tensors import to_device_async
from finetune.training.lr_schedule import learning_rate
from finetune.training.open_run import open_run
from finetune.training.run import TrainingRun
from finetune.training.step_metrics import MetricAccumulator
from finetune.validation.validator import Validator


def train(
    recipe: Recipe,
    *,
    resume: str | None = None,
    new_data: bool = False,
    allow: Sequence[str] = (),
) -> dict[str, object]:
    """Train one stage to its last step, or until SIGTERM or Ctrl-C; return the run's summary.

    resume, new_data, allow: see `finetune.training.open_run.open_run`.
    """
    device = choose_device(recipe)
    with process_group(recipe, device, remedy=partial(suggest_batch_sizes, recipe, device)):
        return _run(recipe, device, resume=resume, new_data=new_data, allow=allow)


def _run(recipe: Recipe, device: torch.device, **options: Any) -> dict[str, object]:
    """Open, train and summarize in a frame of its own: it must end before the process group."""
    with open_run(recipe, device, **options) as run:
        loop(run)
        return run.summary()


def loop(run: TrainingRun) -> None:
    """Take steps from the run's position on."""
    recipe, engine, family, objective = run.recipe, run.engine, run.family, run.objective
    validate = Validator(run)
    if validate.is_pending():
        validate()
    for batch in run.batches():
        if run.step >= recipe.steps:
            break
        run.timer.data_ready()
        run.warn_skipped(batch.skipped)
        clips = float(all_reduce_sum(torch.tensor([float(len(batch))]))[0])
        run.timer.compute_begins()
        accumulator = MetricAccumulator(objective.max_time)

        for micro_batch in run.batch_encoder.encode_captions(batch).micro_batches():
            inputs = run.batch_encoder(micro_batch)
            draws = run.draw_noise(micro_batch.seeds, inputs.mean.shape[1:])
            latents = inputs.mean + inputs.std * draws.vae_noise
            denoise = family.denoiser(
                engine.module,
                inputs.conditions,
                drop=draws.drop_caption,
                activation_checkpointing=inputs.activation_checkpointing,
            )
            losses = objective.losses(denoise, latents, draws.time, draws.noise, draws.frame_mask)
            weights = to_device_async(torch.tensor(micro_batch.weights), run.device)
            engine.backward((losses.loss * weights).sum() * (engine.world_size / max(clips, 1)))
            accumulator.add(losses, draws.time, weights)

        metrics = accumulator.all_reduce(
            bad_samples=len(batch.skipped), stop_requested=run.stop_requested, timer=run.timer
        )
        lr = learning_rate(recipe.schedule, run.step)
        norm, taken = engine.step(lr, partial(run.spike_detector.allows, metrics.loss))
        run.finish_step(batch, metrics, lr, norm, taken=taken)

        last = metrics.stop_requested or run.step == recipe.steps
        saved = last or run.step % recipe.checkpoints.every == 0
        if saved:
            run.save()
        if validate.is_due(last=last) and not run.any_rank_stop_requested():
            validate()
        if last or (saved and run.any_rank_stop_requested()):
            break
    run.raise_stop_reason()
