"""The validation page shows all values that validations may have, NaN included."""

from __future__ import annotations

import json
import re
from math import nan
from pathlib import Path

import pytest
import torch
from torch import Tensor

from finetune.config import Recipe
from finetune.data.media import write_video
from finetune.sampling.measures import compute_metrics
from finetune.sampling.request import SampleRequest
from finetune.validation.page import MAX_CHECKPOINTS, TRAINING_METRICS_FILE, render_page
from finetune.validation.validator import sampling_rounds
from tests.finetune.conftest import MakeRecipe

PROMPT = "a red & a <blue> brick"
CLIP = torch.full((4, 3, 32, 48), 90, dtype=torch.uint8)
NOISE = torch.randint(0, 256, CLIP.shape, dtype=torch.uint8, generator=torch.Generator())


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe()


def write_validation(recipe: Recipe, step: int, loss: float, *, clip: Tensor = CLIP) -> None:
    """Write a validation with one sample."""
    samples = Path(recipe.out) / "samples"
    folder = samples / f"step-{step:08d}"
    folder.mkdir(parents=True)
    write_video(folder / "00.mp4", clip, 6.0)
    sample = SampleRequest(prompt=PROMPT, frames=len(clip), height=32, width=48).as_dict()
    sample |= {"file": "00.mp4", "sweep": False, "measures": compute_metrics(clip)._asdict()}
    values = {"validation/loss": loss}
    (folder / "about.json").write_text(
        json.dumps({"step": step, "values": values, "samples": [sample]})
    )
    (samples / TRAINING_METRICS_FILE).write_text(json.dumps([compute_metrics(NOISE)._asdict()] * 2))


def test_ranks_sample_at_once_what_calls_the_network_equally_often() -> None:
    """diffusers' pipelines call it once a step without guidance: FSDP2 would wait for ever."""
    requests = [SampleRequest(prompt="a", guidance=g) for g in (5.0, 5.0, 5.0, 0.0, 1.0, 3.0)]

    def rounds(*, by_guidance: bool) -> list[list[float]]:
        split = sampling_rounds(requests, 2, by_guidance=by_guidance)
        return [[request.guidance for request in round_] for round_ in split]

    assert rounds(by_guidance=True) == [[5.0, 5.0], [5.0], [0.0, 1.0], [3.0]]
    assert rounds(by_guidance=False) == [[5.0, 5.0], [5.0, 0.0], [1.0, 3.0]]


def charts(page: str) -> list[str]:
    return re.findall(r"<figure>.*?</figure>", page, re.DOTALL)


def test_a_loss_of_nan_leaves_the_curve_its_other_points(recipe: Recipe) -> None:
    for step, loss in enumerate([2.0, nan, 1.0]):
        write_validation(recipe, step, loss)
    curve = charts(render_page(Path(recipe.out), recipe))[0]
    assert curve.count("<circle") == 2
    assert "step 0: 2" in curve and "step 2: 1" in curve
    assert "nan" not in curve


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_stills_and_constant_clips_have_numbers_on_the_page(frames: int, recipe: Recipe) -> None:
    write_validation(recipe, 0, 1.0, clip=CLIP[:frames])
    drawn = charts(render_page(Path(recipe.out), recipe))
    assert len(drawn) == 1 + 6  # no step was trained, so there is no curve of its loss
    assert not re.search(r"\b(nan|inf)\b", "".join(drawn))


def test_a_run_that_saw_only_pictures_has_no_clips_to_lay_behind(recipe: Recipe) -> None:
    write_validation(recipe, 0, 1.0, clip=CLIP[:1])
    (Path(recipe.out) / "samples" / TRAINING_METRICS_FILE).write_text("[]")
    page = render_page(Path(recipe.out), recipe)
    assert 'class="front"' in page and 'class="back"' not in page


def test_between_the_first_and_the_newest_checkpoints_are_left_out(recipe: Recipe) -> None:
    for step in range(MAX_CHECKPOINTS + 2):
        write_validation(recipe, step, 1.0)
    page = render_page(Path(recipe.out), recipe)
    assert re.findall(r"<b>step (\d+)</b>", page) == ["0", *map(str, range(3, MAX_CHECKPOINTS + 2))]
    assert charts(page)[0].count("<circle") == MAX_CHECKPOINTS + 2
    assert "2 checkpoints between" in page
    earlier = render_page(Path(recipe.out), recipe, until=4)
    assert re.findall(r"<b>step (\d+)</b>", earlier) == ["0", "1", "2", "3", "4"]
    assert "between the first" not in earlier


def test_a_prompt_is_text_and_no_markup(recipe: Recipe) -> None:
    write_validation(recipe, 0, 1.0)
    page = render_page(Path(recipe.out), recipe)
    assert "a red &amp; a &lt;blue&gt; brick" in page and "<blue>" not in page


def test_the_last_checkpoint_is_shown_with_both_weights_and_the_share_of_the_start(
    recipe: Recipe,
) -> None:
    write_validation(recipe, 0, 1.0)
    file = Path(recipe.out) / "samples" / "step-00000000" / "about.json"
    about = json.loads(file.read_text())
    write_video(file.with_name("00-raw.mp4"), NOISE, 6.0)
    about["samples"].append(
        {**about["samples"][0], "file": "00-raw.mp4", "sweep": True, "weights": "raw"}
    )
    about["values"]["validation/ema_start_share"] = 0.8607
    file.write_text(json.dumps(about))
    page = render_page(Path(recipe.out), recipe)
    assert "86.1% of it are the initial weights" in page
    assert page.count("<video src") == 2
    assert "<code>--weights raw</code>" in page
    assert "other guidance scales" not in page
