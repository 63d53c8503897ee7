"""Weights at rest: what loads, what is refused, and by which name."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune.errors import WeightsError
from finetune.models.stdit2.network import STDiT2
from tests.kit.networks import TINY, inputs, tiny_model


@pytest.fixture(scope="module")
def model() -> STDiT2:
    return tiny_model().eval()


@pytest.fixture
def saved(model: STDiT2, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def same(one: STDiT2, other: STDiT2) -> bool:
    with torch.no_grad():
        return torch.equal(one.eval()(**inputs()), other.eval()(**inputs()))


def test_what_is_saved_comes_back(model: STDiT2, saved: Path) -> None:
    loaded = STDiT2.from_pretrained(saved)
    assert loaded.config == TINY
    assert same(loaded, model)
    assert {path.name for path in saved.iterdir()} == {"config.json", "model.safetensors"}
    assert not loaded.rope.freqs.requires_grad


def test_weights_take_the_precision_asked_for(saved: Path) -> None:
    assert {p.dtype for p in STDiT2.from_pretrained(saved, dtype=torch.bfloat16).parameters()} == {
        torch.bfloat16
    }


def test_a_published_config_with_other_keys_is_understood(model: STDiT2, saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    config |= {"model_type": "STDiT2", "enable_flash_attn": True, "input_size": [None] * 3}
    (saved / "config.json").write_text(json.dumps(config))
    assert same(STDiT2.from_pretrained(saved), model)


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", [None, "state_dict", "ema", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_single_file_loads_and_tells_its_own_shape(
    model: STDiT2, tmp_path: Path, wrapper: str | None, prefix: str
) -> None:
    tensors = {prefix + key: value for key, value in model.state_dict().items()}
    tensors[prefix + "pos_embed"] = torch.zeros(1, 4, 48)
    torch.save({wrapper: tensors} if wrapper else tensors, tmp_path / "weights.pth")
    loaded = STDiT2.from_pretrained(tmp_path / "weights.pth")
    told = dataclasses.replace(loaded.config, input_sq_size=64, class_dropout_prob=0.0)
    assert told == TINY  # but for these two, which leave no trace in weights
    assert same(STDiT2.from_pretrained(tmp_path / "weights.pth", config=TINY), model)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".ckpt"])
def test_pickles_of_tensors_and_settings_load(model: STDiT2, suffix: str, tmp_path: Path) -> None:
    compiled = {
        k.replace("blocks.0.", "blocks.0._orig_mod."): v for k, v in model.state_dict().items()
    }
    content = {"epoch": 3, "args": argparse.Namespace(lr=1e-4), "model": {"state_dict": compiled}}
    torch.save(content, tmp_path / f"checkpoint{suffix}")
    assert same(STDiT2.from_pretrained(tmp_path, config=TINY), model)


def test_the_ema_of_a_file_with_both_is_taken(model: STDiT2, tmp_path: Path) -> None:
    for outer in ("", "module."):
        averaged = {f"{outer}ema_model.module.{k}": v for k, v in model.state_dict().items()}
        online = {f"{outer}online_model.{key}": torch.zeros(()) for key in model.state_dict()}
        torch.save({**online, **averaged, "initted": torch.ones(())}, tmp_path / "ema.pt")
        assert same(STDiT2.from_pretrained(tmp_path / "ema.pt", config=TINY), model)


def test_the_ema_beside_the_trained_weights_is_taken_and_named(
    model: STDiT2, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    torch.save({"model": trained, "ema": model.state_dict(), "opt": {}}, tmp_path / "both.pt")
    assert same(STDiT2.from_pretrained(tmp_path / "both.pt", config=TINY), model)
    assert "reading 'ema' of" in caplog.text
    torch.save({"model": model.state_dict(), "ema": {"decay": 0.9}}, tmp_path / "one.pt")
    assert same(STDiT2.from_pretrained(tmp_path / "one.pt", config=TINY), model)


def test_a_page_in_the_place_of_a_pickle_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"<html>" * 99)
    with pytest.raises(
        WeightsError, match=r"\(torch\.save has not written it, or it was cut short"
    ):
        STDiT2.from_pretrained(tmp_path / "weights.bin")


def test_a_runs_folder_is_its_newest_checkpoints_ema(model: STDiT2, tmp_path: Path) -> None:
    for step, seed in ((1, 5), (2, 0)):
        folder = tmp_path / f"step-{step:08d}"
        tiny_model(seed).save_pretrained(folder / "ema")
        tiny_model(9).save_pretrained(folder / "model")
        (folder / "manifest.json").write_text("{}")
    (tmp_path / "step-00000003.tmp").mkdir()
    assert same(STDiT2.from_pretrained(tmp_path), model)
    assert same(STDiT2.from_pretrained(tmp_path / "step-00000002"), model)
    assert not same(STDiT2.from_pretrained(tmp_path / "step-00000002" / "model"), model)


@pytest.mark.parametrize(
    "index", ["model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json"]
)
def test_a_sharded_folder_loads(index: str, model: STDiT2, saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    (saved / "model.safetensors").unlink()
    halves = {"a.safetensors": list(tensors)[::2], "b.safetensors": list(tensors)[1::2]}
    for name, keys in halves.items():
        save_file({key: tensors[key] for key in keys}, saved / name)
    weight_map = {key: name for name, keys in halves.items() for key in keys}
    (saved / index).write_text(json.dumps({"weight_map": weight_map}))
    assert same(STDiT2.from_pretrained(saved), model)


def test_wrong_weights_are_refused_by_name(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    del tensors["rope.freqs"]
    tensors["extra.weight"] = torch.zeros(1)
    tensors["final_layer.linear.bias"] = torch.zeros(7)
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(WeightsError) as raised:
        STDiT2.from_pretrained(saved)
    message = str(raised.value)
    assert "rope.freqs missing" in message
    assert "extra.weight unknown" in message
    assert "final_layer.linear.bias (7,), not (32,) of another shape" in message


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(
        WeightsError, match=r"1 tensors such as conv\.weight, not an STDiT2's: 'x_embedder"
    ):
        STDiT2.from_pretrained(tmp_path / "other.safetensors")
    save_file({"blocks.0.attn.qkv.lora_A.weight": torch.zeros(3)}, tmp_path / "lora.safetensors")
    with pytest.raises(WeightsError, match="a LoRA adapter, which is merged into its base first"):
        STDiT2.from_pretrained(tmp_path / "lora.safetensors")
    with pytest.raises(WeightsError, match=r"name one \(lora\.safetensors, other\.safetensors\)"):
        STDiT2.from_pretrained(tmp_path)


def test_python_objects_are_not_loaded(model: STDiT2, tmp_path: Path) -> None:
    torch.save(model, tmp_path / "whole.pth")
    with pytest.raises(WeightsError, match=r"other Python objects.*torch\.save\(model\.state_dict"):
        STDiT2.from_pretrained(tmp_path / "whole.pth")


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"half\.safetensors cannot be read"):
        STDiT2.from_pretrained(tmp_path / "half.safetensors")


@pytest.mark.parametrize("source", ["nowhere", "no/such/folder", "missing.pth"])
def test_a_source_that_is_nothing_is_refused(source: str) -> None:
    with pytest.raises(WeightsError, match="no file or folder"):
        STDiT2.from_pretrained(source)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("depth", 10**9, r"depth = 1e\+09, and at most 1,000 is read"),
        ("num_heads", 0, "modulo"),
        ("hidden_size", "x", "is no STDiT2's config"),
        ("caption_channels", -1, r"cannot be loaded \(Trying to create tensor with negative"),
    ],
)
def test_a_hostile_configuration_is_named(
    name: str, value: object, message: str, saved: Path
) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, name: value}))
    with pytest.raises(WeightsError, match=message):
        STDiT2.from_pretrained(saved)


def test_blocks_without_end_are_not_inferred(saved: Path) -> None:
    (saved / "config.json").unlink()
    file = saved / "model.safetensors"
    save_file({**load_file(file), "blocks.999999999.x": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match=r"depth = 1e\+09"):
        STDiT2.from_pretrained(saved)


@pytest.mark.parametrize("source", ["x" * 5000, "a/b\n", "-/-"])
def test_a_name_that_no_repository_has_is_one_line(source: str) -> None:
    with pytest.raises(WeightsError) as told:
        STDiT2.from_pretrained(source)
    assert len(str(told.value).splitlines()) == 1


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no weights"):
        STDiT2.from_pretrained(tmp_path)


def test_what_holds_no_tensors_is_refused_by_name(model: STDiT2, tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(WeightsError, match=r"not an STDiT2's"):
        STDiT2.from_pretrained(tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"text\.pth cannot be read as weights"):
        STDiT2.from_pretrained(tmp_path / "text.pth")
    old = tmp_path / "old.pth"
    torch.save(model.state_dict(), old, _use_new_zipfile_serialization=False)
    assert same(STDiT2.from_pretrained(old, config=TINY), model)
