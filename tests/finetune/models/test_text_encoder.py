"""The text encoder behind its class, at toy size: transformers' T5 with weights from a seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finetune.models.text_encoder import TextEncoder

pytest.importorskip("transformers")

CAPTIONS = ["A knight climbs the castle wall at dawn.", "Two pirates argue over a map."]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.tiny_random(CAPTIONS, seed=0, width=32, tokens=24)


def test_states_have_the_width_and_length_asked_for(encoder: TextEncoder) -> None:
    states, mask, truncated_tokens = encoder.encode(CAPTIONS)
    assert states.shape == (2, 24, 32)
    assert mask.shape == (2, 24)
    assert truncated_tokens == [0, 0]
    assert encoder.width == 32


def test_a_caption_ends_with_the_end_token_and_is_padded(encoder: TextEncoder) -> None:
    ids = encoder.tokenizer(CAPTIONS[0])["input_ids"]
    _, mask, _ = encoder.encode(CAPTIONS[:1])
    assert encoder.tokenizer.convert_ids_to_tokens(ids)[-1] == "</s>"
    assert int(mask.sum()) == len(ids)
    assert encoder.tokenizer.decode(ids, skip_special_tokens=True) == CAPTIONS[0]


def test_a_caption_means_the_same_in_any_company(encoder: TextEncoder) -> None:
    alone = encoder.encode(CAPTIONS[:1])
    together = encoder.encode(CAPTIONS)
    torch.testing.assert_close(alone.states[0], together.states[0])


def test_micro_batches_change_nothing_and_compiled_ones_are_of_one_size(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = [f"{CAPTIONS[n % 2]} {n}" for n in range(5)]
    wanted = encoder.encode(captions).states
    parts = TextEncoder(encoder.network, encoder.tokenizer, tokens=24, micro_batch_size=2)
    torch.testing.assert_close(parts.encode(captions).states, wanted)

    sizes, compiled = list[int](), list[object]()
    hook = encoder.network.register_forward_pre_hook(
        lambda _network, _args, inputs: sizes.append(len(inputs["input_ids"])), with_kwargs=True
    )
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: compiled.append(self))
    parts.compile_network()
    torch.testing.assert_close(parts.encode(captions).states, wanted)
    hook.remove()
    assert sizes == [2, 2, 2]
    assert compiled == list(encoder.network.encoder.block)


def test_what_is_cut_off_is_counted(encoder: TextEncoder) -> None:
    states, mask, truncated_tokens = encoder.encode([" ".join(CAPTIONS * 20), ""])
    assert states.shape[1] == 24
    assert mask[0].all()
    assert truncated_tokens[0] > 0
    assert truncated_tokens[1] == 0


def test_the_digest_names_weights_tokenizer_and_length(encoder: TextEncoder) -> None:
    def digest(captions: list[str] = CAPTIONS, seed: int = 0, tokens: int = 24) -> str:
        return TextEncoder.tiny_random(captions, seed, width=32, tokens=tokens).digest

    digests = [digest(), digest(seed=1), digest(tokens=16), digest(["Something else."])]
    assert digests[0] == encoder.digest
    assert len(set(digests)) == 4


def test_a_saved_encoder_comes_back(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.network.save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    loaded = TextEncoder.from_pretrained(tmp_path, tokens=24)
    torch.testing.assert_close(loaded.encode(CAPTIONS).states, encoder.encode(CAPTIONS).states)
