"""The seam of caption backends: a second one is one file, and takes part in everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from brickfilm.captions.stills import encode_jpeg
from brickfilm.engine.ledger import spend_frame
from brickfilm.engine.pipeline import Pipeline
from brickfilm.errors import UsageError
from brickfilm.records import Clip
from brickfilm.stages import CaptionAudit, Captioner, GPT4oCaptioner, RefusalFilter
from tests.kit.captions import AddImages, ClipSource, run_captions
from tests.kit.servers.openai import CaptionServer
from tests.kit.word_backend import WordBackend, caption_of


def test_a_second_backend_captions_and_is_audited(tmp_path: Path) -> None:
    backend = WordBackend()
    stage = Captioner(model="words", backend=backend, concurrency=4)
    source = ClipSource(6, tmp_path)
    pipeline = (AddImages(), stage, RefusalFilter(), CaptionAudit(stage, rules=("medium",)))
    run = run_captions(tmp_path, source, *pipeline)
    assert len(run.finished) == 12
    for item in run.finished:
        stills = item.stills if isinstance(item, Clip) else [item]
        jpegs = [encode_jpeg(tmp_path / s.path, size=512, quality=85) for s in stills]
        assert item.caption.text == caption_of(jpegs)
        assert item.caption.model == "words"
    of_captioner, of_audit = sorted(backend.opened, key=lambda c: -len(c.asked))
    assert (len(of_captioner.asked), len(of_audit.asked)) == (12, 0)
    assert spend_frame(tmp_path).settled.sum() == 0


def test_a_backend_checks_its_service_before_a_build(tmp_path: Path) -> None:
    stage = Captioner(model="sentences", backend=WordBackend())
    with pytest.raises(UsageError, match="has only 'words'"):
        Pipeline.from_stages(ClipSource(1, tmp_path), [stage]).check()
    in_jobs = Captioner(model="words", backend=WordBackend(), mode="batch")
    with pytest.raises(UsageError, match=r"WordBackend\(\) has no batch jobs: use mode='sync'"):
        in_jobs.check()


def test_a_backend_of_another_kind_has_other_answers() -> None:
    assert Captioner(model="words").digest != Captioner(model="words", backend=WordBackend()).digest


def test_the_preset_and_the_general_captioner_share_answers_and_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with CaptionServer() as server:
        preset = GPT4oCaptioner(base_url=server.url)
        general = Captioner(model="gpt-4o", prompt="bricks", base_url=server.url)
        run_captions(tmp_path, ClipSource(3, tmp_path), preset)
        run_captions(tmp_path, ClipSource(3, tmp_path), general)
        assert len(server.requests) == 3
    assert general.budget_group == preset.budget_group


def test_the_general_captioner_knows_no_bricks(tmp_path: Path) -> None:
    assert Captioner(model="m").prompt == "general"
    assert GPT4oCaptioner().prompt == "bricks"
