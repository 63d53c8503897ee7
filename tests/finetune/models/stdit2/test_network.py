"""The network beyond the golden files: masks, text, precision, gradients, compilation."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from finetune.errors import ConfigError
from finetune.kernels.ops import Ops
from finetune.models.stdit2.blocks import Block
from finetune.models.stdit2.network import STDiT2, STDiT2Config
from tests.kit.networks import TINY, inputs, tiny_model


@pytest.fixture(scope="module")
def model() -> STDiT2:
    torch.set_num_threads(1)
    return tiny_model().eval()


def test_a_mask_that_gives_no_frame_is_no_mask(model: STDiT2) -> None:
    given = inputs()
    free = torch.ones(2, 4, dtype=torch.bool)
    torch.testing.assert_close(model(**given, x_mask=free), model(**given))


def test_a_given_frame_changes_the_answer(model: STDiT2) -> None:
    given = inputs()
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[0, 0] = False
    changed = (model(**given, x_mask=mask) - model(**given)).flatten(1).abs().amax(1)
    assert changed[0] > 1e-3
    assert changed[1] == 0


def test_masked_tokens_are_not_read_and_masks_need_not_be_prefixes(model: STDiT2) -> None:
    given = inputs()
    given["mask"] = torch.tensor([[0, 1, 0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0, 1]])
    before = model(**given)
    given["y"] = torch.where(given["mask"].bool()[:, None, :, None], given["y"], 1e3)
    torch.testing.assert_close(model(**given), before)


def test_a_clip_without_text_is_finite_and_touches_no_other(model: STDiT2) -> None:
    given = inputs()
    before = model(**given)
    given["mask"][0] = 0
    after = model(**given)
    assert after.isfinite().all()
    torch.testing.assert_close(after[1], before[1])


def test_a_dropped_caption_is_the_null_text(model: STDiT2) -> None:
    given = inputs()
    dropped = model(**given, drop=torch.tensor([True, False]))
    given["y"][0] = model.y_embedder.y_embedding
    torch.testing.assert_close(dropped, model(**given))


def test_training_drops_captions_at_the_configured_rate() -> None:
    config = dataclasses.replace(TINY, class_dropout_prob=1.0)
    model, given = tiny_model(config=config), inputs()
    all_dropped = model.eval()(**given, drop=torch.tensor([True, True]))
    torch.testing.assert_close(model.train()(**given), all_dropped)


def test_odd_sizes_come_back_as_they_went_in(model: STDiT2) -> None:
    assert model(**inputs(rows=5, columns=7)).shape == (2, 8, 4, 5, 7)


def test_tokens_are_contiguous_after_patching(model: STDiT2) -> None:
    tokens = model.x_embedder(inputs()["x"])
    assert tokens.shape == (2, 4, 15, 48)
    assert tokens.is_contiguous()


@pytest.mark.parametrize(("round_scalars", "alike"), [(True, True), (False, False)])
def test_scalars_are_rounded_to_the_weights_precision(round_scalars: bool, alike: bool) -> None:
    config = dataclasses.replace(TINY, round_scalars=round_scalars)
    model, given = tiny_model(config=config).bfloat16().eval(), inputs()
    answers = []
    for timestep in (999.0, 1000.0):
        given["timestep"] = torch.full((2,), timestep)
        answers.append(model(**given))
    assert answers[0].dtype == torch.float32
    assert torch.equal(*answers) is alike


def test_every_weight_but_the_rotary_one_gets_a_gradient() -> None:
    model = tiny_model()
    model(**inputs()).square().mean().backward()
    without_gradient = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()
    ]
    assert without_gradient == ["rope.freqs"]


@pytest.mark.parametrize("activation_checkpointing", [1, TINY.depth])
def test_recomputed_blocks_run_twice_and_give_the_same_gradients(
    activation_checkpointing: int,
) -> None:
    def gradients(model: STDiT2, activation_checkpointing: int) -> list[torch.Tensor]:
        model(
            **inputs(), activation_checkpointing=activation_checkpointing
        ).square().mean().backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    kept = gradients(tiny_model().eval(), 0)
    model, runs = tiny_model().eval(), list[torch.nn.Module]()
    for block in model.blocks:
        block.mlp.register_forward_pre_hook(lambda mlp, _: runs.append(mlp))
    again = gradients(model, activation_checkpointing)
    mlps = [block.mlp for block in model.blocks]  # the first blocks run again, in backward
    assert runs == mlps + mlps[:activation_checkpointing][::-1]
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_all_blocks_share_one_graph_with_and_without_given_frames() -> None:
    model = tiny_model()
    counter = CompileCounter()
    for block in model.blocks:
        assert isinstance(block, Block)
        block.compile(backend=counter, fullgraph=True, dynamic=False)
    given = inputs()
    model(**given)
    model(**given, x_mask=torch.tensor([[False, True, True, True], [True] * 4]))
    assert counter.frame_count == 1


@pytest.mark.soak  # minutes of a C++ compiler
def test_a_compiled_network_takes_more_shapes_than_dynamos_eight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch._dynamo.reset()
    for limit in ("cache_size_limit", "accumulated_cache_size_limit"):
        monkeypatch.setattr(torch._dynamo.config, limit, 8)
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(
        Block, "compile", lambda self, **told: compile_(self, backend="eager", **told)
    )
    model = tiny_model().compile_blocks()
    for width in range(2, 14, 2):  # two graphs each: one block is recomputed, one is not
        given = inputs()
        given["x"] = torch.randn(*given["x"].shape[:-1], width)
        assert model(**given, activation_checkpointing=1).isfinite().all()


def test_blocks_run_on_the_operations_they_are_given() -> None:
    model, calls = tiny_model(), []
    plain = Ops()

    def counted(*args: torch.Tensor) -> torch.Tensor:
        calls.append(args[0].shape)
        return plain.norm_modulate(*args)

    model.set_ops(plain._replace(norm_modulate=counted))(**inputs())
    assert calls == [(2, 4, 15, 48)] * 3  # two blocks and the final layer


@pytest.mark.parametrize("wrong", [{"hidden_size": 50}, {"patch_size": (2, 2, 2)}])
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        STDiT2Config(**wrong)
