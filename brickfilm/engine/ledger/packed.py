"""Store long JSON texts compressed: most of an answer is field names, paths and digests.

A ledger may contain both: texts of older versions, and short ones, stay readable as they are.
"""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

from brickfilm.digest import read_sealed

PREFIX = b"\x01"
"""First byte of a packed text; the number of its dictionary."""
DICTIONARY = (
    b'{"kind": "image", "source_id": "title": "start": "end": "num_frames": 1, "fps": 24.0, '
    b'"path": "", "stills": [], "scores": {"black_share": 0.0, "brightness": "camera_pan": '
    b'"camera_shake": "camera_tilt": "camera_zoom": "color_bars": 0.0, "contrast": "cut_end": '
    b'"cut_inside": "cut_start": "drawing_fps": "flashes": 0.0, "flat_share": 0.0, "flicker": '
    b'"freeze_share": 0.0, "hold": 2.0, "hold_regularity": "interlacing": 0.0, "letterbox": 0.0, '
    b'"letterbox_bottom": 0.0, "letterbox_left": 0.0, "letterbox_right": 0.0, "letterbox_top": '
    b'0.0, "motion": "overlay_share": 0.0, "pulldown": 0.0, "sharpness": "text_share": 0.0, '
    b'"blockiness": "vmaf_motion": "broke": [], "lint": 3, "reasked": 0.0}}, '
    b'"message": "reason": "__rejected__": {"dtype": "<f4", "columns": 1}'
    b" animated animation background beside behind between blue bricks brick-built building "
    b"camera characters close-up door green grey hair hand head holding holds house large left "
    b"light looking looks minifigure moves moving near open orange plate red right room scene "
    b"sits small stop-motion street table tall then toward towards tree trees turns two walking "
    b"walks wall water wearing wears white while window with wooden yellow. The camera stays "
    b"still. In the background, there is a man in a woman is standing on a and a of the at the "
    b"to the into the from the with a on the left side of the, while the  stands in front of a "
    b'{"status": "described", "text": "A figure ", "model": "gpt-4o", "input_tokens": 9, '
    b'"output_tokens": 9, "reasoning_tokens": "cost": 0.00, "stills": 3, "file": "prose": true, '
    b'{"kind": "clip", "path": "clips/", "sha256": "width": 1280, "height": 720, "psnr": '
    b'"width": 1920, "height": 1080, "frame_hashes": [" '
    b'{"files": [{"path": "clips/{"files": [{"path": "stills/", "sha256": "00-f000'
    b'.mp4", "sha256": ".jpg", "sha256": "}, {"path": "stills/"}], "stills": [{"frame": '
    b'"}, {"frame": , "path": "stills/", "width": 1280, "height": 720}, {"frame": '
)
"""Preset text that the compressor may refer to. It can never change: add another with a number."""


MIN_CHARACTERS = 100
"""Shorter texts stay as they are: they gain little, and people can read them."""
SMALL_BYTES = 6000
"""Texts that fit, with the dictionary, into a window of 8 kB: it is set up in half the time."""


def pack(text: str) -> str | bytes:
    """Return a text compressed, or as it is where that is not shorter."""
    if len(text) < MIN_CHARACTERS:
        return text
    plain = text.encode()
    window, memory = (13, 7) if len(plain) < SMALL_BYTES else (zlib.MAX_WBITS, 9)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -window, memory, 0, DICTIONARY)
    packed = PREFIX + compressor.compress(plain) + compressor.flush()
    return packed if len(packed) < len(plain) else text


def unpack(stored: object) -> str | None:
    """Return the text that was packed; None if it is damaged, or has no text's type."""
    if not isinstance(stored, bytes):
        return stored if isinstance(stored, str) else None
    if not stored.startswith(PREFIX):
        return stored.decode(errors="replace")  # no text of ours: its digest finds that
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS, DICTIONARY)
    try:
        text = decompressor.decompress(stored[1:]).decode()
    except (zlib.error, ValueError):
        return None
    return text if decompressor.eof and not decompressor.unused_data else None


def read_packed(stored: object, digest: str | None) -> dict[str, Any] | None:
    """Return a stored JSON object; None if it is damaged."""
    text = unpack(stored)
    return None if text is None else read_sealed(text, digest)


def add_functions(db: sqlite3.Connection) -> None:
    """Give a connection the SQL function `unpacked(text)`, NULL for what is damaged."""
    db.create_function("unpacked", 1, unpack, deterministic=True)
