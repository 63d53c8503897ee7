"""Captions from subtitle files, and RefusalFilter."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from brickfilm.captions.cues import Cue, CueIndex
from brickfilm.captions.refusals import find_refusal
from brickfilm.captions.subtitles import read_cues
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Failed, Rejected, UsageError
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
        "film0.vtt has no caption there",
        "no subtitle file beside it",
    }


def test_a_book_is_no_caption(tmp_path: Path) -> None:
    table = tmp_path / "c.csv"
    table.write_text(f"file_name,text\nfilm0,{'a' * 20_000}\nfilm1,{'a' * 20_001}\n")
    run = run_captions(tmp_path, ClipSource(2, tmp_path), SidecarCaptioner(table=table))
    assert count_results(run, "SidecarCaptioner") == {"rejected: caption too long": 1, "done": 1}


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
    cues = CueIndex((c, a, b))
    assert cues.in_span(8, 12) == [a, b]  # a the most, b whole, c hardly
    assert cues.in_span(40, 50) == []
    assert cues.at(10.0) == b
    assert cues.at(30.0) is None


def test_overlapping_cues_are_found_as_by_a_full_search() -> None:
    lot = random.Random(1)
    cues = [Cue(s, s + lot.choice((0.0, 1.0, 40.0)), str(s)) for s in range(60)]
    index = CueIndex(cues)
    for start in range(0, 100, 3):
        overlaps = [c for c in cues if c.overlap(start, start + 5) > 0]
        longest = max((c.overlap(start, start + 5) for c in overlaps), default=0)
        assert index.in_span(start, start + 5) == [
            c
            for c in overlaps
            if c.overlap(start, start + 5) in (longest,)
            or 2 * c.overlap(start, start + 5) >= c.end - c.start
        ]
        assert index.at(start) == next((c for c in cues if c.start <= start < c.end), None)


def test_the_time_per_clip_does_not_grow_with_the_lines() -> None:
    class Counted(float):
        compared = 0

        def __lt__(self, other: float) -> bool:
            Counted.compared += 1
            return float(self) < other

    index = CueIndex(Cue(Counted(n), Counted(n + 1), "x") for n in range(20_000))
    Counted.compared = 0
    assert len(index.in_span(9_000, 9_004)) == 4
    assert Counted.compared < 100


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


@pytest.mark.parametrize(
    "text",
    [
        "- Hey!",
        "-Hey. Over here.",
        "[music]",
        "[door slams] A man runs.",
        "♪ La la la ♪",
        "JOHN: Over there.",
        "Mr. Smith: Over there.",
        "Anna: Stop it.",
        "(applause)",
        "A man runs. (laughs)",
        "*sighs*",
        ">> Good evening.",
        "Where is the key?",
        "Watch out!",
        "I am late.",
        "A good day to you.",
        "Let's go.",
        "- Who is there? - Nobody.",
    ],
)
def test_speech_and_sounds_are_no_descriptions(text: str, tmp_path: Path) -> None:
    (out,) = SidecarCaptioner().apply(clip(0, tmp_path), {"text": text, "file": "film0.vtt"})
    assert isinstance(out, Rejected) and out.reason == "audit: dialogue"
    assert "film0.vtt has" in str(out)


@pytest.mark.parametrize(
    "text",
    [
        "A man — in “quotes” — walks.",
        "A sign above the door says “Stop!”",
        'A girl holds a card with the words "Who are you?" in red.',
        "A train - three green cars - crosses a bridge.",
        "At 10:45 by the clock a bus stops.",
        "A tall man (in a red coat) bows. A dog sits.",
        "Two US soldiers carry a crate.",
        "A tower at dusk: lanterns glow in every window.",
        "A street of small houses with trees in bright daylight. A little car drives past.",
    ],
)
def test_descriptions_are_no_speech(text: str, tmp_path: Path) -> None:
    (out,) = SidecarCaptioner().apply(clip(0, tmp_path), {"text": text, "file": "film0.vtt"})
    assert isinstance(out, Clip) and out.caption and out.caption.text == text


def test_rules_can_be_widened_and_left_out(tmp_path: Path) -> None:
    def reason(stage: SidecarCaptioner, text: str) -> str:
        (out,) = stage.apply(clip(0, tmp_path), {"text": text, "file": "x.vtt"})
        return out.reason if isinstance(out, Rejected) else ""

    assert reason(SidecarCaptioner(rules=()), "- Hey!") == ""
    assert reason(SidecarCaptioner(rules=("medium",)), "The video shows a man.") == "audit: medium"
    with pytest.raises(UsageError, match="no such lint rule: tone"):
        SidecarCaptioner(rules=("tone",)).check()


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("f.vtt", "WEBVTT\n\n00:01.000 --> 00:0x.000\nA.\n", r"line 3: end '00:0x\.000'"),
        ("f.vtt", "WEBVTT\n\n--> 00:02.000\nA.\n", r"line 3: start ''"),
        ("f.srt", "1\n00:00:09,0 --> 00:00:04,000\nA.\n", r"line 2: end 00:00:04,000 is before"),
        ("f.srt", "1\n00:00:75,0 --> 00:00:04,000\nA.\n", r"line 2: start '00:00:75,0'"),
        ("f.srt", "A man walks.\n", r"line 1: no line of the file has times"),
        ("f.json", "[\n{", r"line 2 column 2"),
        ("f.json", '{"cues": []}', r"as \"segments\", was expected"),
        ("f.json", "[3]", r"entry 1: an object"),
        ("f.json", '[{"start": "x", "end": 1, "text": "A"}]', r"entry 1: start 'x'"),
        ("f.json", '[{"start": NaN, "end": 1, "text": "A"}]', r"entry 1: start nan"),
        ("f.json", '[{"start": 2, "end": 1, "text": "A"}]', r"entry 1: end 1 is before start 2"),
        ("f.json", '[{"start": 0, "end": 1}]', r"entry 1: text None is no text"),
    ],
)
def test_a_malformed_file_says_line_and_field(
    tmp_path: Path, name: str, content: str, where: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(Failed, match=where):
        read_cues(tmp_path / name)


def test_odd_characters_in_a_file_are_removed(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('[{"start": 0, "end": 1, "text": "A\\ud800 red\\u0000 car"}]')
    assert [cue.text for cue in read_cues(tmp_path / "f.json")] == ["A red car"]
