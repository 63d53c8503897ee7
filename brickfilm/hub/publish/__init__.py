"""Publish a saved dataset on the Hub: media in the tables, media as files, or references only."""

from brickfilm.hub.publish.card import CARD_FILENAME
from brickfilm.hub.publish.options import (
    MANAGED_PATHS,
    MEDIA_FOLDER,
    MediaMode,
    PushOptions,
    PushResult,
)
from brickfilm.hub.publish.push import plan_push, push_to_hub, pushed_repos

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
