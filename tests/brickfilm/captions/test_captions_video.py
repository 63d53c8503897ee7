"""A whole clip in place of its stills, for servers that read videos."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from brickfilm.captions.backends import TransformersBackend
from brickfilm.captions.pricing import price_list
from brickfilm.captions.request import MAX_VIDEO_BYTES
from brickfilm.cli import app
from brickfilm.engine.pipeline import Pipeline
from brickfilm.errors import ServiceRefused, UsageError, WiringError
from brickfilm.records import Clip
from brickfilm.stages import CaptionAudit, Captioner, GPT4oCaptioner
from tests.kit.captions import (
    AddImages,
    ClipSource,
    Open,
    Written,
    clip,
    count_results,
    run_captions,
)
from tests.kit.footage import shots_bytes
from tests.kit.servers.openai import CaptionServer, ErrorReply, ReceivedRequest, described


def captioner(server: CaptionServer, **settings: Any) -> Captioner:
    defaults = {"model": "my-qwen", "base_url": server.url, "timeout": 5.0, "total_timeout": 10.0}
    return Captioner(**defaults | {"video": True, "concurrency": 1} | settings)


@pytest.fixture
def vllm() -> Any:
    with CaptionServer(videos=True) as running:
        yield running


def test_a_clip_is_sent_whole_and_its_image_as_it_is(vllm: CaptionServer, tmp_path: Path) -> None:
    run = run_captions(tmp_path, ClipSource(2, tmp_path), Written(), AddImages(), captioner(vllm))
    assert len(run.finished) == 4
    of_clips = [r for r in vllm.requests if r.videos]
    sent = {item.id: (tmp_path / item.path).read_bytes() for item in run.finished if is_clip(item)}
    assert [r.videos[0] for r in of_clips] == list(sent.values())
    assert [len(r.stills) for r in vllm.requests] == [0, 1, 0, 1]
    assert "shown the whole shot as one video" in of_clips[0].text
    assert "The shot, 4.00 s:" in of_clips[0].text
    assert "as one video" not in vllm.requests[1].text
    again = run_captions(tmp_path, ClipSource(2, tmp_path), Written(), captioner(vllm))
    assert (len(again.finished), len(vllm.requests)) == (2, 4)


def is_clip(item: Any) -> bool:
    return isinstance(item, Clip)


def test_stills_keep_their_answers_when_videos_come_and_go(
    vllm: CaptionServer, tmp_path: Path
) -> None:
    for video in (False, True, False, True):
        run_captions(tmp_path, ClipSource(1, tmp_path), Written(), captioner(vllm, video=video))
    assert [len(r.videos) for r in vllm.requests] == [0, 1]
    assert Captioner(model="m").digest == Captioner(model="m", video=False).digest


def test_a_second_caption_is_asked_for_with_the_video(vllm: CaptionServer, tmp_path: Path) -> None:
    def script(request: ReceivedRequest) -> Any:
        good = described(request)
        assert not isinstance(good, ErrorReply)
        return good if request.is_revision else replace(good, content=json.dumps(FAULTY))

    vllm.script = script
    stage = captioner(vllm)
    run = run_captions(tmp_path, ClipSource(1, tmp_path), Written(), stage, CaptionAudit(stage))
    assert len(run.finished) == 1
    assert [len(r.videos) for r in vllm.requests] == [1, 1]


FAULTY = {"status": "described", "caption": "The video shows a red car."}
REFUSALS = (
    "Invalid value: 'video_url'. Supported values are: 'text', 'image_url' and 'file'.",
    "At most 0 video(s) may be provided in one prompt.",
    "unsupported content[].type",
    "Unknown part type: video_url",
)


@pytest.mark.parametrize("words", REFUSALS)
def test_a_server_that_takes_no_video_stops_the_build(
    vllm: CaptionServer, tmp_path: Path, words: str
) -> None:
    vllm.script = lambda request: ErrorReply(400, "invalid_value", words)
    with pytest.raises(ServiceRefused, match=r"take no videos: send stills \(video=False, --still"):
        run_captions(tmp_path, ClipSource(30, tmp_path), Written(), captioner(vllm))
    assert len(vllm.requests) <= 2


def test_the_public_api_takes_no_video(server: CaptionServer, tmp_path: Path) -> None:
    with pytest.raises(ServiceRefused, match="take no videos"):
        run_captions(tmp_path, ClipSource(3, tmp_path), Written(), captioner(server))
    assert server.bill == 0


def test_one_video_that_is_refused_fails_alone(vllm: CaptionServer, tmp_path: Path) -> None:
    long = "The decoder prompt (length 40000) with its video items is longer than the maximum"
    vllm.script = lambda request: (
        ErrorReply(400, None, long) if request.number == 1 else described(request)
    )
    run = run_captions(tmp_path, ClipSource(4, tmp_path), Written(), captioner(vllm))
    assert count_results(run, "Captioner") == {"done": 3, "failed: bad request": 1}


@dataclass(frozen=True)
class Huge(Written):
    """Gives a clip a media file that is too large to send: mostly a hole."""

    work: str = ""

    def apply(self, item: Clip, answer: Any) -> Any:
        path = Path(self.work) / "huge.mp4"
        with path.open("wb") as file:
            file.truncate(MAX_VIDEO_BYTES + 1)
        yield replace(item, path=Path("huge.mp4"), sha256="ab")


def test_a_clip_that_is_too_large_fails_with_a_remedy(vllm: CaptionServer, tmp_path: Path) -> None:
    source = ClipSource(1, tmp_path)
    run = run_captions(tmp_path, source, Huge(work=str(tmp_path)), captioner(vllm))
    assert count_results(run, "Captioner") == {"failed: video too large": 1}
    assert vllm.requests == []
    (message,) = {r.message for r in run.item_results if r.status == "failed"}
    assert "ClipWriter(max_height=)" in message


def test_every_frame_of_a_video_is_reserved(tmp_path: Path) -> None:
    stage = Captioner(model="gpt-4o", video=True, max_cost_usd=1.0)
    item = clip(0, tmp_path)  # 40 frames of 640x360
    price = price_list().price_of("gpt-4o")
    assert price is not None
    seen = stage.request(item).max_token_counts(price)[0]
    stills = Captioner(model="gpt-4o").request(item).max_token_counts(price)[0]
    assert seen > stills
    assert seen - 40 * price.image_tokens(640, 360) == pytest.approx(1000, abs=900)
    estimated = stage.request(item).estimated_token_counts(price)[0]
    assert estimated < 8 * price.image_tokens(640, 360) + 1000 < seen  # 2 a second of 4 s


def test_what_cannot_work_is_said_before_the_build(tmp_path: Path) -> None:
    local = Captioner(model="m", backend=TransformersBackend(), video=True)
    with pytest.raises(UsageError, match="takes no videos: leave it out"):
        Pipeline.from_stages(ClipSource(1, tmp_path), [Written(), local]).check()
    with pytest.raises(WiringError, match="path"):
        Pipeline.from_stages(NoFiles(1, tmp_path), [GPT4oCaptioner(video=True)])


@dataclass(frozen=True)
class OpenStills(Open):
    """Clips without a media file."""

    provides = ("stills",)


@dataclass(frozen=True)
class NoFiles(ClipSource):
    """A source of clips with stills and no media file."""

    def stages(self) -> Any:
        return (OpenStills(str(self.work)),)


@pytest.mark.slow
def test_the_command_line_sends_videos(vllm: CaptionServer, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "one.mp4").write_bytes(shots_bytes(30, width=160, height=80))
    words = ["build", str(films), "--out", str(tmp_path / "w"), "--captions", "my-qwen"]
    words += ["--base-url", vllm.url]
    assert CliRunner().invoke(app, [*words, "--video"], catch_exceptions=False).exit_code == 0
    (of_clip,) = [r for r in vllm.requests if r.videos]
    assert of_clip.videos[0][4:8] == b"ftyp"
    asked = len(vllm.requests)
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert len(vllm.requests) == asked  # as the last build
