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
from finetune.demo.limits import MAX_UPLOAD_BYTES, DemoLimits, check_prompt, uploaded_file
from finetune.errors import FinetuneError, SamplingError
from finetune.sampling.generate import StepCallback
from finetune.sampling.images import file_digest
from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.sampling.request import SampleRequest
from finetune.sampling.sample import sample_all

GALLERY_SIZE = 8
START_IMAGES = "start-images"  # of visitors, below the folder of samples; never served
STYLE = """
footer {display: none !important}
.gradio-container, .gradio-container main {max-width: 1100px !important; margin: 0 auto !important}
.grid-container {grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)) !important}
"""


class DemoApp:
    """Sample one pipeline for a page, one request at a time, into one folder.

    uploads: the folder of uploaded images; a request can name no other file.
    """

    def __init__(self, pipeline: TextToVideoPipeline, out: Path, uploads: Path) -> None:
        self.pipeline, self.out, self.uploads = pipeline, out, uploads
        self.limits = DemoLimits.of(pipeline)
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

        image: Gradio's description of an uploaded file. Raise SamplingError for anything that the
        page would not send.
        """
        upload = uploaded_file(image, self.uploads)
        request = self.pipeline.request(
            prompt=check_prompt(prompt),
            image=upload and str(upload),
            frames=self.limits.integer("frames", frames),
            height=self.limits.integer("height", height),
            width=self.limits.integer("width", width),
            steps=self.limits.integer("steps", steps),
            guidance=self.limits.number("guidance", guidance),
            seed=self.limits.integer("seed", seed),
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
        """Copy an uploaded image below the folder, so that its sidecar stays valid."""
        folder = self.out / START_IMAGES
        folder.mkdir(exist_ok=True)
        copy = folder / f"{file_digest(image)[:16]}{Path(image).suffix}"
        shutil.copyfile(image, copy)
        return str(copy)


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
    demo = DemoApp(pipeline, out, Path(gr.utils.get_upload_folder()))

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
        fields = [prompt, image, *_sampling_inputs(gr, pipeline, demo.limits)]
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


def _sampling_inputs(gr: Any, pipeline: TextToVideoPipeline, limits: DemoLimits) -> list[Any]:
    """Add the other settings, in the order of `DemoApp.generate`."""
    default = pipeline.request(prompt=DEFAULT_PROMPTS[0])
    grid = pipeline.generator.family.grid

    def slider(name: str, step: float) -> Any:
        value = getattr(default, name)
        return gr.Slider(*limits.ranges[name], value=value, step=step, label=name.capitalize())

    with gr.Row():
        frames = slider("frames", grid.frame_step)
        height = slider("height", grid.pixel_multiple)
        width = slider("width", grid.pixel_multiple)
    with gr.Row():
        steps = slider("steps", 1)
        guidance = slider("guidance", 0.5)
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
        blocked_paths=[str(out.resolve() / START_IMAGES)],
        css=STYLE,
        max_file_size=MAX_UPLOAD_BYTES,
        show_error=False,  # of others than ours (gr.Error): they name folders of the server
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
