"""Ways to get captions: one file or folder for each."""

from brickfilm.captions.backends.openai import OpenAIBackend

__all__ = ["OpenAIBackend"]
