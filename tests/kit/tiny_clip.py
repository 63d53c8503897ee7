"""Make a tiny CLIP with random weights, of the real classes, and heads for its vectors."""

from __future__ import annotations

from pathlib import Path

CONTEXT, DIMENSIONS = 24, 16
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def write_tiny_clip(folder: Path) -> Path:
    """Save a CLIP of two layers a tower, its tokenizer of bytes and its image processor."""
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from tests.kit.tiny_vlms import tokenizer

    words = tokenizer((), picture="")
    special = [("<s>", words.bos_token_id), ("</s>", words.eos_token_id)]
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=special
    )
    of_text = {
        **TOWER,
        "vocab_size": len(words),
        "max_position_embeddings": CONTEXT,
        **dict(zip(("bos_token_id", "eos_token_id"), (id for _, id in special), strict=True)),
    }
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=of_text,
        vision_config={**TOWER, "image_size": 32, "patch_size": 8},
        projection_dim=DIMENSIONS,
    )
    CLIPModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder
