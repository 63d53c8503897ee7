"""Fit the first rules of three detectors on `joint_rule.csv`, and measure them by film left out.

The newest rule of `layout` and `joint` is in `tone_rule`.

    python -m tests.benchmarks.joint_rule

The table holds the proposals in the films of `real_films.json` and in rendered tuning videos:
figures and labels, no frames. A film with many proposals weighs no more than one with MAX_WEIGHT.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import typer
from numpy.typing import NDArray

from brickfilm.detectors.base import logistic
from brickfilm.detectors.holds.confidence import MIN_DISSIMILARITY
from brickfilm.detectors.transnetv2.rule import DOUBT, Proposals, log_odds
from tests.benchmarks.films import LIST
from tests.benchmarks.scoring import Score
from tests.benchmarks.shots import KINDS

TABLE = Path(__file__).with_name("joint_rule.csv")
RIDGE = 0.2
"""Penalty of the squared weights: a few films must not make them large."""
MAX_WEIGHT = 12
ITERATIONS = 60
BINS = (0, 0.1, 0.3, 0.7, 0.9, 1)
"""Edges of the probabilities whose share of cuts is counted."""
Rule = Literal["holds", "layout", "joint"]
RULES: tuple[Rule, ...] = get_args(Rule)
Array = NDArray[Any]


@dataclass(frozen=True)
class Examples:
    """Proposals with their labels."""

    films: Array
    is_cut: Array
    proposals: Proposals

    @classmethod
    def read(cls, path: Path = TABLE) -> Examples:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        names = ("dissimilarity", "baseline", "layout_change", "network")
        columns = [np.array([float(row[name]) for row in rows], np.float32) for name in names]
        frames = np.array([int(row["frame"]) for row in rows])
        films = np.array([row["film"] for row in rows])
        is_cut = np.array([row["cut"] == "1" for row in rows])
        return cls(films, is_cut, Proposals(frames, *columns))

    @property
    def weights(self) -> Array:
        """Return the weight of each example: MAX_WEIGHT of a film's count at most in sum."""
        counts = Counter(self.films.tolist())
        return np.array([min(1.0, MAX_WEIGHT / counts[film]) for film in self.films.tolist()])

    def figures(self, rule: Rule) -> Array:
        """Return what a rule weighs: [n, 5] with the network, [n, 4] without, [n, 3] of holds."""
        figures = self.proposals.figures()
        if rule == "holds":
            return np.delete(figures, 2, axis=1)
        return np.c_[figures, log_odds(self.proposals.network)] if rule == "joint" else figures


def fit(figures: Array, is_cut: Array, weights: Array) -> Array:
    """Return the weights of a ridge logistic regression, by Newton's method."""
    penalty = np.diag([1e-6, *[RIDGE] * (figures.shape[1] - 1)])
    found = np.zeros(figures.shape[1])
    for _ in range(ITERATIONS):
        chance = 1 / (1 + np.exp(-figures @ found))
        curvature = weights * chance * (1 - chance) + 1e-9
        slope = figures.T @ (weights * (is_cut - chance)) - penalty @ found
        found += np.linalg.solve(figures.T @ (figures * curvature[:, None]) + penalty, slope)
    return found


def fitted_weights(examples: Examples, rule: Rule) -> list[float]:
    """Return a rule's weights, rounded as the product has them."""
    figures = examples.figures(rule)
    return [round(float(w), 3) for w in fit(figures, examples.is_cut, examples.weights)]


def left_out(examples: Examples, rule: Rule) -> Array:
    """Return each example's probability by a rule that was fitted without its film, [n]."""
    figures = examples.figures(rule)
    return by_the_others(examples.films, figures, examples.is_cut, examples.weights)


def by_the_others(films: Array, figures: Array, is_cut: Array, weights: Array) -> Array:
    """Return the probability of each row by a rule that was fitted on the other films, [n]."""
    found = np.zeros(len(figures))
    for film in dict.fromkeys(films.tolist()):
        others = films != film
        rule = fit(figures[others], is_cut[others], weights[others])
        found[~others] = logistic(figures[~others] @ rule)
    return found


def joint_left_out(examples: Examples) -> tuple[Array, int]:
    """Return the joint rule's probabilities by film left out, and the number of questions."""
    alone = left_out(examples, "layout")
    asked = (alone > DOUBT[0]) & (alone < DOUBT[1])
    return np.where(asked, left_out(examples, "joint"), alone), int(asked.sum())


def reliability(chance: Array, is_cut: Array) -> Iterator[tuple[str, int, float, float]]:
    """Yield bins of probability: their name, examples, mean probability and share of cuts."""
    for low, high in pairwise(BINS):
        inside = (chance >= low) & (chance < high if high < 1 else chance <= 1)
        if inside.any():
            means = float(chance[inside].mean()), float(is_cut[inside].mean())
            yield f"{low} to {high}", int(inside.sum()), *means


def score_of(examples: Examples, chance: Array, films: Mapping[str, Any]) -> Score:
    """Count over films of the list; cuts that are no proposals are missed."""
    yes = (chance > 0.5) & np.isin(examples.films, list(films))
    hits = int((yes & examples.is_cut).sum())
    cuts = sum(len(film["cuts"]) for film in films.values())
    return Score(hits, int(yes.sum()) - hits, cuts - hits)


def main() -> None:
    """Print the weights, and F1 on the real films, each by a rule that was fitted without it."""
    examples, films = Examples.read(), json.loads(LIST.read_text(encoding="utf-8"))
    joint, asked = joint_left_out(examples)
    layout, holds = left_out(examples, "layout"), left_out(examples, "holds")
    for name, chance in {"layout": layout, "joint": joint}.items():
        for kind in KINDS:
            alike = {film: about for film, about in films.items() if about["kind"] == kind}
            total = score_of(examples, chance, alike)
            print(f"{name}, {kind}: F1 {total.f1:.2f} ({total})")
    print(f"questions: {asked} of {len(examples.films)} proposals")
    for rule in RULES:
        print(f"weights of {rule}: {fitted_weights(examples, rule)}")
    proposed = examples.proposals.dissimilarity >= MIN_DISSIMILARITY
    for name, chance, among in (
        ("holds", holds, proposed),
        ("layout", layout, np.ones_like(proposed)),
        ("joint", joint, np.ones_like(proposed)),
    ):
        print(f"{name}: probability, proposals, mean probability, share of cuts")
        for bin_, count, mean, share in reliability(chance[among], examples.is_cut[among]):
            print(f"  {bin_:>10} {count:4d} {mean:.2f} {share:.2f}")


if __name__ == "__main__":
    typer.run(main)
