"""Text encoders of the T5 kind: T5 v1.1 and UMT5, with a fixed number of tokens per caption."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.errors import WeightsError
from finetune.models.family import EncodedCaption, TextSize
from finetune.models.library_errors import library_errors
from finetune.models.weight_files import load_whole
from finetune.models.weights_digest import weights_digest

if TYPE_CHECKING:
    from os import PathLike

MAX_TOKENS = 200
PAD_TOKEN, EOS_TOKEN, UNK_TOKEN = "<pad>", "</s>", "<unk>"  # T5's names, in its order


Architecture = Literal["T5", "UMT5"]
"""Class names of transformers without `EncoderModel`; UMT5 has position biases in every block."""


class TextStates(NamedTuple):
    """Encoded captions: states [B, L, width] float32, mask [B, L] bool, tokens cut off [B]."""

    states: Tensor
    mask: Tensor
    truncated_tokens: list[int]

    @property
    def lengths(self) -> list[int]:
        """Return each caption's number of tokens."""
        return [int(length) for length in self.mask.sum(1).tolist()]


class TextEncoder:
    """Encode captions as states; frozen."""

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Any,
        *,
        tokens: int = MAX_TOKENS,
        micro_batch_size: int = 8,
        clean: Callable[[str], str] = str,
        attend_to_padding: bool = False,
    ) -> None:
        self.network: Any = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.tokens = tokens
        self.micro_batch_size = micro_batch_size  # captions in memory at once
        self._clean = clean  # prepares a caption for the tokenizer
        self._attend_to_padding = attend_to_padding  # as some models were trained
        self._compiled = False
        self._digest: str | None = None

    @classmethod
    def from_pretrained(
        cls,
        source: str | PathLike[str] = "DeepFloyd/t5-v1_1-xxl",
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        tokens: int = MAX_TOKENS,
        architecture: Architecture = "T5",
        tokenizer: str | PathLike[str] | None = None,
        **options: Any,
    ) -> Self:
        """Load from a Hub id or a folder in transformers' layout.

        tokenizer: its folder, if it lies elsewhere. options: of the class. Raise WeightsError for
        another architecture: transformers reads UMT5 as T5, and leaves weights out.
        """
        import transformers

        with library_errors(source):
            config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
        found, wanted = config.model_type, architecture
        if found != wanted.lower():
            raise WeightsError(
                f"{source} is a text encoder of type {found!r}, not {wanted.lower()!r}: name that "
                "of a pipeline of the recipe's family as text_encoder"
            )
        kind = getattr(transformers, f"{architecture}EncoderModel")
        network = load_whole(kind, source, torch_dtype=dtype)  # its name since 4.39
        with library_errors(tokenizer or source):
            words = transformers.AutoTokenizer.from_pretrained(
                tokenizer or source, trust_remote_code=False
            )
        return cls(network.to(device), words, tokens=tokens, **options)

    @classmethod
    def tiny_random(
        cls,
        captions: Sequence[str],
        seed: int,
        *,
        width: int = 32,
        tokens: int = MAX_TOKENS,
        architecture: Architecture = "T5",
        **options: Any,
    ) -> Self:
        """Build a toy-size encoder: random weights from the seed, a tokenizer of the captions.

        width: of the states; the denoiser's `caption_channels`. options: of the class.
        """
        import transformers

        tokenizer = _train_tokenizer(captions)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = getattr(transformers, f"{architecture}Config")(
                vocab_size=len(tokenizer),
                d_model=width,
                d_kv=8,
                d_ff=2 * width,
                num_layers=2,
                num_heads=4,
                feed_forward_proj="gated-gelu",
            )
            network = getattr(transformers, f"{architecture}EncoderModel")(config)
        return cls(network, tokenizer, tokens=tokens, **options)

    @property
    def width(self) -> int:
        return int(self.network.config.d_model)

    @property
    def size(self) -> TextSize:
        return TextSize(self.tokens, self.width)

    @property
    def digest(self) -> str:
        """Return sha256 over configuration, weights, tokenizer and length: its states' key."""
        if self._digest is None:
            tokenizer = json.loads(self.tokenizer.backend_tokenizer.to_str())
            tokenizer |= {"padding": None, "truncation": self.tokens}  # not those of the last call
            config = self.network.config.to_dict()
            self._digest = weights_digest(self.network, config, json.dumps(tokenizer))
        return self._digest

    def to(self, device: torch.device | str) -> Self:
        self.network.to(device)
        return self

    def compile_network(self) -> Self:
        """Compile the blocks, which share a graph; uncompiled, most time is launch overhead."""
        for block in self.network.encoder.block:
            block.compile(dynamic=False)
        self._compiled = True
        return self

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> TextStates:
        """Encode captions, padded or truncated to `tokens`; count the tokens cut off."""
        texts = [self._clean(caption) for caption in captions]
        untruncated = self.tokenizer(texts, truncation=False)["input_ids"]
        batch = self.tokenizer(
            texts,
            padding="max_length",
            max_length=self.tokens,
            truncation=True,
            return_tensors="pt",
        ).to(self.network.device)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        truncated_tokens = [max(0, len(caption) - self.tokens) for caption in untruncated]
        return TextStates(self._states(ids, mask), mask.bool(), truncated_tokens)

    def encode_captions(self, captions: Sequence[str]) -> list[EncodedCaption]:
        """Encode captions to "states" [tokens, width], as a `CaptionEncoder` does."""
        encoded = self.encode(captions)
        rows = zip(encoded.states, encoded.lengths, encoded.truncated_tokens, strict=True)
        return [EncodedCaption({"states": s[:length]}, cut) for s, length, cut in rows]

    def save(self, folder: Path) -> None:
        """Write network and tokenizer in transformers' layout."""
        self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Encode per micro-batch; if compiled, fill the last one up with padding."""
        outputs = []
        for part, part_mask in zip(
            *(torch.split(x, self.micro_batch_size) for x in (ids, mask)), strict=True
        ):
            missing = self.micro_batch_size - len(part) if self._compiled else 0
            padded = (F.pad(x, (0, 0, 0, missing)) for x in (part, part_mask))
            outputs.append(self._hidden_states(*padded)[: len(part)])
        return torch.cat(outputs)

    def _hidden_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        seen = None if self._attend_to_padding else mask
        states: Tensor = self.network(input_ids=ids, attention_mask=seen).last_hidden_state
        return states.float()


def _train_tokenizer(captions: Sequence[str]) -> Any:
    """Train a small byte-pair tokenizer on the captions; it ends each with T5's end token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=UNK_TOKEN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = [PAD_TOKEN, EOS_TOKEN, UNK_TOKEN]
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS_TOKEN}", special_tokens=[(EOS_TOKEN, specials.index(EOS_TOKEN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD_TOKEN, eos_token=EOS_TOKEN, unk_token=UNK_TOKEN
    )
