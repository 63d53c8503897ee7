"""Captioned clips and images of brick films: from a list of channels to a dataset.

    brickfilm build recipes/text2bricks/dataset.py --out work/text2bricks --dry-run
    brickfilm build recipes/text2bricks/dataset.py --out work/text2bricks

On: any computer with a CPU; network; OPENAI_API_KEY for the captions. List your channels in
channels.txt beside this file first, and check that you may use their videos (docs/youtube.md).
How long: at the default rate limits a download starts every 15 s or so; 24,000 clips came from some
hundred hours of video, which is days of downloading. Run the same command again to resume.
Cost: about one cent for a clip and its image with gpt-4o at list price; the build stops at
`max_cost_usd` and continues when you raise it. gpt-4o leaves the API on 2027-01-14: then write
Captioner(model="gpt-6-luna", prompt="bricks", max_cost_usd=20).
Not run here: YouTube and OpenAI (docs/youtube.md).
"""

from pathlib import Path

from brickfilm import (
    FrameSampler,
    GPT4oCaptioner,
    Keep,
    RateLimits,
    RefusalFilter,
    SceneSplitter,
    YouTubeSource,
    build_dataset,
)

source = YouTubeSource.from_file(
    Path(__file__).with_name("channels.txt"),
    max_height=720,
    rate_limits=RateLimits(daily_cap=400),
)

stages = (
    SceneSplitter(min_frames=15, max_frames=200),
    Keep("height", at_least=720),
    Keep("aspect_ratio", at_least=0.56, at_most=0.565),  # height over width: 16:9, to a line or two
    Keep("motion", at_least=0.02),
    FrameSampler(at=(0.2, 0.5, 0.8)),
    GPT4oCaptioner(prompt="bricks", max_cost_usd=250),
    RefusalFilter(),
)

if __name__ == "__main__":
    build_dataset(source, *stages, workdir="work/text2bricks")
