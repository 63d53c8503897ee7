"""A visitor of the demo sends what no slider allows: the server refuses it in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from finetune.demo import limits
from finetune.demo.app import DemoApp
from finetune.errors import SamplingError
from finetune.sampling.pipeline import TextToVideoPipeline
from tests.kit.picture_bomb import bomb
from tests.kit.toy_model import PROMPT

FIELDS: dict[str, Any] = dict.fromkeys(
    ("image", "frames", "height", "width", "steps", "guidance", "seed")
)


@pytest.fixture(scope="module")
def demo(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> DemoApp:
    folder = tmp_path_factory.mktemp("demo")
    for name in ("out", "uploads"):
        (folder / name).mkdir()
    pipeline = TextToVideoPipeline.from_pretrained(str(toy_model), device="cpu")
    return DemoApp(pipeline, folder / "out", folder / "uploads")


def send(demo: DemoApp, prompt: Any = PROMPT, **fields: Any) -> Path:
    video, _, _ = demo.generate(
        prompt, **{**FIELDS, **fields}, progress=lambda *args, **options: None
    )
    return Path(video)


def upload(demo: DemoApp, name: str, content: bytes) -> dict[str, str]:
    (demo.uploads / name).write_bytes(content)
    return {"path": str(demo.uploads / name)}


def test_an_upload_is_used_and_another_file_is_not(demo: DemoApp, tmp_path: Path) -> None:
    secret = tmp_path / "private.png"
    Image.new("RGB", (64, 48), "red").save(secret)
    assert send(demo, image=upload(demo, "mine.png", secret.read_bytes())).is_file()
    (demo.uploads / "link.png").symlink_to(secret)
    others = [str(secret), "../private.png", str(demo.uploads / "link.png"), "/etc/passwd", ""]
    for path in (*others, None, 3, ["x"], f"{demo.uploads}/../private.png", "http://x/y.png"):
        with pytest.raises(SamplingError, match="not an upload"):
            send(demo, image={"path": path})
    for image in ("text", [1], str(secret)):
        with pytest.raises(SamplingError, match="not an upload"):
            send(demo, image=image)


def test_the_size_of_an_upload_is_bounded(demo: DemoApp, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in (6_400, 10_000, 50_000):
        with pytest.raises(SamplingError, match=r"pixels|cannot be read") as refused:
            send(demo, image=upload(demo, "bomb.png", bomb(side)))
        assert "\n" not in str(refused.value)
    with pytest.raises(SamplingError, match=r"'no.png' cannot be read as an image"):
        send(demo, image=upload(demo, "no.png", b"no picture"))
    monkeypatch.setattr(limits, "MAX_UPLOAD_BYTES", 10)
    with pytest.raises(SamplingError, match="too large"):
        send(demo, image=upload(demo, "large.png", bytes(11)))


@pytest.mark.parametrize("name", ["frames", "height", "width", "steps", "guidance", "seed"])
def test_every_number_is_bounded_on_the_server(demo: DemoApp, name: str) -> None:
    low, high = demo.limits.ranges[name]
    odd = (low - 1, high * 2 + 1, float("nan"), float("inf"), -float("inf"), "8", [8], {}, True)
    for value in odd:
        with pytest.raises(SamplingError, match=rf"{name} .*: choose from"):
            send(demo, **{name: value})


@pytest.mark.parametrize("prompt", [None, 3, ["x"], "x" * 2001, " "])
def test_a_prompt_is_a_text_of_some_length(demo: DemoApp, prompt: Any) -> None:
    with pytest.raises(SamplingError, match="prompt"):
        send(demo, prompt)
