"""Lint rule for subtitles: speech and sounds are no description of what can be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from brickfilm.captions.lint.text_match import TextMatch, find_matches

_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|(?<!\w)'[^']*'(?!\w)|‘[^’]*’(?!\w)")
_DIALOGUE = re.compile(  # sentences are bounded: matching an endless one takes quadratic time
    r"[♪♫♩♬]+|\[[^\]]{0,80}\]|^\([^)]{1,80}\)|(?<=[.!?]\s)\([^)]{1,80}\)(?=\s*$)|\*[a-z ]{3,40}\*"
    r"|(?:^|(?<=[.!?…]\s))[-–—] ?(?=\S)|(?:^|\s)>> ?"
    r"|(?:^|(?<=[.!?]\s))(?:[A-Z][A-Z .'’-]{1,24}|[A-Z][a-z]+(?: [A-Z][a-z]+)?):(?=\s)"
    r"|[^.!?。！？؟]{0,1000}[?!？！؟]+|\bI\b(?![-.:])|\b(?:[Yy]ou|[Yy]our|[Ww]e|[Mm]y|[Mm]ine|[Oo]urs?|[Ll]et['’]s)\b"
)


def dialogue(text: str) -> Iterator[TextMatch]:
    """Yield speakers, sounds, songs, questions and words of the first or second person.

    What stands in quotation marks is writing within the scene, and passes.
    """
    return find_matches(_DIALOGUE, _QUOTED.sub(lambda quote: "_" * len(quote[0]), text))
