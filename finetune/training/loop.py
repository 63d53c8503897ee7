"""The training loop, on one page: encode, mask, noise, loss, backward, step, average, log, save."""

from __future__ import annotations

from functools import partial

import torch

from finetune.config import Recipe
from finetune.engines.distributed import choose_device, ranks, total
from finetune.planning.plan import what_fits
from finetune.tensors import to_device_async
from finetune.training.noise import draw
from finetune.training.run import Run, learning_rate, open_run
from finetune.training.step_metrics import Tally
from finetune.validation import Validate


def train(
    recipe: Recipe, *, resume: str | None = None, new_data: bool = False
) -> dict[str, object]:
    """Train one stage to its last step, or until SIGTERM; gives the run's summary."""
    device = choose_device(recipe)
    with ranks(recipe, device, remedy=partial(what_fits, recipe, device)):
        return _run(recipe, device, resume=resume, new_data=new_data)


def _run(
    recipe: Recipe, device: torch.device, *, resume: str | None, new_data: bool
) -> dict[str, object]:
    """A run from its opening to its summary: nothing of it is held when the ranks part."""
    with open_run(recipe, device, resume=resume, new_data=new_data) as run:
        loop(run)
        return run.summary()


def loop(run: Run) -> None:
    """Steps from where the run stands."""
    recipe, engine, validate = run.recipe, run.engine, Validate(run)
    if validate.owed():
        validate()
    for batch in run.batches():
        if run.step >= recipe.steps:
            break
        run.clock.data()
        run.leave_out(batch.skipped)
        clips = float(total(torch.tensor([float(len(batch))]))[0])
        tally = Tally()

        for micro in run.encode.read(batch).micro():
            seen = run.encode(micro)
            drawn = draw(micro.seeds, seen.mean.shape[1:], recipe, run.device)
            latents = seen.mean + seen.std * drawn.encoding
            denoise = seen.denoiser(engine.module, drawn.drop)
            losses = run.diffusion.losses(denoise, latents, drawn.t, drawn.noise, drawn.frame_mask)
            weights = to_device_async(torch.tensor(micro.weights), run.device)
            engine.backward((losses.loss * weights).sum() * (engine.world / max(clips, 1)))
            tally.add(losses, drawn.t, weights)

        step = tally.shared(bad=len(batch.skipped), stop=run.stop)
        lr = learning_rate(recipe.schedule, run.step)
        norm, taken = engine.step(lr, partial(run.watch.allows, step.loss))
        run.step, run.position, run.bad = run.step + 1, batch.order.position, run.bad + step.bad
        run.report(step, lr, norm, taken=taken)
        run.watch.record(step.loss, norm, taken=taken)

        last = step.stop or run.step == recipe.steps
        saved = last or run.step % recipe.checkpoints.every == 0
        if saved:
            run.save()
        if validate.due(last=last) and not run.asked_to_stop():
            validate()
        if last or (saved and run.asked_to_stop()):
            break
