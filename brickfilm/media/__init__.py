"""Probe, decode, reduce, encode and verify video through FFmpeg (PyAV).

Times are presentation timestamps in ticks of the stream's time base, never frame numbers divided by
an average rate. Frames are numbered from 0 in presentation order.
"""

from brickfilm.media.color import ColorTags
from brickfilm.media.container import MAX_PARALLEL_PIXELS, MAX_PIXELS, media_errors
from brickfilm.media.damage import FrameFlag
from brickfilm.media.decode import Frame, VideoReader, plane_view
from brickfilm.media.decode_stats import DecodeStats, decode_stats
from brickfilm.media.encode import ClipEncoder, EncoderSettings
from brickfilm.media.file_state import check_unchanged, file_state, unchanged
from brickfilm.media.open_video import open_video
from brickfilm.media.parallel_decode import DamagedGroupError
from brickfilm.media.perceptual_hash import perceptual_hash
from brickfilm.media.picture_info import PictureInfo, is_worth_probing
from brickfilm.media.probe import SEQUENCE_FORMAT, VideoInfo, probe, probe_stills, sha256_of
from brickfilm.media.reduce import FrameExtras, ReducedFrame, downscale_by_2, reduced_frames
from brickfilm.media.sound import Sound
from brickfilm.media.still_sequence import StillSequence
from brickfilm.media.stream_copy import NotCopyableError, StreamCopy
from brickfilm.media.verify import ReferenceFrame, VerificationError, verify_clip, verify_sound
from brickfilm.media.vmaf_motion import VmafMotionFilter

__all__ = [
    "MAX_PARALLEL_PIXELS",
    "MAX_PIXELS",
    "SEQUENCE_FORMAT",
    "ClipEncoder",
    "ColorTags",
    "DamagedGroupError",
    "DecodeStats",
    "EncoderSettings",
    "Frame",
    "FrameExtras",
    "FrameFlag",
    "NotCopyableError",
    "PictureInfo",
    "ReducedFrame",
    "ReferenceFrame",
    "Sound",
    "StillSequence",
    "StreamCopy",
    "VerificationError",
    "VideoInfo",
    "VideoReader",
    "VmafMotionFilter",
    "check_unchanged",
    "decode_stats",
    "downscale_by_2",
    "file_state",
    "is_worth_probing",
    "media_errors",
    "open_video",
    "perceptual_hash",
    "plane_view",
    "probe",
    "probe_stills",
    "reduced_frames",
    "sha256_of",
    "unchanged",
    "verify_clip",
    "verify_sound",
]
