"""From a prompt to a video file: what is asked, the model that answers, what is written."""

from finetune.samples.pipeline import Pipeline
from finetune.samples.request import Request

__all__ = ["Pipeline", "Request"]
