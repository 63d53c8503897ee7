"""Bound the tokens of texts from above, without the tokenizer of the model."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

COUNTED_MARGIN = 1.4
"""Allowance for models with another vocabulary: cl100k_base has at most 1.006 tokens for each of
o200k_base in our texts; those of other makers were not counted."""
MESSAGE_TOKENS = 8
"""Roles and separators of a message; OpenAI's models count 4."""
_PIECE = re.compile(r" ?([A-Z]?[a-z]+|[A-Z]+)|.", re.DOTALL)


@lru_cache(maxsize=256)  # the prompt is the same for every clip
def max_text_tokens(text: str) -> int:
    """Return the most tokens of a text: two for three letters, one for a byte of anything else.

    Letters are those of English; a space before a word belongs to it. Byte-pair vocabularies have
    all pairs of letters, so no two letters in a row stay single: random letters have 0.6 tokens
    each, English 0.25. Digits, signs and other scripts have at most a token a byte.
    """
    return sum(_max_piece_tokens(match) for match in _PIECE.finditer(text))


def margin_of_counted(tokens: int) -> int:
    """Return the most tokens to reserve for a text that was counted with o200k_base."""
    return math.ceil(COUNTED_MARGIN * tokens)


@lru_cache(maxsize=1)
def counted_tokens() -> Mapping[str, int]:
    """Return the tokens of our own texts, counted with o200k_base, by prompt digest or name."""
    source = resources.files("brickfilm.captions") / "prompts" / "token_counts.toml"
    return {name: int(n) for name, n in tomllib.loads(source.read_text("utf-8")).items()}


def _max_piece_tokens(match: re.Match[str]) -> int:
    word = match[1]
    return -(-2 * len(word) // 3) if word else len(match[0].encode(errors="replace"))
