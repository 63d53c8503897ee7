"""Prompts for clips and images: the built-in Markdown files, and how they are loaded."""

from brickfilm.captions.prompts.prompt import (
    BadPrompt,
    ItemKind,
    Prompt,
    builtin_prompts,
    format_percentages,
    load_prompt,
    names_by_digest,
    parse_prompt,
)

__all__ = [
    "BadPrompt",
    "ItemKind",
    "Prompt",
    "builtin_prompts",
    "format_percentages",
    "load_prompt",
    "names_by_digest",
    "parse_prompt",
]
