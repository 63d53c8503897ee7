"""The lengths of clips that recipes, models and trainers use."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from brickfilm.digest import digest_of
from brickfilm.errors import UsageError
from brickfilm.export.training_target import find_training_recipe, training_lengths
from brickfilm.schema.target_models import target_models
from brickfilm.schema.training_lengths import TrainingLengths, describe_use
from brickfilm.stages import SceneSplitter


def test_a_recipe_takes_frames_as_they_come() -> None:
    lengths = training_lengths("text2bricks/32f-stage1")
    assert lengths.at(Fraction(24)) == lengths.at(Fraction(30)) == (129,)
    assert lengths.used(128, Fraction(24)) == 0
    assert lengths.used(250, Fraction(24)) == 129


def test_a_recipe_by_time_counts_at_its_target_rate(tmp_path: Path) -> None:
    lengths = training_lengths("wan/1.3b-lora")
    assert lengths.at(Fraction(16)) == (81,)
    assert lengths.at(Fraction(24)) == (122,)
    path = tmp_path / "pose.toml"
    bucket = 'buckets = [{ resolution = "480p", frames = 17 }]\n'
    path.write_text(bucket + 'sampling = "pose"')
    with pytest.raises(UsageError, match=r"counts drawings .*: build without --for, then count"):
        training_lengths(str(path))
    path.write_text(bucket + 'sampling = "times"')
    with pytest.raises(UsageError, match="sampling = 'times' and target_fps = 0: choose interval"):
        training_lengths(str(path))


def test_a_model_counts_at_its_own_rate_and_a_frame_to_spare() -> None:
    lengths = training_lengths("wan2.1")
    assert lengths.at(Fraction(16)) == (18, 34, 50, 66, 82)
    assert lengths.at(Fraction(24)) == (27, 51, 75, 99, 123)


@pytest.mark.parametrize(
    ("name", "at_24"),
    [
        ("simpletuner", (82,)),
        ("fastvideo", (123,)),
        ("cosmos-predict2.5", (94,)),
        ("musubi-tuner:hunyuanvideo-1.5", (34, 62, 98, 122)),
        ("finetrainers", (17, 33, 49, 65, 81)),
    ],
)
def test_a_trainer_has_lengths_of_its_own(name: str, at_24: tuple[int, ...]) -> None:
    assert training_lengths(name).at(Fraction(24)) == at_24


def test_a_sentence_says_how_many_seconds_are_used() -> None:
    clips = [(250, Fraction(24)), (100, Fraction(24))]
    text = describe_use(training_lengths("text2bricks/32f-stage1"), clips)
    assert text == "text2bricks/32f-stage1 can use 5.4 of 14.6 s: 1 of 2 clips are long enough"


def test_only_recipes_have_buckets_to_count() -> None:
    assert find_training_recipe("wan2.1") is None
    assert find_training_recipe("simpletuner:wan2.2") is None
    assert find_training_recipe(None) is None
    assert find_training_recipe("tiny/cpu") is not None


def test_an_unknown_name_is_said_with_all_kinds() -> None:
    with pytest.raises(UsageError, match=r"no recipe 'wan'.*or a trainer \(diffusion-pipe.*wan2.1"):
        training_lengths("wan")


def test_a_recipe_of_images_uses_no_clips(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('buckets = [{ resolution = "360p", frames = 1 }]')
    with pytest.raises(UsageError, match="has image buckets only"):
        TrainingLengths.of(str(path))


def test_a_splitter_without_training_keeps_its_digest_and_with_one_names_lengths_only() -> None:
    assert digest_of(SceneSplitter()) == digest_of(SceneSplitter(for_training=None))
    one = SceneSplitter(for_training="wan2.1")
    assert one.for_training == TrainingLengths((17, 33, 49, 65, 81), 16, 1, "another name")
    assert one != SceneSplitter()


def test_models_are_on_their_own_grid_and_name_a_source() -> None:
    for model in target_models().values():
        assert all(model.round_down(n) == n for n in (model.frames, *model.lengths)), model.name
        assert model.width % model.multiple == model.height % model.multiple == 0, model.name
        assert model.source and model.date.year >= 2026
