"""Put a saved dataset on the Hub: with its media, with media as files, or as references only."""

from __future__ import annotations

from brickfilm.hub.publish.publish import (
    CARD,
    MEDIA,
    OURS,
    Media,
    Published,
    Push,
    plan_push,
    push_to_hub,
    pushed_to,
)

__all__ = [
    "CARD",
    "MEDIA",
    "OURS",
    "Media",
    "Published",
    "Push",
    "plan_push",
    "push_to_hub",
    "pushed_to",
]
