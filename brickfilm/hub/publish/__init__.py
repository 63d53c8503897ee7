"""Put a saved dataset on the Hub: with its media, with media as files, or as references only."""

from __future__ import annotations

from brickfilm.hub.publish.publish import (
    CARD_FILENAME,
    MANAGED_PATHS,
    MEDIA_FOLDER,
    MediaMode,
    PushOptions,
    PushResult,
    plan_push,
    push_to_hub,
    pushed_repos,
)

__all__ = [
    "CARD_FILENAME",
    "MANAGED_PATHS",
    "MEDIA_FOLDER",
    "MediaMode",
    "PushOptions",
    "PushResult",
    "plan_push",
    "push_to_hub",
    "pushed_repos",
]
