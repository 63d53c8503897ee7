"""The only door to FFmpeg (PyAV): probe, decode, reduce, encode, verify.

Time is the stream's own presentation time, in ticks of its time base: never a frame number over an
average rate. Frames are numbered as they are shown, from 0.
"""

from brickfilm.media.decode import Film, Frame, opened, plane
from brickfilm.media.decode_stats import Counted, counted
from brickfilm.media.encode import ClipEncoder, Encoding
from brickfilm.media.probe import Facts, probe, sha256_of
from brickfilm.media.reduce import ReducedFrame, halved, reduced
from brickfilm.media.sound import Sound
from brickfilm.media.verify import NotAsPlanned, verify_clip, verify_sound

__all__ = [
    "ClipEncoder",
    "Counted",
    "Encoding",
    "Facts",
    "Film",
    "Frame",
    "NotAsPlanned",
    "ReducedFrame",
    "Sound",
    "counted",
    "halved",
    "opened",
    "plane",
    "probe",
    "reduced",
    "sha256_of",
    "verify_clip",
    "verify_sound",
]
