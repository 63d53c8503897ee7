"""A recipe is typed: what it does not know it refuses, and says what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.config import Recipe, load_recipe
from finetune.errors import ConfigError

TEXT = """
dataset = "somewhere"
out = "work/run"
steps = 10
buckets = [{ resolution = "360p", frames = 32, batch_size = 8 }]
[schedule]
kind = "one_cycle"
peak = 1e-4
"""


def load(tmp_path: Path, *overrides: str, text: str = TEXT) -> Recipe:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    return load_recipe(file, overrides)


def test_a_recipe_is_read_with_its_defaults_and_overrides(tmp_path: Path) -> None:
    recipe = load(
        tmp_path, "steps=20", "schedule.peak=2e-4", "buckets.0.batch_size=4", "init=me/model"
    )
    assert (recipe.steps, recipe.schedule.peak, recipe.init) == (20, 2e-4, "me/model")
    assert recipe.buckets[0].batch_size == 4
    assert recipe.schedule.kind == "one_cycle"
    assert recipe.optimizer.ema == 0.9999


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("strategy=gemini precision=float32 optimizer.kind=hybrid_adam", "'bfloat16' or 'float16'"),
        ("strategy=gemini", "choose 'hybrid_adam', or strategy = 'zero2'"),
        ("strategy=gemini optimizer.kind=hybrid_adam compile=true", "set compile = false"),
        ("strategy=fsdp2", "choose one of auto, zero1, zero2, gemini"),
        ("engine=torch optimizer.kind=hybrid_adam", "set engine = 'colossalai'"),
        ("optimizer.kind=adamw_8bit", "set engine = 'torch'"),
    ],
)
def test_what_colossalai_cannot_do_names_what_it_can(
    tmp_path: Path, overrides: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, "engine=colossalai", *overrides.split())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("shedule.peak=1", "did you mean 'schedule'"),
        ("schedule.peek=1", "did you mean 'peak'"),
        ("buckets.0.bach_size=1", "did you mean 'batch_size'"),
        ("batch_size=1", r"'batch_size' is a setting of a bucket: write 'buckets\.0\.batch_size'"),
        ("peak=1e-4", r"unknown key 'peak': write 'schedule\.peak'"),
        ("optimizer.seed=1", r"unknown key 'optimizer\.seed': write 'seed'"),
        ("schedule.qqq=1", r"'schedule\.qqq': choose one of kind, start, peak, final"),
        ("steps=ten", "steps = 'ten'"),
        ("steps=1.5", "steps"),
        (
            "buckets.0.batch_size=0",
            r"buckets\.0\.batch_size = 0: input should be greater than or equal to 1",
        ),
        ("buckets.0.micro_batch_size=9", "micro_batch_size 9"),
        (
            "activation_checkpointing=true",
            "is a setting of a bucket: write 'buckets.0.activation_checkpointing'",
        ),
        (
            "buckets.0.activation_checkpointing=1.5",
            "^[^;]*activation_checkpointing = 1.5: true, false or a whole number$",
        ),
        (
            "buckets.0.activation_checkpointing='all'",
            "activation_checkpointing = 'all': true, false or a whole number",
        ),
        ("network.depth=-1", "network.depth = -1: input should be"),
        ("engine=torhc", "engine = 'torhc'"),
        ("strategy=zero2", "has no strategy 'zero2'"),
        ("precision=float16", "loss scaler"),
        ("steps", "write key=value"),
        ("buckets.5.batch_size=1", "matches nothing"),
        ("buckets.first.batch_size=1", "matches nothing"),
        ("steps.x=1", "matches nothing"),
        (
            "checkpoints.every=0",
            "checkpoints.every = 0: input should be greater than or equal to 1",
        ),
        ("log.every=0", "log.every = 0"),
        ("optimizer.ema=2.0", "optimizer.ema = 2.0: input should be less than 1"),
        ("optimizer.ema=nan", "optimizer.ema = nan"),
        ("optimizer.betas=[0.9, 1.0]", "optimizer.betas.1 = 1.0: input should be less than 1"),
        ("caption_dropout=1.5", "caption_dropout = 1.5: input should be less than or equal to 1"),
        ("network.num_heads=0", "network.num_heads = 0"),
        ("loss_spikes.threshold=nan", "loss_spikes.threshold = nan"),
        ("buckets.0.resolution=999p", "no resolution '999p': choose one of 144p, 256, 240p"),
        ("steps.a.b=1", "matches nothing"),
        ("lr=1", "unknown key 'lr': write 'schedule.peak'"),
        ("optimizer.ema_decay=1", r"unknown key 'optimizer\.ema_decay': did you mean 'ema'"),
        ("batch_sizes=1", r"unknown key 'batch_sizes': did you mean 'buckets\.0\.batch_size'"),
        ("gradient_accumulation_steps=1", r"write 'buckets\.0\.micro_batch_size'"),
        ("workers=-1", "workers = -1: input should be greater than or equal to 0"),
        ("seed=-1", "seed = -1"),
        ("schedule.peak=-1e-4", "schedule.peak = -0.0001"),
        ("schedule.peak=inf", "schedule.peak = inf: input should be a finite number"),
        ("optimizer.eps=nan", "optimizer.eps = nan"),
        ("network.caption_channels=0", "network.caption_channels = 0"),
        ("validation.fps=0", "validation.fps = 0"),
        ("validation.prompts=nine", r"validation\.prompts = 'nine': input should be 'default'"),
        ("out=", "out is empty: name a folder"),
        ("buckets=[]", "buckets is empty"),
        ("buckets.0.keep_prob=0", "keep_prob = 0: input should be greater than 0"),
        ("flow.uniform_share=1.1", "flow.uniform_share = 1.1"),
        (
            'buckets=[{resolution="360p",frames=1,batch_size=8},{resolution="360p",frames=1,batch_size=2}]',
            "bucket 360p x 1 is named twice",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, override)


def test_a_date_a_home_folder_and_a_byte_order_mark_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/maker")
    recipe = load(tmp_path, "out=2026-11-30", "cache=~/cache", text="\ufeff" + TEXT)
    assert (recipe.out, recipe.cache) == ("2026-11-30", "/home/maker/cache")
    images = ('validation.prompts=["a", "b"]', 'validation.images=["~/a.png", "b~.png"]')
    assert load(tmp_path, *images).validation.images == ("/home/maker/a.png", "b~.png")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'dataset' is missing"):
        load(tmp_path, text=TEXT.replace('dataset = "somewhere"', ""))


def test_a_missing_recipe_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no recipe 'tiny/gpu'"):
        load_recipe("tiny/gpu")


def test_a_file_that_is_no_text_is_no_recipe(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"recipe\.toml' is not TOML"):
        load_recipe(file)
