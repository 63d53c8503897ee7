"""The card's statements on samples follow from their measures."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

from finetune.config import Validation
from finetune.release.model_card import find_deviations, measure_means, render_card
from finetune.sampling.measures import VideoMetrics
from finetune.validation.page import TRAINING_METRICS_FILE, ValidationResult
from tests.finetune.conftest import MakeRecipe

CLIP = VideoMetrics(0.01, 0.02, 0.0, 0.03, 0.0, 0.01)


def checkpoint(folder: Path, clips: list[VideoMetrics], *samples: VideoMetrics) -> ValidationResult:
    """A validation of these samples; one more, of the guidance sweep, is far off."""
    (folder / TRAINING_METRICS_FILE).write_text(json.dumps([clip._asdict() for clip in clips]))
    rows = [{"sweep": False, "measures": sample._asdict()} for sample in samples]
    rows.append({"sweep": True, "measures": VideoMetrics(9, 9, 9, 9, 9, 9)._asdict()})
    return ValidationResult(folder / "step-00000010", {"step": 10, "samples": rows})


def test_numbers_are_means_over_clips_and_over_samples_without_the_sweep(tmp_path: Path) -> None:
    result = checkpoint(tmp_path, [CLIP, CLIP], CLIP, CLIP._replace(flicker=0.03))
    assert measure_means(result)["flicker"] == (0.01, 0.02)


def test_samples_far_from_clips_are_a_fault_and_others_are_none(tmp_path: Path) -> None:
    far = CLIP._replace(flicker=0.02, motion=0.001, sharpness=0.031, colour_drift=0.9)
    assert find_deviations(checkpoint(tmp_path, [CLIP], far)) == [
        "Its samples have 2 times the temporal flicker of training clips.",
        "Its samples have 0.05 times the motion from frame to frame of training clips.",
    ]
    assert find_deviations(checkpoint(tmp_path, [CLIP], CLIP)) == []


def test_a_run_that_saw_only_pictures_has_nothing_to_compare(tmp_path: Path) -> None:
    result = checkpoint(tmp_path, [], CLIP)
    assert (measure_means(result), find_deviations(result)) == ({}, [])


def test_any_prompt_can_be_copied_from_the_card(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    prompt = 'a "red" | $HOME\nbrick\'s \\ end'
    recipe = make_recipe(validation=Validation(prompts=(prompt,)))
    sample = {"prompt": prompt, "seed": 7, "file": "00.mp4", "sweep": False}
    about = {"step": 10, "values": {"validation/loss": 1.0}, "samples": []}
    about["samples"] = [{**sample, "measures": CLIP._asdict()}]
    (tmp_path / TRAINING_METRICS_FILE).write_text("[]")
    grid = [ValidationResult(tmp_path / f"step-{n:08d}", about) for n in (0, 10)]
    names = ("step", "samples", "epoch", "gpu_hours", "world")
    manifest = {**dict.fromkeys(names, 1), "code": "1.0", "dataset": "0" * 64}
    encoders = {"vae": "here", "text": "here"}
    card = render_card(
        "me/bricks",
        manifest,
        recipe,
        grid,
        parameters=1,
        encoders=encoders,
        weights="the last",
        licence=None,
    )
    line = " ".join(prompt.split())
    command = re.search(r"^finetune sample .*", card, re.MULTILINE)
    assert command and shlex.split(command[0])[-1] == line
    in_python = re.search(r"pipeline.request\(prompt=(.*), seed=42\)", card)
    assert in_python and ast.literal_eval(in_python[1]) == line
    row = line.replace("|", r"\|")
    assert f"| {row} (seed 7) | <video" in card
    assert "at other guidance" not in card
