"""Compare what all trainers would use of a dataset, as a Markdown table."""

from __future__ import annotations

from brickfilm.dataset.reader import SavedDataset
from brickfilm.export.base import ExportSettings, plan_export
from brickfilm.export.formats import FORMATS
from brickfilm.export.make_exporter import make_exporter
from brickfilm.export.prediction import ExportForecast

HEADER = ("trainer", "model", "clips", "seconds", "frames a clip", "speed", "drawings lost")


def comparison_table(dataset: SavedDataset, settings: ExportSettings) -> str:
    """Return a Markdown table: for each trainer, and its first model, the totals of a forecast."""
    rows = [HEADER, tuple("---" for _ in HEADER)]
    for name in FORMATS:
        exporter = make_exporter(name, size=settings.recut.size)
        forecast = plan_export(dataset, exporter, settings).forecast
        model = "-" if exporter.takes_any_model else exporter.target.model.name
        rows.append((name, model, *_totals(forecast)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _totals(forecast: ExportForecast) -> tuple[str, ...]:
    lengths = sorted({group.frames for group in forecast.groups})
    speeds = sorted(forecast.speeds)
    return (
        f"{forecast.clips} of {forecast.all_clips}",
        f"{forecast.seconds_seen:.1f} of {forecast.seconds:.1f}",
        _span([str(length) for length in lengths]),
        _span([f"{speed:g}" for speed in speeds]),
        f"{forecast.drawings_lost} of {forecast.drawings}",
    )


def _span(values: list[str]) -> str:
    """Return 'a', 'a to b' or '-' for sorted values."""
    if not values:
        return "-"
    return values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"
