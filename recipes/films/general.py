"""Live action and animation of any kind, for a model of general footage.

    brickfilm build recipes/films/general.py --out work/general --dry-run
    brickfilm build recipes/films/general.py --out work/general

Put videos into films/ first. On: any computer with a CPU; OPENAI_API_KEY for the captions, whose
cost the dry run prints and `max_cost_usd` bounds.
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
    SceneSplitter(min_frames=24, max_frames=200, measures="default"),
    Keep("height", at_least=240),
    *Keep.read("general"),
    FrameSampler(at=(0.2, 0.5, 0.8)),
    Captioner(model="gpt-6-luna", prompt="general", max_cost_usd=20),
    RefusalFilter(),
)

if __name__ == "__main__":
    build_dataset(source, *stages, workdir="work/general")
