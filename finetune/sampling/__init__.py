"""From a prompt to a video file: what is asked, the model that answers, what is written."""

from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.sampling.request import SampleRequest

__all__ = ["SampleRequest", "TextToVideoPipeline"]
