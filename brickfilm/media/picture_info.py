"""The storage of a video's pictures, and the conversions that make them plain."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brickfilm.errors import MediaError, Rejected
from brickfilm.media.color import HDR_TRANSFERS, has_matrix, hdr_transfer
from brickfilm.media.decode import Frame, VideoReader
from brickfilm.media.fields import CONVERSION_OF_FIELDS, field_kind
from brickfilm.media.open_video import open_video
from brickfilm.media.side_data import side_data
from brickfilm.records import DeinterlaceMode, HdrMode, Video
from brickfilm.schema.orientation import Orientation

PLAIN_FORMAT = "yuv420p"
PROGRESSIVE_FIELD_ORDERS = (0, 1)
"""Unknown and progressive, of FFmpeg's `AVFieldOrder`."""
DOLBY_VISION_SIDE_DATA = "DOVI_METADATA"


@dataclass(frozen=True, kw_only=True)
class PictureInfo:
    """The storage of a video's pictures, as far as it needs a conversion."""

    pixel_format: str = PLAIN_FORMAT
    has_matrix: bool = False
    """True if the video names its colour matrix."""
    hdr: str = ""
    """'PQ', 'HLG', or 'Dolby Vision' without a picture that can be shown otherwise."""
    square_pixels: bool = True
    mirrored: bool = False
    fields: str = ""
    """'interlaced' or 'telecine' (3:2 pulldown), and ' bff' if the bottom field comes first; '' for
    progressive frames."""
    was_plain: bool = False
    """True for a video that an older version built, which knew neither fields nor mirroring: its
    clips stay as they are, so that no caption is paid for twice."""

    @classmethod
    def of(cls, reader: VideoReader, first: Frame, seconds: float) -> PictureInfo:
        """Read the properties of an open video, `seconds` long, from its first frame.

        Where that may hold fields, frames further on are measured, and the reader is elsewhere.
        """
        raw = first.raw
        return cls(
            pixel_format=raw.format.name,
            has_matrix=has_matrix(raw),
            hdr=hdr_transfer(raw) or _dolby_vision(raw),
            square_pixels=reader.pixel_aspect.of(raw) == 1,
            mirrored=Orientation.of(side_data(raw)).is_mirrored,
            fields=field_kind(reader, raw, seconds),
        )

    def to_answer(self) -> dict[str, Any]:
        return asdict(self)

    def conversions(self, deinterlace: DeinterlaceMode) -> tuple[str, ...]:
        """Return what is done to the pictures, in words of the column `conversions`."""
        is_deinterlaced = deinterlace == "auto" and not self.was_plain
        done = {
            f"{self.hdr} to SDR": bool(self.hdr),
            CONVERSION_OF_FIELDS.get(self.fields, ""): bool(self.fields) and is_deinterlaced,
            "mirrored": self.mirrored and not self.was_plain,
            f"{self.pixel_format} to {PLAIN_FORMAT}": self.pixel_format != PLAIN_FORMAT,
            "square pixels": not self.square_pixels,
        }
        return tuple(words for words, is_done in done.items() if is_done)

    def rejection(
        self, video: Video, *, hdr: HdrMode, deinterlace: DeinterlaceMode
    ) -> Rejected | None:
        """Return the reason to leave the video out under these settings, or None."""
        name = video.title or video.source_id
        if self.hdr and self.hdr not in HDR_TRANSFERS.values():
            remedy = "it has no base layer in HDR10, HLG or SDR; export it as one of those"
        elif self.hdr and hdr == "reject":
            remedy = "keep it with hdr='tonemap' (--hdr tonemap), which converts it to BT.709"
        elif self.fields and deinterlace == "reject":
            kind = self.fields.removesuffix(" bff")
            message = f"{name!r} is {kind}: keep it with deinterlace='auto' (--deinterlace auto)"
            return Rejected(message, reason=kind, record=video)
        else:
            return None
        message = f"{name!r} is in high dynamic range ({self.hdr}): {remedy}"
        return Rejected(message, reason="high dynamic range", record=video)


def is_worth_probing(path: Path) -> bool:
    """Return True if a header tells of anything that answers without a PictureInfo lack.

    That is a named matrix, high dynamic range or fields. False for a file that cannot be opened.
    """
    try:
        with open_video(path) as reader:
            context = reader.stream.codec_context
            return (
                has_matrix(context)
                or bool(hdr_transfer(context))
                or context.field_order not in PROGRESSIVE_FIELD_ORDERS
            )
    except MediaError:
        return False


def _dolby_vision(raw: Any) -> str:
    """Return 'Dolby Vision' for pictures in its own colours (profile 5), which name no matrix."""
    is_dolby = side_data(raw).get(DOLBY_VISION_SIDE_DATA) is not None
    return "Dolby Vision" if is_dolby and not has_matrix(raw) else ""
