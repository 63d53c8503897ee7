"""Ways to get captions: one file or folder for each."""

from brickfilm.captions.backends.openai import OpenAIBackend
from brickfilm.captions.backends.transformers import TransformersBackend

__all__ = ["OpenAIBackend", "TransformersBackend"]
