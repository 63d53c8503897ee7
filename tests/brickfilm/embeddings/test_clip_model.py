"""Vectors are those of the whole model, whatever the batch; what is no CLIP is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from huggingface_hub.utils.tqdm import are_progress_bars_disabled

from brickfilm.embeddings.clip_model import image_encoder, text_encoder
from brickfilm.embeddings.model_loading import hidden_bars
from brickfilm.errors import ServiceRefused
from tests.kit.tiny_clip import CONTEXT

pytestmark = pytest.mark.slow  # importing CLIP takes seconds

TEXTS = ["a red car", "two figures at a table in a kitchen", ""]


def pictures(count: int) -> list[PIL.Image.Image]:
    rng = np.random.default_rng(0)
    return [
        PIL.Image.fromarray(rng.integers(0, 256, (40, 64, 3), dtype=np.uint8)) for _ in range(count)
    ]


def test_both_halves_give_the_vectors_of_the_whole_model(tiny_clip: Path) -> None:
    import torch
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(tiny_clip).eval()
    words = AutoTokenizer.from_pretrained(tiny_clip)(
        TEXTS, return_tensors="pt", padding=True, truncation=True, max_length=CONTEXT
    )
    words.pop("token_type_ids", None)
    pixels = CLIPImageProcessorPil.from_pretrained(tiny_clip)(pictures(3), return_tensors="pt")
    with torch.inference_mode():
        whole = model(**words, **pixels)
    np.testing.assert_allclose(
        image_encoder(str(tiny_clip), "cpu")(pictures(3)), whole.image_embeds.numpy(), atol=1e-5
    )
    np.testing.assert_allclose(
        text_encoder(str(tiny_clip), "cpu")(TEXTS), whole.text_embeds.numpy(), atol=1e-5
    )


@pytest.fixture
def bars() -> Iterator[None]:
    """Show the bars of transformers, as outside of tests."""
    from transformers.utils import logging

    were_shown = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    yield
    assert logging.is_progress_bar_enabled()
    if not were_shown:
        logging.disable_progress_bar()


@pytest.mark.filterwarnings("ignore:Cannot enable progress bars")
@pytest.mark.usefixtures("bars")
def test_loading_weights_shows_no_bar(
    tiny_clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_clip, tmp_path / "another")
    were_hidden = are_progress_bars_disabled()  # bars of downloads
    with hidden_bars():
        assert are_progress_bars_disabled() == were_hidden
    image_encoder(str(tmp_path / "another"), "cpu")
    assert capfd.readouterr().err == ""
    assert are_progress_bars_disabled() == were_hidden


def test_a_vector_does_not_depend_on_its_batch(tiny_clip: Path) -> None:
    embed, read = image_encoder(str(tiny_clip), "cpu"), text_encoder(str(tiny_clip), "cpu")
    alone = np.concatenate([embed([picture]) for picture in pictures(3)])
    np.testing.assert_allclose(embed(pictures(3)), alone, atol=1e-5)
    np.testing.assert_allclose(read(TEXTS), np.concatenate([read([t]) for t in TEXTS]), atol=1e-5)


def test_a_text_ends_where_the_context_does(tiny_clip: Path) -> None:
    read = text_encoder(str(tiny_clip), "cpu")
    long, longer = read(["x" * CONTEXT, "x" * CONTEXT + " and more"])
    np.testing.assert_allclose(long, longer, atol=1e-5)


def test_half_a_model_and_none_are_named(tiny_clip: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_clip, tmp_path / "half")
    weights = tmp_path / "half/model.safetensors"
    of_text = {n: tensor for n, tensor in load_file(weights).items() if n.startswith("text")}
    save_file(of_text, weights, metadata={"format": "pt"})
    with pytest.raises(ServiceRefused, match=r"half' has no CLIP weights for .* would be random"):
        image_encoder(str(tmp_path / "half"), "cpu")
    with pytest.raises(ServiceRefused, match="cannot be loaded as CLIP"):
        image_encoder(str(tmp_path / "nothing"), "cpu")
    words = shutil.copytree(tiny_clip, tmp_path / "words") / "tokenizer.json"
    words.write_text('{"version": "9.0", "added_tokens": []}')
    with pytest.raises(ServiceRefused, match="cannot be loaded as CLIP"):
        text_encoder(str(tmp_path / "words"), "cpu")
