"""Captions from subtitle files, and RefusalFilter."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from brickfilm.captions.refusals import find_refusal
from brickfilm.captions.subtitles import Cue, cue_at, cues_in_span, read_cues
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Failed
from brickfilm.records import Caption, Clip, Image
from brickfilm.stages import RefusalFilter, SidecarCaptioner
from tests.kit.captions import (
    AddImages,
    ClipSource,
    clip,
    count_results,
    run_captions,
)

VTT = """WEBVTT

NOTE of the author

1
00:00.000 --> 00:01.200 align:left
<v Narrator>A red <b>car</b>
stops &amp; waits.

00:00:01.200 --> 00:00:03.900
A blue car drives on.
"""
SRT = "1\n00:00:00,000 --> 00:00:04,000\nA man — in “quotes” — walks.\n\n"


@dataclass(frozen=True)
class Beside(Stage[Clip, Clip]):
    """A source of clips whose videos lie in a folder."""

    folder: str
    input_types = (Clip,)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        path = Path(self.folder, item.video.path)
        yield replace(item, video=replace(item.video, path=path))


def captions(work: Path, films: Path, count: int = 1) -> dict[str, str]:
    run = run_captions(
        work, ClipSource(count, work), Beside(str(films)), AddImages(), SidecarCaptioner()
    )
    assert all(item.caption.status == "described" for item in run.finished)
    return {type(i).__name__ + i.video.source_id[4:]: i.caption.text for i in run.finished}


def test_a_clip_gets_its_lines_and_an_image_the_line_of_its_time(tmp_path: Path) -> None:
    (tmp_path / "film0.vtt").write_text(VTT)
    assert captions(tmp_path / "w", tmp_path) == {
        "Clip0": "A red car stops & waits. A blue car drives on.",
        "Image0": "A blue car drives on.",
    }


def test_srt_and_json_do_as_well(tmp_path: Path) -> None:
    (tmp_path / "film0.srt").write_text(SRT, encoding="utf-8-sig")
    segments = [{"start": 0, "end": 1.0, "text": "One."}]
    (tmp_path / "film1.json").write_text(json.dumps({"segments": segments}))
    (tmp_path / "film2.json").write_text(json.dumps(segments))
    got = captions(tmp_path / "w", tmp_path, 3)
    assert got["Clip0"] == "A man — in “quotes” — walks."
    assert got["Clip1"] == got["Clip2"] == "One."
    assert got["Image1"] == "One."  # no line at its time: its clip's


def test_a_clip_without_a_line_has_no_caption(tmp_path: Path) -> None:
    (tmp_path / "film0.vtt").write_text("WEBVTT\n\n01:00.000 --> 01:09.000\nLater.\n")
    run = run_captions(
        tmp_path / "w", ClipSource(2, tmp_path / "w"), Beside(str(tmp_path)), SidecarCaptioner()
    )
    assert count_results(run, "SidecarCaptioner") == {"rejected: no caption": 2}
    assert {o.message.split(": ")[1] for o in run.item_results if o.status == "rejected"} == {
        "film0.vtt has no cue there",
        "no subtitle file beside the video",
    }


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "film0.srt").write_text(SRT)
    captions(tmp_path / "w", tmp_path)
    (tmp_path / "film0.srt").write_text(SRT.replace("walks", "runs"))
    assert captions(tmp_path / "w", tmp_path)["Clip0"].endswith("runs.")


def test_a_broken_file_fails_its_film_alone(tmp_path: Path) -> None:
    (tmp_path / "film0.json").write_text("{")
    (tmp_path / "film1.srt").write_text(SRT)
    run = run_captions(
        tmp_path / "w", ClipSource(2, tmp_path / "w"), Beside(str(tmp_path)), SidecarCaptioner()
    )
    assert count_results(run, "SidecarCaptioner") == {"failed: unreadable captions": 1, "done": 1}


def test_binary_rubbish_is_no_subtitle_file(tmp_path: Path) -> None:
    rubbish = tmp_path / "film.vtt"
    rubbish.write_bytes(bytes(range(128, 256)) * 9)
    with pytest.raises(Failed, match=r"film\.vtt cannot be read"):
        read_cues(rubbish)


def test_overlaps() -> None:
    a, b, c = Cue(0, 10, "a"), Cue(10, 11, "b"), Cue(11, 30, "c")
    assert cues_in_span((a, b, c), 8, 12) == [a, b]  # a the most, b whole, c hardly
    assert cues_in_span((a, b, c), 40, 50) == []
    assert cue_at((a, b, c), 10.0) == b
    assert cue_at((a, b, c), 30.0) is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I cannot describe the content of these pictures.",
        "Sorry, I am unable to identify people.",
        "As an AI language model, I do not have eyes.",
        "Unfortunately, I can't see any stills.",
        "I apologize, there is nothing to see.",
        "Caption failed",
        "No images were provided.",
        "This violates our content policy.",
        "Please upload the stills.",
        "N/A",
    ],
)
def test_refusals_in_prose_are_known(text: str) -> None:
    assert find_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "A knight who cannot lift his sword sits down, sorry for himself.",
        "A girl apologizes to a boy, who is unable to move the cart.",
        "A sign above the door says no entry; a guard will not let the man pass.",
        "A man helps a woman to write a letter, and neither can see the cat.",
        "Under a poster with the words I can do it, a robot describes a circle in the sand.",
        "A teller at the bank provides an old man with coins.",
    ],
)
def test_captions_about_sorry_people_are_captions(text: str) -> None:
    assert find_refusal(text) is None


def test_the_filter_goes_by_status_first(tmp_path: Path) -> None:
    of_clip = clip(0, tmp_path)
    keep = RefusalFilter()

    def reason(caption: Caption | None) -> str:
        out = list(keep.apply(replace(of_clip, caption=caption), {}))
        return "" if isinstance(out[0], Clip | Image) else out[0].reason

    assert reason(Caption(text="A red car stops.")) == ""
    assert reason(Caption(text="A red car stops.", status="no_movement")) == "no_movement"
    assert reason(Caption(text="I'm sorry, I can't.")) == "refusal"
    assert reason(None) == "no caption"
