"""Captions in any script, and prompts that name rules, wrong rules or none."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from brickfilm.captions.json_reply import one_line
from brickfilm.captions.lint import RULES, lint
from brickfilm.captions.prompts import BadPrompt, load_prompt
from brickfilm.captions.subtitles import read_cues
from brickfilm.cli import app
from brickfilm.errors import UsageError
from brickfilm.stages import CaptionAudit, Captioner, SidecarCaptioner
from tests.kit.captions import ClipSource, clip, count_results, run_captions
from tests.kit.footage import shots_bytes
from tests.kit.servers.openai import CaptionServer, answer

TEXTS = (
    "一个穿棕色大衣的男人沿着狭窄的街道走向一扇红门。两盏灯在人行道上方发光。",
    "رجل يرتدي معطفا بنيا يسير في شارع ضيق نحو باب أحمر.",
    "مردی با کت قهوه\u200cای در خیابان راه می\u200cرود.",
    "\u200fגבר במעיל חום הולך אל דלת אדומה.\u200f",
    "Мужчина в коричневом пальто идёт по узкой улице.",
    "एक आदमी भूरे कोट में लाल दरवाज़े की ओर चलता है।",
    "Cafe\u0301 owner waves to the crowd below the sign 出口, \u202babc\u202c.",
    "👩\u200d👩\u200d👧\u200d👦 walk under the 🏴\U000e0067\U000e0062\U000e007f flag.",
)
HEAD = "---\nname: my\nversion: 1\nfor: {kind}\n{rules}\n---\n"


def write_prompt(folder: Path, rules: str) -> str:
    for kind, suffix in (("clips", ".md"), ("images", ".image.md")):
        text = HEAD.format(kind=kind, rules=rules) + "Describe the {{ count }} stills."
        (folder / f"my{suffix}").write_text(text, encoding="utf-8")
    return str(folder / "my.md")


def captioner(server: CaptionServer, prompt: str) -> Captioner:
    return Captioner(model="my-llava", base_url=server.url, prompt=prompt, concurrency=1)


def test_a_model_may_write_in_any_script(server: CaptionServer, tmp_path: Path) -> None:
    server.script = lambda request: answer("described", TEXTS[request.number])
    stage = captioner(server, write_prompt(tmp_path, "rules: [medium, stills, leak]"))
    source = ClipSource(len(TEXTS), tmp_path)
    run = run_captions(tmp_path, source, stage, CaptionAudit(stage))
    assert sorted(item.caption.text for item in run.finished) == sorted(TEXTS)
    assert len(server.requests) == len(TEXTS)  # no second captions


def test_a_prompt_that_asks_for_english_gets_it(server: CaptionServer, tmp_path: Path) -> None:
    server.script = lambda request: answer("described", TEXTS[0])
    stage = captioner(server, "general")
    run = run_captions(tmp_path, ClipSource(1, tmp_path), stage, CaptionAudit(stage))
    assert count_results(run, "CaptionAudit") == {"rejected: audit: language": 1}
    assert "write in English" in server.requests[1].text


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_keeps_every_mark(suffix: str, tmp_path: Path) -> None:
    table = tmp_path / f"captions{suffix}"
    rows = [{"id": clip(n, tmp_path).id, "caption": text} for n, text in enumerate(TEXTS)]
    if suffix == ".csv":
        with table.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, ["id", "caption"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        table.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    source = ClipSource(len(TEXTS), tmp_path)
    run = run_captions(tmp_path, source, SidecarCaptioner(table=table))
    assert sorted(item.caption.text for item in run.finished) == sorted(TEXTS)


def test_a_subtitle_keeps_every_mark(tmp_path: Path) -> None:
    lines = [f"00:{n:02}.000 --> 00:{n:02}.900\n{text}\n" for n, text in enumerate(TEXTS)]
    file = tmp_path / "film.vtt"
    file.write_text("WEBVTT\n\n" + "\n".join(lines), encoding="utf-8")
    assert [cue.text for cue in read_cues(file)] == list(TEXTS)


def test_controls_and_halves_of_pairs_are_removed() -> None:
    assert one_line("a\x00b\ud800c \x07\n d\ufeff\u2028e") == "abc d e"
    assert one_line("می\u200cرود \u200f") == "می\u200cرود \u200f"


def test_rules_for_english_pass_other_languages() -> None:
    in_any = {"language", "dialogue"}
    for text in TEXTS[:6]:
        assert {finding.rule for finding in lint(text)} <= in_any
    assert [f.rule for f in lint("他为什么笑？", ["dialogue"])] == ["dialogue"]
    assert [f.rule for f in lint("- Эй! Стой!", ["dialogue"])] == ["dialogue"] * 3


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ("rules: [medium, tone]", rf"rules: tone: give a list of {', '.join(RULES)}"),
        ("rules: medium", "rules: medium: give a list of medium"),
        ("rules: [[medium]]", r"rules: \['medium'\]: give a list"),
        ("rules: {medium: yes}", "give a list of"),
    ],
)
def test_a_wrong_rule_is_named_before_the_build(rules: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(BadPrompt, match=problem):
        load_prompt(write_prompt(tmp_path, rules))


@pytest.mark.parametrize("rules", ["", "rules: []"])
def test_an_audit_without_rules_says_how_to_name_them(
    rules: str, server: CaptionServer, tmp_path: Path
) -> None:
    stage = captioner(server, write_prompt(tmp_path, rules))
    stage.check()
    with pytest.raises(UsageError, match=r"names no rules: add `rules: \[medium, ...\]`"):
        CaptionAudit(stage).check()
    CaptionAudit(stage, rules=("medium",)).check()
    with pytest.raises(UsageError, match="no such lint rule: tone"):
        CaptionAudit(rules=("tone",)).check()


def test_a_prompt_that_cannot_be_read_or_filled_in_is_said_at_once(
    server: CaptionServer, tmp_path: Path
) -> None:
    prompt = write_prompt(tmp_path, "")
    Path(prompt).write_text(Path(prompt).read_text().replace("count", "cuont"))
    with pytest.raises(BadPrompt, match="'cuont' is undefined; it may use"):
        captioner(server, prompt).check()
    Path(prompt).write_bytes("---\nname: é".encode("latin-1"))
    with pytest.raises(BadPrompt, match="is no file in UTF-8"):
        captioner(server, prompt).check()
    with pytest.raises(BadPrompt, match="is no file in UTF-8"):
        load_prompt(tmp_path)


@pytest.mark.slow
def test_every_script_reaches_the_dataset_the_csv_and_the_trainer(
    server: CaptionServer, tmp_path: Path
) -> None:
    films, work, out = tmp_path / "films", tmp_path / "w", tmp_path / "export"
    films.mkdir()
    for frames in (30, 40, 50):
        (films / f"{frames}.mp4").write_bytes(shots_bytes(frames, width=160, height=80))
    server.script = lambda request: answer("described", TEXTS[request.number % len(TEXTS)])

    def run(*words: Any) -> None:
        result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.output

    prompt = write_prompt(tmp_path, "")
    model = ("--captions", "my-llava", "--base-url", server.url, "--prompt", prompt)
    run("build", films, "--out", work, *model)
    built = pd.concat(map(pd.read_parquet, (work / "dataset" / "clips").glob("*.parquet")))
    assert set(built.caption) <= set(TEXTS) and len(built) == 3
    run("captions", "export", work, "--to", tmp_path / "captions.csv")
    table = pd.read_csv(tmp_path / "captions.csv").set_index("id")
    assert [table.caption[id] for id in built.id] == list(built.caption)
    run("captions", "import", work, "--from", tmp_path / "captions.csv")
    run("build", films, "--out", work, *model)
    again = pd.concat(map(pd.read_parquet, (work / "dataset" / "clips").glob("*.parquet")))
    assert "edited by hand" not in set(again.caption_model)  # the round trip changed nothing
    run("export", work, "--to", "diffusion-pipe", "--out", out)
    assert {f.read_text("utf-8").strip() for f in out.rglob("*.txt")} >= set(built.caption)
