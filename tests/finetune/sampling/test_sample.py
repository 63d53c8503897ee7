"""The command that samples: the same request gives the same bytes, and bad input one line."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from finetune.cli import app
from finetune.errors import FinetuneError, SamplingError
from finetune.models.stdit2.network import STDiT2
from finetune.sampling import SampleRequest, TextToVideoPipeline
from finetune.sampling.files import lock_folder, write_sample
from finetune.sampling.images import read_image
from finetune.sampling.prompts import read_prompts
from tests.kit import ROOT
from tests.kit.toy_model import PROMPT


@pytest.fixture(scope="module")
def pipeline(toy_model: Path) -> TextToVideoPipeline:
    return TextToVideoPipeline.from_pretrained(str(toy_model), device="cpu")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """An image twice as wide as the sample, transparent in its right half."""
    pixels = np.zeros((40, 120, 4), dtype=np.uint8)
    pixels[:, :60] = (200, 30, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "first.png")
    return tmp_path / "first.png"


def sample(model: Path, *words: object) -> list[Path]:
    """Run the command in this process; its files. Errors come out as they are raised."""
    result = CliRunner().invoke(app, ["sample", "--model", str(model), *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return [Path(line) for line in result.stdout.split()]


def frames_of(file: Path) -> tuple[int, tuple[int, int]]:
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(stream)), (stream.height, stream.width)


def test_a_prompt_becomes_a_video_and_its_sidecar(toy_model: Path, tmp_path: Path) -> None:
    (file,) = sample(toy_model, "--prompt", PROMPT, "--out", tmp_path, "--seed", 5)
    assert frames_of(file) == (4, (32, 48))
    record = json.loads(file.with_suffix(".json").read_text())
    assert record["request"] == {
        "prompt": PROMPT,
        "frames": 4,
        "height": 32,
        "width": 48,
        "fps": 6.0,
        "steps": 3,
        "guidance": 4.0,
        "seed": 5,
        "image": None,
        "last_image": None,
    }
    assert set(record) >= {
        "model",
        "model_digest",
        "precision",
        "torch",
        "code",
        "seconds",
        "files",
    }


def test_any_sample_can_be_made_again_from_its_sidecar(
    toy_model: Path, picture: Path, tmp_path: Path
) -> None:
    (file,) = sample(toy_model, "--prompt", PROMPT, "--image", picture, "--out", tmp_path / "a")
    (again,) = sample(toy_model, "--again", file.with_suffix(".json"), "--out", tmp_path / "b")
    assert again.name == file.name
    assert again.read_bytes() == file.read_bytes()
    Image.new("RGB", (8, 8)).save(picture)
    with pytest.raises(SamplingError, match=r"first\.png is not the image"):
        sample(toy_model, "--again", file.with_suffix(".json"), "--out", tmp_path / "b")


def test_the_seed_decides_and_torch_generators_are_left_alone(
    pipeline: TextToVideoPipeline,
) -> None:
    before = torch.get_rng_state()
    one, same, other = (
        pipeline.sample(pipeline.request(prompt=PROMPT, seed=seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_words_size_length_and_guidance_matter(pipeline: TextToVideoPipeline) -> None:
    base = pipeline.sample(pipeline.request(prompt=PROMPT))
    assert not torch.equal(base, pipeline.sample(pipeline.request(prompt="a robot turns")))
    assert not torch.equal(base, pipeline.sample(pipeline.request(prompt=PROMPT, guidance=0.0)))
    small = pipeline.sample(pipeline.request(prompt=PROMPT, frames=1, height=24, width=40))
    assert small.shape == (1, 3, 24, 40)


def test_given_frames_stay_as_they_are(pipeline: TextToVideoPipeline, picture: Path) -> None:
    request = pipeline.request(prompt=PROMPT, image=str(picture), last_image=str(picture))
    frames = pipeline.sample(request)
    latent = pipeline.vae.encode_distribution(read_image(picture, 32, 48)).mean
    kept = ((pipeline.vae.decode(latent) + 1) * 127.5).round().to(torch.uint8)[0]
    assert torch.equal(frames[0], kept)
    assert torch.equal(frames[3], kept)
    assert not torch.equal(frames[1], kept)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mp4", "gif", "png", "npy"])
def test_a_sidecar_alone_makes_the_sample_again_to_the_last_bit(
    kind: str, toy_model: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A denoiser and encoders that were named, a relative picture, and another folder next time."""
    STDiT2.from_pretrained(toy_model).save_pretrained(tmp_path / "alone")
    monkeypatch.chdir(tmp_path)
    encoders = ["--vae", toy_model / "vae", "--text-encoder", toy_model / "text_encoder"]
    words = ["--prompt", PROMPT, "--frames", 3, "--size", "24x40", "--steps", 2, "--seed", 9]
    first = sample(Path("alone"), *words, *encoders, "--image", "first.png", "--format", kind)
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    (sidecar,) = (tmp_path / "samples").glob("*.json")
    again = CliRunner().invoke(app, ["sample", "--again", str(sidecar), "--device", "cpu"])
    assert "identical to the old sample" in again.stderr
    made = [Path(line) for line in again.stdout.split()]
    assert [f.name for f in made] == [f.name for f in first]
    assert len(made) == (3 if kind == "png" else 1)
    assert [f.read_bytes() for f in made] == [(tmp_path / f).read_bytes() for f in first]


def test_another_sample_says_what_differs(toy_model: Path, tmp_path: Path) -> None:
    (file,) = sample(toy_model, "--prompt", PROMPT, "--out", tmp_path)
    words = [
        "sample",
        "--again",
        str(file.with_suffix(".json")),
        "--seed",
        "8",
        "--out",
        str(tmp_path / "b"),
    ]
    assert "differs from the old sample: other request" in CliRunner().invoke(app, words).stderr


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"7", b"\x89PNG\r\n", b'{"request": 1}'])
def test_what_is_no_sidecar(content: bytes, toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(SamplingError, match=r"x\.json is no sidecar of a sample: name the \.json"):
        sample(toy_model, "--again", tmp_path / "x.json")
    with pytest.raises(SamplingError, match="cannot be read"):
        sample(toy_model, "--again", tmp_path / "none.json")


def test_different_samples_have_different_names(
    toy_model: Path, picture: Path, tmp_path: Path
) -> None:
    """The long beginning of a prompt, the bytes of a picture and the rate do not hide the rest."""
    Image.new("RGB", (40, 40)).save(tmp_path / "other.png")
    long = "a castle " * 6
    options = [["--prompt", long + end] for end in ("a", "b")]
    options += [["--prompt", "x", "--image", name] for name in (picture, tmp_path / "other.png")]
    options += [["--prompt", "x", "--fps", 12]]
    files = [sample(toy_model, *words, "--out", tmp_path / "out")[0] for words in options]
    assert len(set(files)) == len(options)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "LA", "1", "I;16"])
def test_a_picture_of_any_mode_and_size_is_read(mode: str, tmp_path: Path) -> None:
    file = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    grey = Image.new("L", (30, 70), 128)
    sixteen = Image.fromarray(np.full((70, 30), 128 * 256, dtype=np.uint16))
    (sixteen if mode == "I;16" else grey.convert(mode)).save(file)
    image = read_image(file, 32, 48)
    assert image.shape == (1, 3, 32, 48)
    assert float(image.mean()) == pytest.approx(0.0, abs=0.35 if mode == "1" else 0.03)


def test_a_transparent_picture_is_laid_on_white(picture: Path) -> None:
    image = read_image(picture, 40, 120)
    assert float(image[0, :, :, 60:].min()) == 1.0
    assert float(image[0, 2, :, :60].max()) < 0


@pytest.mark.parametrize("kind", ["mp4", "gif", "png", "npy"])
def test_every_format_holds_every_frame(kind: str, toy_model: Path, tmp_path: Path) -> None:
    sample(toy_model, "--prompt", PROMPT, "--out", tmp_path / f"x.{kind}")
    record = json.loads((tmp_path / "x.json").read_text())
    files = [tmp_path / name for name in record["files"]]
    if kind == "png":
        assert [file.name for file in files] == [f"x-{n:04d}.png" for n in range(4)]
    elif kind == "gif":
        with Image.open(files[0]) as opened:
            assert (opened.n_frames, opened.info["duration"]) == (4, 160)  # hundredths of a second
    elif kind == "npy":
        assert np.load(files[0]).shape == (4, 32, 48, 3)
    else:
        assert frames_of(files[0])[0] == 4


def test_a_file_of_prompts_is_sampled_line_by_line(toy_model: Path, tmp_path: Path) -> None:
    lines = [{"prompt": "a red car"}, {"prompt": "a red car", "seed": 7, "frames": 2}]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    one, two = sample(toy_model, "--prompts", tmp_path / "p.jsonl", "--out", tmp_path)
    assert (frames_of(one)[0], frames_of(two)[0]) == (4, 2)
    (tmp_path / "p.txt").write_text("# ours\n\na red car\na green tree\n")
    assert len(sample(toy_model, "--prompts", tmp_path / "p.txt", "--out", tmp_path)) == 2


BAD = {
    "the prompt is empty": ["--prompt", "  "],
    "is not text": ["--prompt", "\x00\x07 beep"],
    r"tokens long, the limit is 16: shorten": ["--prompt", "castle " * 200],
    "^33x48 .*the nearest is 32x48: --size 32x48": ["--prompt", "x", "--size", "33x48"],
    "write height x width": ["--prompt", "x", "--size", "large"],
    "size '36²x640': write height": ["--prompt", "x", "--size", "36²x640"],
    "0 frames cannot be sampled: the nearest number is 1": ["--prompt", "x", "--frames", "0"],
    "9999 frames .*nearest number is 512": ["--prompt", "x", "--frames", "9999"],
    "steps 1: choose from 2": ["--prompt", "x", "--steps", "1"],
    "seed -1": ["--prompt", "x", "--seed", "-1"],
    "nothere.png' cannot be read": ["--prompt", "x", "--image", "nothere.png"],
    "request at least 2": ["--prompt", "x", "--image", "a.png", "--frames", "1"],
    "format 'avi'": ["--prompt", "x", "--format", "avi"],
    "format 'webm'": ["--prompt", "x", "--out", "x.webm"],
    "give one of --prompt": [],
    "device 'tpu'": ["--prompt", "x", "--device", "tpu"],
    "precision 'int4'": ["--prompt", "x", "--precision", "int4"],
    "not a number: .* guidance 1e\\+38 is too strong": ["--prompt", "x", "--guidance", "1e38"],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_one_clear_line(message: str, toy_model: Path, tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match=message):
        sample(toy_model, "--out", tmp_path, *BAD[message])
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no prompt"),
        ('{"prompt": 7}', "prompt 7 is not text"),
        ('{"prompt": "x", "sead": 7}', "no setting 'sead'"),
        ('{"prompt": "x", "frames": "many"}', "frames 'many': write a whole number"),
        ('{"prompt": "x"}\n{"prompt": "x", "frames": 8.5}', r"line 2: frames 8\.5: write a whole"),
        ('{"prompt": "x", "seed": "7"}', "seed '7': write a whole number"),
        ('{"prompt": "x", "frames": true}', "frames True: write a whole number"),
        ('{"prompt": "x", "image": 5}', "image 5: write the name of a file"),
        ("{", "line 1: not JSON"),
        ("[]", "not an object"),
    ],
)
def test_bad_files_of_prompts(text: str, message: str, toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(SamplingError, match=message):
        sample(toy_model, "--prompts", tmp_path / "p.jsonl", "--out", tmp_path)


def test_a_file_of_prompts_that_is_no_text(toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SamplingError, match="save it as UTF-8"):
        sample(toy_model, "--prompts", tmp_path / "p.txt", "--out", tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"\xef\xbb\xbfa red castle\n")
    assert read_prompts(tmp_path / "p.txt", {"seed": 3}) == [{"prompt": "a red castle", "seed": 3}]


def test_a_line_of_json_ends_where_the_file_s_line_does(tmp_path: Path) -> None:
    """Other breaks may stand in its text as they are."""
    (tmp_path / "p.jsonl").write_text('{"prompt": "a red\u2028castle"}\r\n', newline="")
    assert read_prompts(tmp_path / "p.jsonl", {}) == [{"prompt": "a red\u2028castle"}]


@pytest.mark.parametrize("content", ["", "hello", "GIF89a"])
def test_a_picture_that_is_none_stops_all_before_the_first(
    content: str, toy_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_text(content)
    lines = [{"prompt": "x"}, {"prompt": "x", "image": str(tmp_path / "bad.png")}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(SamplingError, match=r"bad\.png' cannot be read .*name a PNG, JPEG or WebP"):
        sample(toy_model, "--prompts", tmp_path / "p.jsonl", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_turned_picture_is_upright_and_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), dtype=np.uint8)
    pixels[:20] = 255  # the upper half is white
    turned = Image.Exif()
    turned[0x0112] = 6  # shown a quarter to the right: what is stored above comes right
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=turned, quality=95)
    image = read_image(tmp_path / "turned.jpg", 40, 40)
    assert float(image[..., 24:].min()) > 0.8
    assert float(image[..., :16].max()) < -0.8
    still, other = Image.fromarray(pixels), Image.new("RGB", (40, 40), "red")
    still.save(tmp_path / "two.gif", save_all=True, append_images=[other], duration=100)
    assert torch.equal(read_image(tmp_path / "two.gif", 40, 40), read_pixels(pixels))


def read_pixels(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1


def no_models(folder: Path, model: Path) -> Iterator[tuple[Path, str]]:
    """Yield paths that are no models, with the expected messages."""
    for name, message in {
        "step-00000010.tmp": "is being written",
        "step-00000010": "has no manifest",
        "empty": "holds no model",
        "run": "first checkpoint is still being written",
    }.items():
        (folder / name).mkdir()
        yield folder / name, message
    (folder / "run" / "step-00000010.tmp").mkdir()
    STDiT2.from_pretrained(model).save_pretrained(folder / "alone")
    yield folder / "alone", "--vae and --text-encoder"
    (folder / "cut" / "step-00000010").mkdir(parents=True)
    (folder / "cut" / "step-00000010" / "manifest.json").write_text('{"step": 1')
    yield folder / "cut", r"manifest\.json is incomplete .*name another"
    yield Path("bricks" * 60), "nor a Hub id"
    yield folder / "nothing", "nor a Hub id"


def test_what_is_no_model_says_what_is(toy_model: Path, tmp_path: Path) -> None:
    for place, message in list(no_models(tmp_path, toy_model)):
        with pytest.raises(FinetuneError, match=message):
            sample(place, "--prompt", PROMPT, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "vae"), "has no folder 'vae', which its sampling"),
        (lambda folder: (folder / "sampling.json").write_text("{"), "sampling.json is incomplete"),
        (lambda folder: (folder / "sampling.json").write_text("{}"), "sampling.json is incomplete"),
        (lambda folder: cut(next(folder.glob("*.safetensors"))), "download it again"),
        (lambda folder: set_entry(folder, "defaults", {"image": "/etc/x"}), r"'image'"),
        (lambda folder: set_entry(folder, "defaults", "frames"), "incomplete or damaged"),
        (lambda folder: set_entry(folder, "family", ["stdit2"]), r"family \['stdit2'\]"),
        (lambda folder: (folder / "sampling.json").write_text("[]"), "sampling.json is incomplete"),
    ],
)
def test_a_damaged_release(
    harm: Callable[[Path], object], message: str, toy_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_model, tmp_path / "model")
    harm(tmp_path / "model")
    with pytest.raises(FinetuneError, match=message):
        sample(tmp_path / "model", "--prompt", PROMPT, "--out", tmp_path / "out")


def set_entry(folder: Path, name: str, value: object) -> None:
    file = folder / "sampling.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def test_a_bare_denoiser_takes_encoders_by_name(toy_model: Path, tmp_path: Path) -> None:
    STDiT2.from_pretrained(toy_model).save_pretrained(tmp_path / "alone")
    vae, text = toy_model / "vae", toy_model / "text_encoder"
    words = ["--prompt", PROMPT, "--size", "32x48", "--frames", 2, "--steps", 2, "--vae", vae]
    out = tmp_path / "out"
    assert sample(tmp_path / "alone", *words, "--text-encoder", text, "--out", out)
    with pytest.raises(SamplingError, match=r"cannot be loaded .*name others with --vae"):
        sample(tmp_path / "alone", *words, "--text-encoder", tmp_path, "--out", out)


def test_two_samplers_do_not_share_a_folder(toy_model: Path, tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(SamplingError, match="another sampler writes to"):
        sample(toy_model, "--prompt", PROMPT, "--out", tmp_path)
    assert sample(toy_model, "--prompt", PROMPT, "--out", tmp_path)


def test_an_output_that_cannot_be_written(toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SamplingError, match="cannot be written"):
        sample(toy_model, "--prompt", PROMPT, "--out", tmp_path / "file" / "deeper")


@pytest.mark.slow
def test_the_command_ends_with_one_line(tmp_path: Path) -> None:
    words = ["--model", str(tmp_path), "--prompt", "x", "--out", str(tmp_path / "o")]
    done = subprocess.run(
        [sys.executable, "-m", "finetune", "sample", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_in_the_middle_leaves_nothing_half_made(toy_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [
        "--model",
        toy_model,
        "--prompt",
        PROMPT,
        "--steps",
        1000,
        "--frames",
        64,
        "--out",
        out,
    ]
    running = subprocess.Popen(
        [sys.executable, "-m", "finetune", "sample", *map(str, words)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / ".sampling.lock").exists():  # it samples now
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(2)  # libraries that are imported at the first step may swallow a Ctrl-C
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 130
    assert "Traceback" not in errors
    assert [path.name for path in out.iterdir()] == [".sampling.lock"]
    assert sample(toy_model, "--prompt", PROMPT, "--out", out)


@contextmanager
def no_room() -> Iterator[None]:
    """The system cuts every file at 512 bytes, as if no more fitted; pytest's own report too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["mp4", "gif", "png", "npy"])
def test_a_full_disk_leaves_nothing_half_made(kind: str, toy_model: Path, tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match="make room, or name another --out"), no_room():
        sample(toy_model, "--prompt", PROMPT, "--out", tmp_path / "out", "--format", kind)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".sampling.lock"]


def test_of_frames_that_do_not_all_fit_none_is_left(
    pipeline: TextToVideoPipeline, tmp_path: Path
) -> None:
    """An even frame takes little room, one of noise takes more than there is."""
    noise = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8)
    frames = torch.cat([torch.zeros_like(noise), noise])
    with pytest.raises(SamplingError, match="make room"), no_room():
        write_sample(tmp_path / "out" / "x.png", frames, pipeline.request(prompt=PROMPT), {})
    assert not list((tmp_path / "out").iterdir())
    assert len(write_sample(tmp_path / "x.png", frames, pipeline.request(prompt=PROMPT), {})) == 2


def test_a_request_is_checked_wherever_it_is_made() -> None:
    with pytest.raises(SamplingError, match="guidance nan"):
        SampleRequest(prompt="x", guidance=float("nan"))
    with pytest.raises(SamplingError, match="fps 0"):
        SampleRequest(prompt="x", fps=0)
