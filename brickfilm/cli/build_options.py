"""Options of `brickfilm build`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from brickfilm.captions.backend import JsonMode
from brickfilm.errors import UsageError

footage_option = partial(typer.Option, rich_help_panel="Footage")
clip_option = partial(typer.Option, rich_help_panel="Shots and clips")
caption_option = partial(typer.Option, rich_help_panel="Captions")

Footage = Annotated[
    str,
    typer.Argument(
        help="a video, a folder of videos, a recipe .py; a .csv, .jsonl or .parquet of URLs; "
        ".tar files; https://, s3://, gs://; hub:user/dataset"
    ),
]
Captions = Annotated[
    str | None,
    caption_option(
        metavar="MODEL|local:PATH|sidecar|sidecar:FILE|none",
        help="a model of the OpenAI API or of --base-url; a model run here, by folder or Hub id; "
        ".vtt/.srt/.json beside the videos; a .csv/.jsonl/.parquet; default: gpt-4o",
    ),
]
BaseUrl = Annotated[
    str | None, caption_option(help="server of the model, as http://localhost:8000/v1")
]
PromptName = Annotated[
    str | None,
    caption_option(help="general, bricks or a Markdown file; default: OUT's last one, or general"),
]
MaxCost = Annotated[float | None, caption_option(min=0, help="never spend more on captions in OUT")]
MaxTokens = Annotated[
    int | None,
    caption_option(
        "--max-tokens-total", min=0, help="limit for a model without a price: tokens of all of OUT"
    ),
]
Price = Annotated[
    str | None,
    caption_option(
        "--price-per-million",
        metavar="IN,OUT",
        help="US dollars per million tokens of a model that is not on the price list",
    ),
]
CaptionsJsonMode = Annotated[
    JsonMode | None,
    caption_option(
        "--captions-json-mode",
        help="force replies into JSON by a schema, as an object, or in words alone (text)",
    ),
]
Structured = Annotated[
    bool | None,
    caption_option(
        "--structured/--plain",
        help="ask for aspects and several styles of each caption; default: as the last build",
    ),
]
Video = Annotated[
    bool | None,
    caption_option(
        "--video/--stills",
        help="send clips whole to a server that reads videos; default: as the last build",
    ),
]
Sound = Annotated[bool, clip_option("--sound", help="write clips with sound")]
Copy = Annotated[
    bool,
    clip_option("--copy", help="copy the clips' H.264 where that is exact, and encode the rest"),
]
Licence = Annotated[
    str,
    footage_option(
        "--licence", "--license", help="of videos in a folder, as 'CC BY 4.0'; for `push`"
    ),
]
Uploader = Annotated[str, footage_option(help="author of the videos in a folder")]
Hdr = Annotated[str, footage_option(help="high dynamic range: reject, or tonemap to BT.709")]
Deinterlace = Annotated[
    str, footage_option(help="interlaced and telecined videos: auto converts them, off, reject")
]
MaxPixels = Annotated[
    int | None,
    footage_option(min=1, help="reject videos with more pixels a frame; default: 8192 x 4320"),
]
FrameRate = Annotated[
    str | None, footage_option("--fps", help="frame rate of numbered stills in a folder, as 24")
]
Column = Annotated[
    list[str] | None,
    footage_option(
        metavar="WHAT=NAME", help="of a list or dataset: the column of url, caption, ..."
    ),
]
Split = Annotated[str | None, footage_option(help="of hub:user/dataset; default: train")]
Config = Annotated[str | None, footage_option(help="of hub:user/dataset, if it has several")]
Revision = Annotated[
    str | None, footage_option(help="of hub:user/dataset: a branch, tag or commit")
]
AllowPrivate = Annotated[
    bool, footage_option("--allow-private", help="download from addresses of this network too")
]
KeepSources = Annotated[
    bool,
    footage_option(
        "--keep-sources/--no-keep-sources", help="keep downloads, or delete them once cut"
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="print plan and cost; download, encode and request nothing"),
]
Training = Annotated[
    str | None,
    clip_option("--for", help="split shots for a trainer, a model (wan2.1) or a training recipe"),
]
Locked = Annotated[
    bool, footage_option("--locked", help="fetch exactly the videos of OUT/sources.lock.json")
]
AllowDrift = Annotated[
    bool, footage_option("--allow-drift", help="as --locked, but accept videos that changed")
]
Wait = Annotated[
    bool, caption_option("--wait/--no-wait", help="wait for batch jobs, or exit with 3")
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="build part I of N (0 to N-1) in OUT/shards/I-of-N; `brickfilm merge` joins them",
    ),
]
TakeOver = Annotated[
    bool,
    typer.Option("--take-over", help="take the lock of a shard whose build was silent 10 minutes"),
]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="build other footage into OUT: its videos leave the dataset"),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="compute on a Ray cluster: HOST:PORT, auto, or local for a new one on this machine",
    ),
]
Detector = Annotated[
    str | None,
    clip_option(
        help="of shots: auto (that of OUT; in a new OUT joint with the extra `shots`, else "
        "layout), layout, joint, holds, transnetv2, adaptive or content"
    ),
]
Measures = Annotated[
    str | None,
    clip_option(
        help="of clips: auto (those of OUT; in a new OUT default), first (of older versions), "
        "default, or all (adds vmaf_motion, which is slow)"
    ),
]
KeepIf = Annotated[
    list[str] | None,
    clip_option(
        "--keep",
        metavar="SCORE>=N|SET",
        help="keep clips by a score, as motion>=0.02, or by a set: bricks, general, a file of "
        "conditions; repeatable",
    ),
]
Embed = Annotated[
    str | None,
    clip_option(
        metavar="MODEL",
        help="embed stills by this CLIP model (Hub id or folder; extra `scores`), and score how "
        "captions fit them",
    ),
]
Aesthetic = Annotated[
    Path | None,
    clip_option(
        metavar="HEAD", help="score embeddings by LAION's weights of an aesthetic predictor"
    ),
]
Duplicates = Annotated[
    Literal["mark", "keep-best", "keep-one"] | None,
    clip_option(
        help="near-duplicates: mark their groups (default), or keep the best or one of each"
    ),
]
KeepAll = Annotated[
    bool,
    clip_option("--keep-all", help="also clips that are black, one flat colour or a test card"),
]

OF_SOURCES = (
    *("licence", "uploader", "hdr", "deinterlace", "fps", "split", "config", "revision"),
    *("allow_private", "keep_sources", "max_pixels"),
)
"""Options that are settings of `source_of` under the same name."""


def columns_of(given: list[str] | None) -> dict[str, str] | None:
    """Return `--column caption=long_text` as a mapping; UsageError without an equals sign."""
    for entry in given or ():
        if not entry.partition("=")[1]:
            raise UsageError(f"--column {entry!r}: write WHAT=NAME, as caption=long_text")
    return dict(entry.split("=", 1) for entry in given) if given else None
