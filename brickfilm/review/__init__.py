"""Let people review clips and captions: on a page, or in a file that is exported and imported."""

from brickfilm.review.caption_files import export_captions, import_captions
from brickfilm.review.captions import ReviewedCaption, list_captions, save_reviews
from brickfilm.review.server import open_review
from brickfilm.review.session import ReviewAct, ReviewSession

__all__ = [
    "ReviewAct",
    "ReviewSession",
    "ReviewedCaption",
    "export_captions",
    "import_captions",
    "list_captions",
    "open_review",
    "save_reviews",
]
