"""Restrict what FFmpeg opens: file formats by name, and no second file or address."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

VIDEO_FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "asf", "flv", "mxf", "ogg", "dv", "nut", "gxf"),
    *("rm", "wtv", "ivf", "obu", "mpegvideo", "h264", "hevc", "m4v", "mjpeg", "yuv4mpegpipe"),
    *("gif", "apng", "av1", "vc1", "dirac"),
)
"""Names of FFmpeg's demuxers that read one file of video and refer to no other."""
VIDEO_SUFFIXES = (
    *(".3gp", ".apng", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".m1v", ".m2ts"),
    *(".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"),
    *(".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
"""Suffixes of videos inside a folder. A file given by name is opened whatever its suffix."""
IMAGE_FORMATS = ("jpeg_pipe", "png_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe")
"""Demuxers of single images."""


def open_options(formats: Sequence[str] = VIDEO_FORMATS) -> dict[str, str]:
    """Return the options of libavformat for untrusted media.

    Playlists, SDP and ffconcat name other files or addresses, which FFmpeg would open. `file` is
    the only protocol; bytes in memory need none.
    """
    return {"format_whitelist": ",".join(formats), "protocol_whitelist": "file"}


MEDIA_OPEN_OPTIONS = MappingProxyType(open_options((*VIDEO_FORMATS, *IMAGE_FORMATS)))
"""Options for a cell of a dataset: a clip or an image."""
