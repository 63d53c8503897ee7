"""ColossalAI engines: ZeRO and Gemini."""

from finetune.engines.colossalai.booster import make_colossalai_engine

__all__ = ["make_colossalai_engine"]
