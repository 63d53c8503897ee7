"""The training loop, on one page: encode, mask, noise, loss, backward, step, average, log, save."""

from __future__ import annotations

from functools import partial

import torch

from finetune.config import Recipe
from finetune.engines.distributed import all_reduce_sum, choose_device, process_group
from finetune.planning.plan import suggest_batch_sizes
from finetune.tensors import to_device_async
from finetune.training.noise import draw_noise
from finetune.training.run import TrainingRun, learning_rate, open_run
from finetune.training.step_metrics import MetricAccumulator
from finetune.validation import Validator


def train(
    recipe: Recipe, *, resume: str | None = None, new_data: bool = False
) -> dict[str, object]:
    """Train one stage to its last step, or until SIGTERM; gives the run's summary."""
    device = choose_device(recipe)
    with process_group(recipe, device, remedy=partial(suggest_batch_sizes, recipe, device)):
        return _run(recipe, device, resume=resume, new_data=new_data)


def _run(
    recipe: Recipe, device: torch.device, *, resume: str | None, new_data: bool
) -> dict[str, object]:
    """A run from its opening to its summary: nothing of it is held when the ranks part."""
    with open_run(recipe, device, resume=resume, new_data=new_data) as run:
        loop(run)
        return run.summary()


def loop(run: TrainingRun) -> None:
    """Steps from where the run stands."""
    recipe, engine, validate = run.recipe, run.engine, Validator(run)
    if validate.is_pending():
        validate()
    for batch in run.batches():
        if run.step >= recipe.steps:
            break
        run.timer.data()
        run.warn_skipped(batch.skipped)
        clips = float(all_reduce_sum(torch.tensor([float(len(batch))]))[0])
        tally = MetricAccumulator()

        for micro in run.batch_encoder.read(batch).micro_batches():
            seen = run.batch_encoder(micro)
            drawn = draw_noise(micro.seeds, seen.mean.shape[1:], recipe, run.device)
            latents = seen.mean + seen.std * drawn.vae_noise
            denoise = seen.denoiser(engine.module, drawn.drop_caption)
            losses = run.diffusion.losses(denoise, latents, drawn.t, drawn.noise, drawn.frame_mask)
            weights = to_device_async(torch.tensor(micro.weights), run.device)
            engine.backward((losses.loss * weights).sum() * (engine.world_size / max(clips, 1)))
            tally.add(losses, drawn.t, weights)

        step = tally.all_reduce(bad_samples=len(batch.skipped), stop_requested=run.stop_requested)
        lr = learning_rate(recipe.schedule, run.step)
        norm, taken = engine.step(lr, partial(run.spike_detector.allows, step.loss))
        run.step, run.sampler_state, run.bad_samples = (
            run.step + 1,
            batch.spec.sampler_state,
            run.bad_samples + step.bad_samples,
        )
        run.log_step(step, lr, norm, taken=taken)
        run.spike_detector.record(step.loss, norm, taken=taken)

        last = step.stop_requested or run.step == recipe.steps
        saved = last or run.step % recipe.checkpoints.every == 0
        if saved:
            run.save()
        if validate.is_due(last=last) and not run.any_rank_stop_requested():
            validate()
        if last or (saved and run.any_rank_stop_requested()):
            break
