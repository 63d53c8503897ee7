"""Everything that can go wrong here, as one tree.

FinetuneError
├── ConfigError      a recipe or a network's description asks for what cannot be
└── WeightsError     a checkpoint that does not fit its network, or none where one was named
"""

from __future__ import annotations


class FinetuneError(Exception):
    """Base of all errors that a user can mend; the message names thing, value and remedy."""


class ConfigError(FinetuneError):
    """A setting is unknown, of the wrong kind, or contradicts another."""


class WeightsError(FinetuneError):
    """Weights are missing, unreadable, or of another network; the message names the keys."""
