"""Sample videos from prompts: requests, the pipeline, and the files that it writes."""

from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.sampling.request import SampleRequest

__all__ = ["SampleRequest", "TextToVideoPipeline"]
