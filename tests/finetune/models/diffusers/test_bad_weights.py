"""Weights that are missing, incomplete or of another family: one line that says what to name."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from finetune.config import Adapter, Bucket, Recipe
from finetune.data.cache import build_cache
from finetune.errors import CacheError, ConfigError, DataError, FinetuneError, WeightsError
from finetune.models.diffusers import LTX_0_9, WAN_2_1, WAN_2_2_5B, WAN_2_2_LOW
from finetune.models.diffusers.base import DiffusersFamily
from finetune.models.diffusers.networks import diffusers_class
from finetune.models.family import TextSize
from finetune.training.loop import train
from tests.finetune.conftest import MakeRecipe
from tests.kit.pipelines import write_a14b, write_pipeline
from tests.kit.toy_runs import wan_lora

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("wan"), WAN_2_1)


def load_text(family: DiffusersFamily, folder: Path) -> object:
    return family.load_caption_encoder(
        str(folder), TextSize(512, 32), lambda: (), dtype=torch.float32, device=CPU
    )


def load_codec(family: DiffusersFamily, folder: Path) -> object:
    return family.load_codec(str(folder), dtype=torch.float32, device=CPU)


def other_layout(folder: Path) -> None:
    """One file for all, as ComfyUI has it."""
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "wan2.1_t2v_1.3B_bf16.safetensors").write_bytes(b"")


def no_text_encoder(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder")


def no_text_weights(folder: Path) -> None:
    for file in (folder / "text_encoder").glob("*.safetensors"):
        file.unlink()


def cut_vae(folder: Path) -> None:
    (file,) = (folder / "vae").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:1000])


def edit_config(folder: Path, **entries: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))


def an_adapter(folder: Path) -> None:
    edit_config(folder / "transformer", adapter={"base": "x"})


CASES: dict[str, tuple[Callable[[Path], None], Callable[[Path], object], str]] = {
    "layout": (
        other_layout,
        WAN_2_1.load_network,
        r"holds no 'transformer' in diffusers' layout \(transformer/config.json\): set init to a",
    ),
    "no text encoder": (
        no_text_encoder,
        lambda folder: load_text(WAN_2_1, folder),
        "holds no 'text_encoder' in diffusers' layout .*: set text_encoder to a pipeline's folder",
    ),
    "no tokenizer": (
        lambda folder: shutil.rmtree(folder / "tokenizer"),
        lambda folder: load_text(WAN_2_1, folder),
        r"holds no 'tokenizer' .* \(tokenizer/tokenizer\.json\): set text_encoder to a pipeline's",
    ),
    "no vae": (
        lambda folder: shutil.rmtree(folder / "vae"),
        lambda folder: load_codec(WAN_2_1, folder),
        r"holds no 'vae' in diffusers' layout \(vae/config\.json\): set vae to a pipeline's folder",
    ),
    "no folder": (
        shutil.rmtree,
        WAN_2_1.load_network,
        "is no folder here, and no Hub id: set init to a pipeline's folder or Hub id",
    ),
    "no text weights": (
        no_text_weights,
        lambda folder: load_text(WAN_2_1, folder),
        r"text_encoder cannot be loaded \(.*fetch it again",
    ),
    "text encoder of LTX": (
        lambda folder: edit_config(folder / "text_encoder", model_type="t5"),
        lambda folder: load_text(WAN_2_1, folder),
        "text_encoder is a text encoder of type 't5', not 'umt5': name that of a pipeline",
    ),
    "fewer blocks": (
        lambda folder: edit_config(folder / "transformer", num_layers=1),
        WAN_2_1.load_network,
        r"has the weight 'blocks\.1\..*', which the network of its config\.json lacks: fetch both",
    ),
    "other width": (
        lambda folder: edit_config(folder / "transformer", ffn_dim=20),
        WAN_2_1.load_network,
        r"is \(\d+.*\), should be \(.*20.*\) by its config\.json: fetch both",
    ),
    "index of another kind": (
        lambda folder: (folder / "model_index.json").write_text("[1]") and None,
        WAN_2_1.load_network,
        r"model_index\.json holds a list, not a JSON object: fetch it again",
    ),
    "cut vae": (cut_vae, lambda folder: load_codec(WAN_2_1, folder), "vae cannot be loaded"),
    "an adapter": (an_adapter, WAN_2_1.load_network, "is an adapter, not a network: name its base"),
    "of the 5B model": (
        lambda _: None,
        WAN_2_2_5B.load_network,
        "is another family's WanPipeline, not 'wan2.2-5b': set family=wan2.1, or name a pipeline",
    ),
    "part of the 5B model": (
        lambda folder: (folder / "model_index.json").unlink(),
        WAN_2_2_5B.load_network,
        "transformer has in_channels 16, family 'wan2.2-5b' has 48: name weights of this family",
    ),
    "of LTX": (
        lambda folder: (folder / "model_index.json").unlink(),
        LTX_0_9.load_network,
        "is a WanTransformer3DModel, not a LTXVideoTransformer3DModel: .* or set family to one",
    ),
    "vae of the 5B model": (
        lambda _: None,
        lambda folder: load_codec(WAN_2_2_5B, folder),
        "vae has z_dim 16, family 'wan2.2-5b' has 48",
    ),
    "an expert": (
        lambda folder: (folder / "model_index.json").unlink(),
        WAN_2_2_LOW.load_network,
        "holds no 'transformer_2'",
    ),
    "a billion blocks": (
        lambda folder: edit_config(folder / "transformer", num_layers=10**9),
        WAN_2_1.load_network,
        r"its configuration has num_layers = 1e\+09, and at most 1,000 is read",
    ),
    "a billion blocks of a vae": (
        lambda folder: edit_config(folder / "vae", num_res_blocks=10**9),
        lambda folder: load_codec(WAN_2_1, folder),
        r"its configuration has num_res_blocks = 1e\+09",
    ),
    "a billion words": (
        lambda folder: edit_config(folder / "text_encoder", vocab_size=10**9),
        lambda folder: load_text(WAN_2_1, folder),
        r"its configuration has vocab_size = 1e\+09, and at most 1,048,576",
    ),
    "a text for a number": (
        lambda folder: edit_config(folder / "transformer", attention_head_dim="x"),
        WAN_2_1.load_network,
        r"transformer cannot be loaded \(unsupported operand",
    ),
    "no width": (
        lambda folder: edit_config(folder / "transformer", text_dim=[]),
        WAN_2_1.text_width,
        r"transformer cannot be loaded \(int\(\) argument",
    ),
    "damaged words": (
        lambda folder: (folder / "tokenizer/tokenizer.json").write_text("{}") and None,
        lambda folder: load_text(WAN_2_1, folder),
        r"tokenizer cannot be loaded \(.*fetch it again",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_weights_that_do_not_fit_are_named(name: str, wan: Path, tmp_path: Path) -> None:
    spoil, load, message = CASES[name]
    folder = tmp_path / "model"
    shutil.copytree(wan, folder)
    spoil(folder)
    with pytest.raises(WeightsError, match=message) as told:
        load(folder)
    assert re.search(re.escape(str(folder)), str(told.value))
    assert "\n" not in str(told.value)


def test_nobody_is_asked_to_run_the_code_of_a_model(
    wan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(wan, tmp_path / "model")
    own = {"AutoConfig": "evil.Config"}
    edit_config(folder / "text_encoder", model_type="evil", auto_map=own)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question"))
    with pytest.raises(WeightsError, match="contains custom code"):
        load_text(WAN_2_1, folder)


def test_a_vae_of_another_family_is_named_before_captions_are_encoded(
    wan: Path, make_recipe: MakeRecipe
) -> None:
    recipe = wan_lora(make_recipe, family="wan2.2-5b", vae=str(wan))
    with pytest.raises(WeightsError, match=r"vae has z_dim 16, family 'wan2\.2-5b' has 48"):
        build_cache(recipe)
    assert not list(Path(recipe.cache).rglob("*.safetensors"))


def test_a_wrong_init_is_named_with_the_cache_that_is_missing(
    wan: Path, make_recipe: MakeRecipe
) -> None:
    """And by `finetune cache`, before hours of encoding."""
    recipe = wan_lora(make_recipe, family="wan2.2-5b", init=str(wan), latents="cached")
    with pytest.raises(CacheError, match=r"set family=wan2\.1, .*; and cache .* has no latents at"):
        train(recipe)
    with pytest.raises(WeightsError, match=r"not 'wan2\.2-5b': set family=wan2\.1"):
        build_cache(recipe)
    assert not list(Path(recipe.cache).rglob("*.safetensors"))
    elsewhere = replace(recipe, init="on/another-machine", vae="nowhere")
    with pytest.raises(WeightsError, match="'nowhere' is no folder here"):
        build_cache(elsewhere)


def test_the_experts_are_not_wan_2_1(tmp_path: Path) -> None:
    """Of the same shapes: read as Wan 2.1, one expert would be trained on all the noise."""
    with pytest.raises(WeightsError, match=r"is another family's WanPipeline, not 'wan2\.1'"):
        WAN_2_1.load_network(write_a14b(tmp_path))


def test_an_older_diffusers_is_told_which_version_has_a_class() -> None:
    with pytest.raises(ConfigError, match=r"has no WanOtherPipeline, which came with 0\.33: pip"):
        diffusers_class("WanOtherPipeline")


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    made = make_recipe(
        family="wan2.1",
        init="tiny-random",
        adapter=Adapter(rank=4),
        frame_interval=1,
        text_tokens=512,
        latents="online",
    )
    return replace(made, network=replace(made.network, caption_channels=32))


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        (
            21,
            DataError,
            r"^no clip .*: the longest has 20 and needs > 21 frames: set buckets\.0\.frames=17",
        ),
        (
            18,
            ConfigError,
            r"^buckets\.0\.frames is 18: family 'wan2\.1' takes 4 n \+ 1; the nearest is 17: set b",
        ),
    ],
)
def test_clips_too_short_and_frames_off_the_grid_are_named(
    recipe: Recipe, frames: int, error: type[FinetuneError], message: str
) -> None:
    bucket = Bucket(resolution="144p", frames=frames, batch_size=2)
    with pytest.raises(error, match=message):
        train(replace(recipe, buckets=(bucket,)))


def test_clips_below_the_least_grid_are_named_with_it(recipe: Recipe) -> None:
    bucket = Bucket(resolution="144p", frames=5, batch_size=2)
    with pytest.raises(DataError, match=r"the longest has 20 .*takes at least 5: cut longer shots"):
        train(replace(recipe, frame_interval=5, buckets=(bucket,)))
