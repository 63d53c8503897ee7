"""Find the rate and length at which a trainer would use more of a dataset, by trying them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from statistics import median_low

from brickfilm.errors import UsageError
from brickfilm.export.base import ExportPlan, ExportSettings, predict_rows
from brickfilm.export.prediction import ExportForecast
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat
from brickfilm.schema.frame_sampling import modal_hold

MAX_TRIED_ROWS = 200
"""Rows on which rates are tried: enough for a choice, and a second or two for any dataset."""
MIN_GAIN = 0.05
"""Share by which a choice must be better to be worth a line."""


def advise(plan: ExportPlan) -> list[str]:
    """Return a line with the rate and length at which the trainer would use more, or none.

    What was asked for already is not questioned.
    """
    rows = [row for row in plan.rows if not row.is_image]
    if not rows or not isinstance(plan.exporter, TrainerFormat):
        return []
    sample = rows[:: max(1, len(rows) // MAX_TRIED_ROWS)]
    trial = _Trial(plan.exporter, plan.settings, sample)
    now, tried = trial.forecast(), {options: f for options, f in trial.choices() if f.clips}
    best = min(tried, key=lambda choice: (_harm(tried[choice]), len(choice)), default=None)
    if best is None or _harm(tried[best]) > _harm(now) - MIN_GAIN:
        return []
    return [f"export with {best}: {'; '.join(_gains(now, tried[best]))}"]


@dataclass(frozen=True)
class _Trial:
    """An exporter, the choices made so far, and the rows on which others are tried."""

    exporter: TrainerFormat
    settings: ExportSettings
    rows: Sequence[ExportRow]

    def forecast(self) -> ExportForecast:
        predictions = predict_rows(self.rows, self.exporter, self.settings)
        return ExportForecast.from_predictions(predictions)

    def choices(self) -> Iterator[tuple[str, ExportForecast]]:
        """Yield the options of each other rate and length, and the forecast with them."""
        for rate, frames in product((None, *self._rates()), (None, *self._lengths())):
            trial = self._at(rate, frames)
            options = [f"--fps {rate}"] * bool(rate) + [f"--frames {frames}"] * bool(frames)
            if options and trial:
                yield " ".join(options), trial.forecast()

    def _at(self, rate: Fraction | None, frames: int | None) -> _Trial | None:
        """Return the trial with other choices, or None for a length that the trainer changes."""
        exporter, recut = self.exporter, self.settings.recut
        if frames:
            target = replace(exporter.target, lengths=(frames,), frames=frames)
            exporter = replace(exporter, target=target)
        try:
            exporter.check(self.rows)
        except UsageError:
            return None
        recut = replace(recut, fps=rate or recut.fps)
        return _Trial(exporter, replace(self.settings, recut=recut), self.rows)

    def _rates(self) -> list[Fraction]:
        """Return the model's rate and that of the drawings, unless they are above the clips'."""
        if self.settings.recut.fps:
            return []
        fastest = max(row.fps for row in self.rows if row.fps)
        drawn = [r.fps / modal_hold(r.drawings) for r in self.rows if r.fps and r.drawings]
        rates = {Fraction(self.exporter.target.model.fps), *([median_low(drawn)] if drawn else [])}
        return sorted(rate for rate in rates if rate <= fastest)

    def _lengths(self) -> Sequence[int]:
        return () if self.settings.cut_frames else self.exporter.target.model.lengths


def _gains(now: ExportForecast, then: ExportForecast) -> Iterator[str]:
    """Yield what is better."""
    if _lost_share(then) < _lost_share(now):
        yield f"{_lost_share(then):.0%} of drawings are lost, not {_lost_share(now):.0%}"
    if then.changed_speed < now.changed_speed:
        yield f"{then.changed_speed} clips change their speed, not {now.changed_speed}"
    if then.seconds_seen > now.seconds_seen:
        used = f"{then.clips} clips and {then.seconds_seen:.1f} s are used"
        yield f"{used}, not {now.clips} and {now.seconds_seen:.1f}"


def _harm(forecast: ExportForecast) -> float:
    """Return the sum of the shares of drawings lost, clips at another speed, and time not used."""
    unused = 1 - forecast.seconds_seen / forecast.seconds if forecast.seconds else 1.0
    changed = forecast.changed_speed / forecast.clips if forecast.clips else 0.0
    return round(_lost_share(forecast) + changed + unused, 2)


def _lost_share(forecast: ExportForecast) -> float:
    return forecast.drawings_lost / forecast.drawings if forecast.drawings else 0.0
