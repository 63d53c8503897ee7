"""Serve a web page that samples a model: `finetune demo --model DIR_OR_ID`."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune.config import DEFAULT_PROMPTS
from finetune.errors import FinetuneError, SamplingError
from finetune.sampling.generate import StepCallback
from finetune.sampling.images import file_digest
from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.sampling.request import SampleRequest
from finetune.sampling.sample import sample_all

GALLERY_SIZE = 8
MAX_FRAMES, MAX_SIDE = 64, 720  # of the sliders, unless the model's defaults are larger
STYLE = """
footer {display: none !important}
.gradio-container, .gradio-container main {max-width: 1100px !important; margin: 0 auto !important}
.grid-container {grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)) !important}
"""


class DemoApp:
    """Sample one pipeline for a page, one request at a time, into one folder."""

    def __init__(self, pipeline: TextToVideoPipeline, out: Path) -> None:
        self.pipeline, self.out = pipeline, out
        self.samples: list[tuple[str, str]] = []

    def generate(
        self,
        prompt: str,
        image: Mapping[str, Any] | None,
        frames: float | None,
        height: float | None,
        width: float | None,
        steps: float | None,
        guidance: float | None,
        seed: float | None,
        *,
        progress: Any,
    ) -> tuple[str, str, list[tuple[str, str]]]:
        """Return the video, its sidecar and the gallery; None uses the model's default.

        image: Gradio's description of an uploaded file.
        """
        request = self.pipeline.request(
            prompt=prompt,
            image=image and image["path"],
            frames=_to_int(frames),
            height=_to_int(height),
            width=_to_int(width),
            steps=_to_int(steps),
            guidance=guidance,
            seed=_to_int(seed),
        )
        self.pipeline.check(request)
        request = dataclasses.replace(
            request, image=request.image and self._keep_upload(request.image)
        )
        (file,) = sample_all(
            self.pipeline, [request], self.out, progress_bar=_gradio_progress(progress)
        )
        self.samples = [(str(file), prompt), *(m for m in self.samples if m[0] != str(file))][
            :GALLERY_SIZE
        ]
        return str(file), str(file.with_suffix(".json")), self.samples

    def _keep_upload(self, image: str) -> str:
        """Copy an uploaded image into the folder, so that its sidecar stays valid."""
        copy = self.out / f"{file_digest(image)[:16]}{Path(image).suffix}"
        shutil.copyfile(image, copy)
        return str(copy)


def _to_int(number: float | None) -> int | None:
    """Convert a field's number; None if the field is empty."""
    return None if number is None else int(number)


def _gradio_progress(progress: Any) -> Any:
    """Show progress on the page instead of the terminal."""

    @contextmanager
    def progress_bar(request: SampleRequest) -> Iterator[StepCallback]:
        completed = 0

        def on_step() -> None:
            nonlocal completed
            completed += 1
            progress((completed, request.steps), desc="sampling", unit="steps")

        yield on_step

    return progress_bar


def build_page(pipeline: TextToVideoPipeline, out: Path) -> Any:
    """Build the Gradio page; `.queue().launch()` serves it."""
    gr = _gradio()
    demo = DemoApp(pipeline, out)

    def generate(*fields: Any, progress: Any = gr.Progress()) -> Any:  # noqa: B008
        try:
            video, sidecar, samples = demo.generate(*fields, progress=progress)
        except FinetuneError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return video, gr.DownloadButton(value=sidecar, interactive=True), samples

    with gr.Blocks(title="brickfilm: text to video") as page:
        gr.Markdown(f"# Text to video\n`{pipeline.source.name}` on {pipeline.device.type}")
        with gr.Row():
            with gr.Column(scale=4):
                prompt, button, image = _prompt_inputs(gr)
            with gr.Column(scale=5):
                video = gr.Video(label="Video", autoplay=True, loop=True, elem_id="video")
                sidecar = gr.DownloadButton(
                    "Settings, to reproduce the video", size="sm", interactive=False
                )
        fields = [prompt, image, *_sampling_inputs(gr, pipeline)]
        gr.Examples([[text] for text in DEFAULT_PROMPTS], [prompt], label="Examples")
        gallery = gr.Gallery(label="Gallery", height="auto", fit_columns=False, elem_id="made")
        gr.on(
            [button.click, prompt.submit],
            generate,
            fields,
            [video, sidecar, gallery],
            show_progress_on=video,
            concurrency_limit=1,
            preprocess=False,  # images are read by `read_image`, whose errors name the file
        )
        page.load(lambda: demo.samples, None, gallery)
    return page


def _prompt_inputs(gr: Any) -> tuple[Any, Any, Any]:
    """Add the prompt, the button, and the first frame."""
    prompt = gr.Textbox(label="Prompt", lines=3, placeholder="Describe the video", elem_id="prompt")
    button = gr.Button("Generate", variant="primary", elem_id="generate")
    with gr.Accordion("Start image", open=False):
        image = gr.Image(label="First frame", height=220, elem_id="picture")
    return prompt, button, image


def _sampling_inputs(gr: Any, pipeline: TextToVideoPipeline) -> list[Any]:
    """Add the other settings, in the order of `DemoApp.generate`."""
    default = pipeline.request(prompt=DEFAULT_PROMPTS[0])
    grid, objective = pipeline.generator.family.grid, pipeline.generator.objective
    max_frames = grid.nearest_frames(max(MAX_FRAMES, default.frames))
    max_side = max(MAX_SIDE, default.height, default.width)
    sides = {"minimum": grid.min_side, "maximum": max_side, "step": grid.pixel_multiple}
    with gr.Row():
        frames = gr.Slider(
            grid.frame_offset,
            max_frames,
            value=default.frames,
            step=grid.frame_step,
            label="Frames",
        )
        height = gr.Slider(**sides, value=default.height, label="Height")
        width = gr.Slider(**sides, value=default.width, label="Width")
    with gr.Row():
        steps = gr.Slider(objective.min_steps, 250, value=default.steps, step=1, label="Steps")
        guidance = gr.Slider(0, 15, value=default.guidance, step=0.5, label="Guidance")
        seed = gr.Number(
            value=default.seed, precision=0, label="Seed: the same seed gives the same video"
        )
    return [frames, height, width, steps, guidance, seed]


def serve(
    pipeline: TextToVideoPipeline, out: Path, *, host: str | None = None, port: int | None = None
) -> None:
    """Serve the page until interrupted.

    host: default loopback, or Gradio's environment variable, as in a Space.
    """
    out.mkdir(parents=True, exist_ok=True)
    page = build_page(pipeline, out)
    page.queue(max_size=16).launch(
        server_name=host,
        server_port=port,
        allowed_paths=[str(out.resolve())],
        css=STYLE,
        show_error=True,
    )


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise SamplingError("the demo needs Gradio: pip install 'brickfilm[demo]'") from error
    return gradio


def serve_model(model: str, out: Path | None, *, device: str, host: str, port: int | None) -> None:
    """Load a model and serve its page; without `out`, videos go to a temporary folder."""
    pipeline = TextToVideoPipeline.from_pretrained(model, device=device)
    folder = out or Path(tempfile.mkdtemp(prefix="brickfilm-demo-"))
    serve(pipeline, folder, host=host, port=port)
