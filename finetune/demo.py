"""`python -m finetune.demo --model DIR_OR_ID`: a page that samples, and a Space to put it in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from finetune.errors import SamplingError
from finetune.model_card import template
from finetune.sample import command, sample_all
from finetune.samples.draw import OnStep
from finetune.samples.examples import PROMPTS
from finetune.samples.pipeline import Pipeline
from finetune.samples.request import Request

GALLERY = 8  # newest videos
LENGTHS = (1, 64)  # frames that the slider offers
SIDES = (16, 720)  # pixels
STYLE = "footer {display: none !important} .gradio-container {max-width: 1100px !important}"


class Studio:
    """One pipeline behind a page: a request at a time, each into a folder of its own."""

    def __init__(self, pipeline: Pipeline, out: Path) -> None:
        self.pipeline, self.out = pipeline, out
        self.made: list[tuple[str, str]] = []

    def make(
        self,
        prompt: str,
        image: str | None,
        frames: float,
        height: float,
        width: float,
        steps: float,
        guidance: float,
        seed: float,
        *,
        progress: Any,
    ) -> tuple[str, list[tuple[str, str]], str]:
        """The video, the gallery, and the same video's sidecar."""
        request = self.pipeline.request(
            prompt=prompt,
            image=image,
            frames=int(frames),
            height=int(height),
            width=int(width),
            steps=int(steps),
            guidance=float(guidance),
            seed=int(seed),
        )
        (file,) = sample_all(self.pipeline, [request], self.out, bar=_told_to(progress))
        self.made = [(str(file), prompt), *(m for m in self.made if m[0] != str(file))][:GALLERY]
        return str(file), self.made, str(file.with_suffix(".json"))


def _told_to(progress: Any) -> Any:
    """A bar in the page in place of one on the terminal."""

    @contextmanager
    def bar(request: Request) -> Iterator[OnStep]:
        done = 0

        def on_step() -> None:
            nonlocal done
            done += 1
            progress((done, request.steps), desc="sampling", unit="steps")

        yield on_step

    return bar


def build_page(pipeline: Pipeline, out: Path) -> Any:
    """The Gradio page; `.queue().launch()` serves it."""
    gr = _gradio()
    studio = Studio(pipeline, out)

    def generate(*fields: Any, progress: Any = gr.Progress()) -> Any:  # noqa: B008
        try:
            return studio.make(*fields, progress=progress)
        except SamplingError as error:
            raise gr.Error(str(error)) from error

    with gr.Blocks(title="brickfilm: text to video") as page:
        gr.Markdown(f"# Text to video\nModel: `{pipeline.source.name}`, on {pipeline.device.type}.")
        with gr.Row():
            with gr.Column():
                fields = _fields(gr, pipeline)
                button = gr.Button("Generate", variant="primary", elem_id="generate")
                gr.Examples([[prompt] for prompt in PROMPTS], [fields[0]], label="Examples")
            with gr.Column():
                video = gr.Video(label="Video", autoplay=True, loop=True, elem_id="video")
                sidecar = gr.File(label="Settings, to make it again")
                gallery = gr.Gallery(label="Made here", columns=4, height=220)
        asked = [button.click, fields[0].submit]
        for ask in asked:
            ask(generate, fields, [video, gallery, sidecar], concurrency_limit=1)
    return page


def _fields(gr: Any, pipeline: Pipeline) -> list[Any]:
    """What a person can say, in the order in which `Studio.make` takes it."""
    usual = pipeline.request(prompt=PROMPTS[0])
    prompt = gr.Textbox(label="Prompt", lines=3, placeholder="What is to be seen", elem_id="prompt")
    with gr.Accordion("A picture to start from", open=False):
        image = gr.Image(label="First frame", type="filepath")
    frames = gr.Slider(*LENGTHS, value=usual.frames, step=1, label="Frames")
    with gr.Row():
        height = gr.Slider(*SIDES, value=usual.height, step=8, label="Height")
        width = gr.Slider(*SIDES, value=usual.width, step=8, label="Width")
    with gr.Row():
        steps = gr.Slider(2, 250, value=usual.steps, step=1, label="Steps")
        guidance = gr.Slider(0, 15, value=usual.guidance, step=0.5, label="Guidance")
    seed = gr.Number(value=usual.seed, precision=0, label="Seed: the same seed, the same video")
    return [prompt, image, frames, height, width, steps, guidance, seed]


def serve(pipeline: Pipeline, out: Path, *, host: str, port: int | None) -> None:
    """Serve the page until interrupted; on loopback unless another host is named."""
    out.mkdir(parents=True, exist_ok=True)
    page = build_page(pipeline, out)
    page.queue(max_size=16).launch(
        server_name=host, server_port=port, allowed_paths=[str(out.resolve())], css=STYLE
    )


def export_space(folder: Path, model: str) -> None:
    """Write a Space: `app.py`, `requirements.txt` and `README.md`, runnable from that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    app = f'''"""A Space that samples {model}; python app.py runs it here as well."""

from pathlib import Path

from finetune.demo import serve
from finetune.samples import Pipeline

serve(Pipeline.from_pretrained({model!r}), Path("samples"), host="0.0.0.0", port=7860)
'''
    (folder / "app.py").write_text(app)
    (folder / "requirements.txt").write_text("brickfilm[finetune,demo]\n")
    card = template("space.md.jinja").replace("{{ model }}", model)
    (folder / "README.md").write_text(card)


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise SamplingError("the demo needs Gradio: pip install 'brickfilm[demo]'") from error
    return gradio


def main(
    model: Annotated[str, typer.Option(help="release, run, checkpoint or Hub id")],
    host: Annotated[str, typer.Option(help="0.0.0.0 shows it to the network")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="default: a free one from 7860")] = None,
    out: Annotated[Path | None, typer.Option(help="where videos are kept")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    space: Annotated[Path | None, typer.Option("--export-space", help="write a Space")] = None,
) -> None:
    """Serve a page that samples a model, or write it as a Space."""
    if space is not None:
        export_space(space, model)
        typer.echo(f"{space}: python app.py runs it; push the folder to a Space of yours")
        return
    pipeline = Pipeline.from_pretrained(model, device=device)
    folder = out or Path(tempfile.mkdtemp(prefix="brickfilm-demo-"))
    serve(pipeline, folder, host=host, port=port)


if __name__ == "__main__":
    command(main)
