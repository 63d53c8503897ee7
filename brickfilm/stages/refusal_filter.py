"""Reject items without a caption: escape statuses, refusals and truncated replies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from brickfilm.captions.refusals import find_refusal
from brickfilm.captions.reply_format import DESCRIBED, REFUSAL
from brickfilm.captions.request import ClipOrImage
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Rejected
from brickfilm.records import Clip, Image


@dataclass(frozen=True, kw_only=True)
class RefusalFilter(Stage[ClipOrImage, ClipOrImage]):
    """Reject items by the model's own status, then by a lexicon of refusals in prose.

    The reason is the status: 'no_movement', 'refusal', 'truncated' and so on.
    """

    input_types = (Clip, Image)
    requires = ("caption",)

    def apply(self, item: ClipOrImage, answer: Answer) -> Iterable[ClipOrImage | Rejected]:
        caption = item.caption
        if caption is None:
            yield Rejected(f"{item.id} has no caption", reason="no caption")
        elif caption.status != DESCRIBED:
            yield Rejected(f"{item.id}: the model answered {caption.status}", reason=caption.status)
        elif not caption.is_edited and (refusal := find_refusal(caption.text)):
            yield Rejected(f"{item.id}: refused in prose ({refusal!r})", reason=REFUSAL)
        else:
            yield item
