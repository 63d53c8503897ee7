"""Let people review captions: list them, export them to a file, and import what was changed."""

from brickfilm.review.caption_files import export_captions, import_captions
from brickfilm.review.captions import ReviewedCaption, list_captions, save_reviews

__all__ = [
    "ReviewedCaption",
    "export_captions",
    "import_captions",
    "list_captions",
    "save_reviews",
]
