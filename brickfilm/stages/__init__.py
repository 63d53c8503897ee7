"""The stages. A new one is one new file, and a line here."""

from brickfilm.stages.clip_writer import ClipWriter
from brickfilm.stages.frame_sampler import FrameSampler
from brickfilm.stages.keep import Keep
from brickfilm.stages.scene_splitter import SceneSplitter

__all__ = ["ClipWriter", "FrameSampler", "Keep", "SceneSplitter"]
