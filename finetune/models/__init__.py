"""Model families, each behind the protocol `Family`."""

from finetune.models.families import FAMILIES, family_of, find_family
from finetune.models.family import Family

__all__ = ["FAMILIES", "Family", "family_of", "find_family"]
