"""The only door to FFmpeg (PyAV): probe, decode, reduce, encode, verify.

Time is the stream's own presentation time, in ticks of its time base: never a frame number over an
average rate. Frames are numbered as they are shown, from 0.
"""

from brickfilm.media.decode import Frame, VideoReader, open_video, plane_view
from brickfilm.media.decode_stats import DecodeStats, decode_stats
from brickfilm.media.encode import ClipEncoder, EncoderSettings
from brickfilm.media.probe import VideoInfo, probe, sha256_of
from brickfilm.media.reduce import ReducedFrame, downscale_by_2, reduced_frames
from brickfilm.media.sound import Sound
from brickfilm.media.verify import VerificationError, verify_clip, verify_sound

__all__ = [
    "ClipEncoder",
    "DecodeStats",
    "EncoderSettings",
    "Frame",
    "ReducedFrame",
    "Sound",
    "VerificationError",
    "VideoInfo",
    "VideoReader",
    "decode_stats",
    "downscale_by_2",
    "open_video",
    "plane_view",
    "probe",
    "reduced_frames",
    "sha256_of",
    "verify_clip",
    "verify_sound",
]
