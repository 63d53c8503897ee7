"""From a prompt to a video file: what is asked, the model that answers, what is written."""

from finetune.sampling.pipeline import Pipeline
from finetune.sampling.request import Request

__all__ = ["Pipeline", "Request"]
