"""Stop motion and drawn animation on twos and threes, for a model of its look and its timing.

    brickfilm build recipes/films/animation.py --out work/animation --dry-run
    brickfilm build recipes/films/animation.py --out work/animation

Put videos, or folders of numbered stills, into films/ first. Clips of 12 frames are kept, since
shots of animation are short. A caption file (.vtt, .srt or .json) beside each video is read: no
key, no cost. On: any computer with a CPU.
"""

from brickfilm import (
    FolderSource,
    FrameSampler,
    Keep,
    SceneSplitter,
    SidecarCaptioner,
    build_dataset,
)

source = FolderSource("films", fps=12)  # of numbered stills, which do not tell it

stages = (
    SceneSplitter(min_frames=12, max_frames=200, measures="default"),
    *Keep.read("bricks"),
    FrameSampler(at=(0.2, 0.5, 0.8)),
    SidecarCaptioner(),
)

if __name__ == "__main__":
    build_dataset(source, *stages, workdir="work/animation")
