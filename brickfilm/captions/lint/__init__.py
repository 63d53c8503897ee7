"""Check captions of any origin against lint rules.

from brickfilm.captions.lint import lint
lint("The video shows a man.")        # [Finding(rule='medium', words='The video', start=0)]
"""

from brickfilm.captions.lint.rules import (
    FILE_RULES,
    RULES,
    RULES_VERSION,
    WHOLE_CAPTION,
    Finding,
    count_rules,
    lint,
    revision_prompt,
)

__all__ = [
    "FILE_RULES",
    "RULES",
    "RULES_VERSION",
    "WHOLE_CAPTION",
    "Finding",
    "count_rules",
    "lint",
    "revision_prompt",
]
