"""Make tiny vision-language models with random weights, of the real classes.

They say gibberish, and end it after `max_tokens` with the token by which a model ends a reply.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

END = 2
"""Id of the token that ends a reply."""
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "bos_token_id": 1,
    "eos_token_id": END,
    "pad_token_id": 0,
}


def write_tiny_qwen2_vl(folder: Path) -> Path:
    """Save a Qwen2-VL of two layers, its tokenizer and its image processor."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessorPil,
    )

    tokens = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    words = tokenizer(tokens, picture="<|vision_start|><|image_pad|><|vision_end|>")
    start, end, image, video = words.convert_tokens_to_ids(list(tokens))
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    eyes = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    config = Qwen2VLConfig(
        text_config={**TEXT, "vocab_size": len(words), "rope_parameters": rope},
        vision_config=eyes,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    _save(Qwen2VLForConditionalGeneration, config, words, folder)
    Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=56 * 56).save_pretrained(folder)
    return folder


def write_tiny_smolvlm(folder: Path) -> Path:
    """Save a SmolVLM of two layers, its tokenizer, its image processor and its settings."""
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessorPil,
    )

    tokens = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    words = tokenizer(tokens, picture="<image>")
    config = SmolVLMConfig(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words)},
        vision_config={**TEXT, "image_size": 32, "patch_size": 8},
        scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    _save(SmolVLMForConditionalGeneration, config, words, folder)
    edge = {"longest_edge": 32}
    SmolVLMImageProcessorPil(
        size=edge, max_image_size=edge, do_image_splitting=False
    ).save_pretrained(folder)
    settings = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    return folder


def _save(kind: Any, config: Any, words: Any, folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    model = kind(config)
    model.generation_config.forced_eos_token_id = END
    model.generation_config.eos_token_id = END
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def tokenizer(tokens: tuple[str, ...], *, picture: str) -> Any:
    """Return a tokenizer of bytes, with a chat template that puts `picture` for each image."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", *tokens]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*special, *letters])}
    words = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.add_special_tokens(special)
    template = (
        "{% for m in messages %}{{ m.role }}: {% for c in m.content %}"
        "{% if c.type == 'text' %}{{ c.text }}{% else %}" + picture + "{% endif %}"
        "{% endfor %}\n{% endfor %}assistant:"
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=template,
    )
