"""A vision-language model in this process: tiny random ones of the real classes."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from brickfilm.captions import ChatMessage, ChatRequest, Service
from brickfilm.captions.backends import TransformersBackend
from brickfilm.captions.backends.transformers import LocalModel
from brickfilm.captions.prompts import load_prompt
from brickfilm.captions.reply_format import reply_schema
from brickfilm.captions.stills import encode_jpeg
from brickfilm.engine.ledger import spend_frame
from brickfilm.engine.pipeline import Pipeline
from brickfilm.errors import ServiceRefused, UsageError
from brickfilm.stages import CaptionAudit, Captioner, RefusalFilter
from tests.kit.captions import AddImages, ClipSource, clip, run_captions
from tests.kit.tiny_vlms import write_tiny_qwen2_vl, write_tiny_smolvlm

LACKING = [m for m in ("transformers", "num2words") if not importlib.util.find_spec(m)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"needs {LACKING}: pip install 'brickfilm[local]'"),
]
BACKEND = TransformersBackend(device="cpu", dtype="float32", batch_size=4)
Writer = Callable[[Path], Path]


def question(work: Path, *numbers: int, max_tokens: int = 12) -> ChatRequest:
    """Ask for a caption of the stills of some clips."""
    stills = [still for n in numbers for still in clip(n, work).stills]
    jpegs = tuple(encode_jpeg(work / still.path, size=64, quality=85) for still in stills)
    return ChatRequest(
        model="tiny",
        messages=(
            ChatMessage(role="system", text="Describe."),
            ChatMessage(role="user", text="The stills:", jpegs=jpegs),
        ),
        schema=reply_schema("clips"),
        max_tokens=max_tokens,
    )


@pytest.mark.parametrize("write", [write_tiny_qwen2_vl, write_tiny_smolvlm])
def test_a_model_captions_a_build_and_its_audit_without_a_server(
    tmp_path: Path, write: Writer
) -> None:
    work = tmp_path / "work"
    model = write(tmp_path / "model")
    stage = Captioner(
        model=str(model), backend=BACKEND, max_tokens=12, image_size=64, max_cost_usd=0.01
    )
    pipeline = (AddImages(), stage, RefusalFilter(), CaptionAudit(stage, rules=("toy",)))
    run = run_captions(work, ClipSource(3, work), *pipeline)
    assert len(run.finished) == 6
    prompt = len(load_prompt("general").render((0.2, 0.5, 0.8)).encode())
    for item in run.finished:
        assert item.caption.status == "described"
        assert item.caption.text
        assert 0 < item.caption.output_tokens <= 12
    of_clips = [item.caption.input_tokens for item in run.finished if hasattr(item, "stills")]
    assert min(of_clips) > prompt  # a byte is a token: the whole prompt arrived
    assert spend_frame(work).settled.sum() == 0


@pytest.mark.parametrize("write", [write_tiny_qwen2_vl, write_tiny_smolvlm])
def test_a_batch_says_what_each_request_says_alone(tmp_path: Path, write: Writer) -> None:
    service = Service(model=str(write(tmp_path / "model")))
    requests = [question(tmp_path, 0), question(tmp_path, 1, 2), question(tmp_path, 3)]
    with BACKEND.connect(service) as model:
        alone = [model.complete(request) for request in requests]
        assert len({completion.text for completion in alone}) > 1  # the pictures matter
        together = ask_together(model, requests)
    assert [c.text for c in together] == [c.text for c in alone]
    assert [c.usage for c in together] == [c.usage for c in alone]


def ask_together(model: LocalModel, requests: list[ChatRequest]) -> list[object]:
    """Ask from as many threads, which find the model busy until all of them wait."""
    answers: dict[int, object] = {}
    sizes: list[int] = []
    generate = model.model.generate

    def counting(**inputs: object) -> object:
        sizes.append(len(inputs["input_ids"]))  # type: ignore[arg-type]
        return generate(**inputs)

    model.model.generate = counting
    first = threading.Thread(target=model.complete, args=(requests[0],))
    gate = threading.Event()
    counting_once = model.model.generate

    def held(**inputs: object) -> object:
        gate.wait(20)
        return counting_once(**inputs)

    model.model.generate = held
    first.start()
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: model.complete(requests[n])}))
        for n in range(len(requests))
    ]
    for thread in threads:
        thread.start()
        thread.join(0.2)
    gate.set()
    for thread in (first, *threads):
        thread.join(60)
    model.model.generate = generate
    assert sizes == [1, len(requests)]
    return [answers[n] for n in range(len(requests))]


def test_a_model_that_cannot_be_loaded_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(model: Path) -> Captioner:
        stage = Captioner(model=str(model), backend=BACKEND)
        Pipeline.from_stages(ClipSource(1, tmp_path), [stage]).check()
        return stage

    with pytest.raises(UsageError, match=r"no folder with a config\.json"):
        check(tmp_path / "missing")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ServiceRefused, match="cannot be loaded"):
        run_captions(tmp_path / "w", ClipSource(1, tmp_path / "w"), check(tmp_path))
    own = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question"))
    with pytest.raises(ServiceRefused, match="contains custom code"):
        run_captions(tmp_path / "w", ClipSource(1, tmp_path / "w"), check(tmp_path))
