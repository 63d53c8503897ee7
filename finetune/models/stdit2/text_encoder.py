"""The text encoder: the encoder half of T5 v1.1, 200 tokens a caption."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.models.weights_digest import weights_digest

if TYPE_CHECKING:
    from os import PathLike

MAX_TOKENS = 200
PAD_TOKEN, EOS_TOKEN, UNK_TOKEN = "<pad>", "</s>", "<unk>"  # T5's own, and in its order


class TextStates(NamedTuple):
    """Of B captions: states [B, L, width] float32, mask [B, L] bool, and tokens cut off [B]."""

    states: Tensor
    mask: Tensor
    truncated_tokens: list[int]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each."""
        return [int(length) for length in self.mask.sum(1).tolist()]


class TextEncoder:
    """Captions to states; frozen."""

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Any,
        *,
        tokens: int = MAX_TOKENS,
        micro_batch_size: int = 8,
    ) -> None:
        self.network: Any = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.tokens = tokens
        self.micro_batch_size = micro_batch_size  # captions in memory at once
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
    ) -> Self:
        """From a Hub id or a folder in transformers' layout."""
        from transformers import AutoTokenizer, T5EncoderModel

        network = T5EncoderModel.from_pretrained(source, torch_dtype=dtype)  # its name since 4.39
        return cls(network.to(device), AutoTokenizer.from_pretrained(source), tokens=tokens)

    @classmethod
    def tiny_random(
        cls, captions: Sequence[str], seed: int, *, width: int = 32, tokens: int = MAX_TOKENS
    ) -> Self:
        """The same class at toy size: weights from the seed, tokens learned from the captions.

        width: of the states, the denoiser's `caption_channels`.
        """
        from transformers import T5Config, T5EncoderModel

        tokenizer = _train_tokenizer(captions)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = T5Config(
                vocab_size=len(tokenizer),
                d_model=width,
                d_kv=8,
                d_ff=2 * width,
                num_layers=2,
                num_heads=4,
                feed_forward_proj="gated-gelu",
            )
            network = T5EncoderModel(config)
        return cls(network, tokenizer, tokens=tokens)

    @property
    def width(self) -> int:
        return int(self.network.config.d_model)

    @property
    def digest(self) -> str:
        """sha256 over configuration, weights, tokenizer and length: the name of its states."""
        if self._digest is None:
            rules = json.loads(self.tokenizer.backend_tokenizer.to_str())
            rules |= {"padding": None, "truncation": self.tokens}  # those of the last call
            config = self.network.config.to_dict()
            self._digest = weights_digest(self.network, config, json.dumps(rules))
        return self._digest

    def to(self, device: torch.device | str) -> Self:
        self.network.to(device)
        return self

    def compile_network(self) -> Self:
        """Compile the blocks, which share a graph: else launching them is what takes time."""
        for block in self.network.encoder.block:
            block.compile(dynamic=False)
        self._compiled = True
        return self

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> TextStates:
        """Every caption padded or cut to `tokens`; what was cut is counted, not hidden."""
        whole = self.tokenizer(list(captions), truncation=False)["input_ids"]
        batch = self.tokenizer(
            list(captions),
            padding="max_length",
            max_length=self.tokens,
            truncation=True,
            return_tensors="pt",
        ).to(self.network.device)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        truncated_tokens = [max(0, len(caption) - self.tokens) for caption in whole]
        return TextStates(self._states(ids, mask), mask.bool(), truncated_tokens)

    def _states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """A micro-batch at a time; all of one size if compiled, the last filled with padding."""
        done = []
        for part, seen in zip(
            *(torch.split(x, self.micro_batch_size) for x in (ids, mask)), strict=True
        ):
            missing = self.micro_batch_size - len(part) if self._compiled else 0
            filled = (F.pad(x, (0, 0, 0, missing)) for x in (part, seen))
            done.append(self._hidden_states(*filled)[: len(part)])
        return torch.cat(done)

    def _hidden_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
        return states.float()


def _train_tokenizer(captions: Sequence[str]) -> Any:
    """A small byte-pair tokenizer of these captions, ending each with T5's end token."""
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
