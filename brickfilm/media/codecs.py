"""Tell which codecs this machine's FFmpeg can write and read."""

from __future__ import annotations

import av
from av.codec import Codec

WRITTEN_CODEC = "libx264"
"""Encoder of clips (encode.py)."""

READ_CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "prores", "mjpeg")
"""Codecs of footage as it is found: of sites, phones, cameras and editors."""


def ffmpeg_version() -> str:
    """Return the version of PyAV's FFmpeg."""
    return str(av.ffmpeg_version_info)


def missing_codecs() -> list[str]:
    """Return the codecs of READ_CODECS without a decoder, and H.264 without an encoder."""
    missing = [name for name in READ_CODECS if not _has(name, "r")]
    return missing + ([] if _has(WRITTEN_CODEC, "w") else [f"{WRITTEN_CODEC}, to write clips"])


def _has(name: str, mode: str) -> bool:
    try:
        Codec(name, mode)
    except (ValueError, av.FFmpegError):
        return False
    return True
