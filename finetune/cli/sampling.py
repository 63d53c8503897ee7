"""Commands that sample a model: sample and demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.app import Device, ModelName, Weights, app, print_text


@app.command()
def sample(
    prompt: Annotated[str | None, typer.Option(help="text to sample from")] = None,
    model: ModelName = None,
    prompts: Annotated[Path | None, typer.Option(help="file: one per line, or .jsonl")] = None,
    again: Annotated[Path | None, typer.Option(help="a sample's .json, to repeat it")] = None,
    image: Annotated[Path | None, typer.Option(help="image for the first frame")] = None,
    last_image: Annotated[Path | None, typer.Option(help="image for the last frame")] = None,
    frames: Annotated[int | None, typer.Option(help="1: an image")] = None,
    size: Annotated[str | None, typer.Option(help="HxW in pixels, such as 360x640")] = None,
    fps: Annotated[float | None, typer.Option(help="frames per second")] = None,
    seed: Annotated[int | None, typer.Option(help="the same seed gives the same video")] = None,
    steps: Annotated[int | None, typer.Option(help="sampling steps")] = None,
    guidance: Annotated[float | None, typer.Option(help="classifier-free guidance scale")] = None,
    out: Annotated[Path, typer.Option(help="a folder, or one file")] = Path("samples"),
    kind: Annotated[str | None, typer.Option("--format", help="mp4, gif, png or npy")] = None,
    device: Device = "auto",
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="worth it for many samples")] = False,
    vae: Annotated[str | None, typer.Option(help="Hub id or folder")] = None,
    text_encoder: Annotated[str | None, typer.Option(help="Hub id or folder")] = None,
    revision: Annotated[str | None, typer.Option(help="revision of the model on the Hub")] = None,
    weights: Weights = None,
) -> None:
    """Sample a model: a prompt, a file of them, or a sample again."""
    from finetune.sampling.request import parse_size
    from finetune.sampling.sample import sample_lines

    height, width = parse_size(size) if size else (None, None)
    options = {
        "image": image and str(image),
        "last_image": last_image and str(last_image),
        "frames": frames,
        "height": height,
        "width": width,
        "fps": fps,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
    }
    lines = sample_lines(
        {name: value for name, value in options.items() if value is not None},
        prompt=prompt,
        prompts=prompts,
        again=again,
        model=model,
        out=out,
        kind=kind,
        device=device,
        precision=precision,
        revision=revision,
        weights=weights,
        loading={"vae": vae, "text_encoder": text_encoder, "compile": compile},
    )
    for line, is_note in lines:
        print_text(line, err=is_note)


@app.command()
def demo(
    model: Annotated[str, typer.Option(help="release, run, checkpoint or Hub id")],
    host: Annotated[str, typer.Option(help="0.0.0.0 opens it to the network")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="default: a free one from 7860")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for the videos")] = None,
    device: Device = "auto",
    space: Annotated[Path | None, typer.Option("--export-space", help="write a Space")] = None,
) -> None:
    """Serve a web page that samples a model; or write a Space."""
    if space is not None:
        from finetune.demo.space import export_space

        export_space(space, model)
        print_text(f"{space}: python app.py runs it; push the folder to a Space of yours")
        return
    from finetune.demo.app import serve_model

    serve_model(model, out, device=device, host=host, port=port)
