"""Chat Completions services and the Batch API, through the `openai` client."""

from brickfilm.captions.backends.openai.backend import OpenAIBackend

__all__ = ["OpenAIBackend"]
