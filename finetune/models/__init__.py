"""Model families, each behind the protocol `Family`."""

from collections.abc import Mapping

from finetune.models.family import Family
from finetune.models.find import family_of, find_family
from finetune.models.stdit2.family import STDIT2

FAMILIES: Mapping[str, Family] = {family.name: family for family in (STDIT2,)}
"""By the recipe's `family`; a new family is one more name in this line."""

__all__ = ["FAMILIES", "Family", "family_of", "find_family"]
