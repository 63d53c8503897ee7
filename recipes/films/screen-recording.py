"""Recordings of a screen: text is wanted, and long pauses are not.

    brickfilm build recipes/films/screen-recording.py --out work/screens --dry-run
    brickfilm build recipes/films/screen-recording.py --out work/screens

Put videos into films/ first. Windows that open look like cuts, and little moves between: clips
are at least 2 s long at 30 frames a second, and those that stand still for most of their time are
left out. The whole height is kept, because captions name what is written. On: any computer with a
CPU; OPENAI_API_KEY for the captions, whose cost the dry run prints and `max_cost_usd` bounds.
"""

from brickfilm import (
    Captioner,
    FolderSource,
    FrameSampler,
    Keep,
    RefusalFilter,
    SceneSplitter,
    build_dataset,
)

source = FolderSource("films")

stages = (
    SceneSplitter(min_frames=60, max_frames=300, measures="default"),
    Keep("height", at_least=720),
    Keep("flat_share", at_most=0.5),
    Keep("freeze_share", at_most=0.8),
    FrameSampler(at=(0.2, 0.5, 0.8)),
    Captioner(model="gpt-6-luna", prompt="general", max_cost_usd=20),
    RefusalFilter(),
)

if __name__ == "__main__":
    build_dataset(source, *stages, workdir="work/screens")
