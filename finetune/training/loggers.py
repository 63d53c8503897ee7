"""Log a run's metrics and videos.

`metrics.jsonl` in the run's folder is always written; beside it the logger that the recipe names,
and a progress bar on a terminal. wandb, trackio and tensorboard are imported here alone.
"""

from __future__ import annotations

import json
import logging
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from brickfilm.files import atomic_write, parse_json
from finetune.config import Recipe
from finetune.data.gif import write_gif
from finetune.errors import ConfigError
from finetune.progress import Heartbeat, format_seconds

LOG_FILE = "log.txt"
LINE_SECONDS = 10
TRACKER_ID_FILE = "tracker-id.txt"
Values = Mapping[str, float]


class LoggedVideo(NamedTuple):
    """A sampled video: its file and its frames."""

    file: Path
    frames: Tensor  # [T, 3, H, W] uint8
    fps: float


Videos = Mapping[str, LoggedVideo]


class Logger(Protocol):
    """Logs the metrics of a step, and videos by name."""

    def log(self, step: int, values: Values, videos: Videos | None = None) -> None: ...

    def close(self) -> None: ...


class NoLogger:
    """Logs nothing: for ranks other than 0, and for `log.to = "none"`."""

    def log(self, step: int, values: Values, videos: Videos | None = None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def read_metrics(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a run's `metrics.jsonl`; none if there is no file."""
    for line in file.read_text(errors="replace").splitlines() if file.exists() else ():
        with suppress(ValueError):
            values = parse_json(line)
            if isinstance(values, dict) and isinstance(values.get("step"), int):  # parts may parse
                yield values


class JsonLinesLogger:
    """Writes one line per step to `metrics.jsonl`.

    First it deletes the lines of steps that a resumed run repeats, and lines that a kill or a full
    disk left incomplete.
    """

    def __init__(self, out: Path, last_step: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        file = out / "metrics.jsonl"
        kept = [json.dumps(line) for line in read_metrics(file) if line["step"] <= last_step]
        with atomic_write(file) as stream:
            stream.write("".join(f"{line}\n" for line in kept).encode())
        self._file = file.open("a")

    def log(self, step: int, values: Values, videos: Videos | None = None) -> None:
        paths = {name: str(video.file) for name, video in (videos or {}).items()}
        self._file.write(json.dumps({"step": step, **values, **paths}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoardLogger:
    """Writes event files to the run's folder, videos as GIFs, the only kind that TensorBoard shows.

    SummaryWriter's own `add_video` would need another package (moviepy) for that.
    """

    def __init__(self, out: Path, last_step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(
            out / "tensorboard", purge_step=last_step + 1 if last_step else None
        )
        self._summary: Any = Summary

    def log(self, step: int, values: Values, videos: Videos | None = None) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        for name, video in (videos or {}).items():
            self._writer.file_writer.add_summary(self._gif_summary(name, video), step)

    def _gif_summary(self, name: str, video: LoggedVideo) -> Any:
        encoded = BytesIO()
        write_gif(encoded, video.frames, video.fps)
        _, channels, height, width = video.frames.shape
        image = self._summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=encoded.getvalue(),
        )
        return self._summary(value=[self._summary.Value(tag=name, image=image)])

    def close(self) -> None:
        self._writer.close()


class WandbLogger:
    """Logs to wandb, or to trackio, which has the same functions; a resumed run goes on there.

    identity: arguments that name the run at the tracker.
    """

    def __init__(self, module: Any, recipe: Recipe, identity: Mapping[str, str]) -> None:
        self._module = module
        project, config = recipe.log.project, recipe.as_dict()
        self._run = module.init(project=project, config=config, **identity)

    def log(self, step: int, values: Values, videos: Videos | None = None) -> None:
        make = self._module.Video
        media = {name: make(str(video.file)) for name, video in (videos or {}).items()}
        self._module.log({**values, **media}, step=step)

    def close(self) -> None:
        self._module.finish()


class ProgressBarLogger:
    """Shows a progress bar with loss and speed, only on a terminal."""

    def __init__(self, steps: int, last_step: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Left

        columns = (BarColumn(), MofNCompleteColumn(), Left(), TextColumn("{task.description}"))
        self._progress = Progress(*columns)
        self._task = self._progress.add_task("", total=steps, completed=last_step)
        if self._progress.console.is_terminal:
            self._progress.start()

    def log(self, step: int, values: Values, videos: Videos | None = None) -> None:
        if "loss" in values:
            text = f"loss {values['loss']:.4f}  {values['clips_s']:.2f} clips/s"
            self._progress.update(self._task, completed=step, description=text)

    def close(self) -> None:
        self._progress.stop()


class LineLogger:
    """Writes plain lines to `log.txt`: step, loss, speed, time left, and this package's warnings.

    There is a line at the first and the last step, else every ten seconds, and one after half a
    minute of silence. Without a terminal they go to standard error too, warnings always.
    """

    def __init__(self, out: Path, steps: int, last_step: int) -> None:
        self._file = (out / LOG_FILE).open("a", encoding="utf-8", errors="replace")
        self._steps, self._first_step = steps, last_step
        self._begin = self._written = time.monotonic()
        self._pending, self._is_first = "", True
        in_file = logging.StreamHandler(self._file)
        in_file.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self._handlers: list[logging.Handler] = [in_file]
        if logging.lastResort and not logging.getLogger().handlers:
            self._handlers.append(logging.lastResort)  # which a logger with a handler leaves out
        for handler in self._handlers:
            logging.getLogger("finetune").addHandler(handler)
        self._heartbeat = Heartbeat(self._write_silence)

    def log(self, step: int, values: Values, videos: Videos | None = None) -> None:
        if "loss" not in values:
            return
        now = time.monotonic()
        seconds_a_step = (now - self._begin) / max(1, step - self._first_step)
        left = format_seconds(seconds_a_step * (self._steps - step))
        self._pending = (
            f"step {step:,} of {self._steps:,}  loss {values['loss']:.4f}  "
            f"{values['clips_s']:.2f} clips/s  {left} left"
        )
        if self._is_first or now - self._written >= LINE_SECONDS:
            self._write_pending()
        self._heartbeat.beat()

    def _write_pending(self) -> None:
        if self._pending:
            self._write(self._pending)
        self._pending, self._is_first, self._written = "", False, time.monotonic()

    def _write_silence(self) -> None:
        self._write("still at work: a step, a validation or a checkpoint takes long")

    def _write(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}\n"
        self._file.write(line)
        self._file.flush()
        if not sys.stderr.isatty():
            sys.stderr.write(line)
            sys.stderr.flush()

    def close(self) -> None:
        self._heartbeat.end()
        self._write_pending()
        for handler in self._handlers:
            logging.getLogger("finetune").removeHandler(handler)
        self._file.close()


class CompositeLogger:
    """Several loggers as one."""

    def __init__(self, *loggers: Logger) -> None:
        self._loggers = loggers

    def log(self, step: int, values: Values, videos: Videos | None = None) -> None:
        for logger in self._loggers:
            logger.log(step, values, videos)

    def close(self) -> None:
        for logger in self._loggers:
            logger.close()


def _tracker_id(out: Path, last_step: int) -> str:
    """Return the id of this run at a tracker, the one that it began with if it is resumed."""
    file = out / TRACKER_ID_FILE
    if not (last_step and file.is_file()):
        with atomic_write(file) as stream:
            stream.write(secrets.token_hex(4).encode())
    return file.read_text()


def open_logger(recipe: Recipe, last_step: int) -> Logger:
    """Open the recipe's loggers for a run that continues after `last_step` (0: a new run)."""
    out = Path(recipe.out)
    return CompositeLogger(
        JsonLinesLogger(out, last_step),
        ProgressBarLogger(recipe.steps, last_step),
        _configured_logger(recipe, out, last_step),
        LineLogger(out, recipe.steps, last_step),  # last: it starts a thread
    )


def _configured_logger(recipe: Recipe, out: Path, last_step: int) -> Logger:
    """Open the logger that `log.to` names."""
    try:
        if recipe.log.to == "tensorboard":
            return TensorBoardLogger(out, last_step)
        if recipe.log.to == "wandb":
            import wandb

            identity = {"name": out.name, "id": _tracker_id(out, last_step), "resume": "allow"}
            return WandbLogger(wandb, recipe, identity)
        if recipe.log.to == "trackio":
            import trackio

            name = f"{out.name}-{_tracker_id(out, last_step)}"  # trackio knows a run by its name
            return WandbLogger(trackio, recipe, {"name": name, "resume": "allow"})
    except ImportError as error:
        raise ConfigError(
            f"log.to = {recipe.log.to!r}, but {error}: install it, or choose another logger"
        ) from error
    return NoLogger()
