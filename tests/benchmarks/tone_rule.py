"""Fit the second and third rule of `layout` and `joint`, and measure them by film left out.

    python -m tests.benchmarks.tone_rule

The table, `tone_rule.csv`, holds the proposals in the films of `real_films.json`: figures and
labels, no frames. Both rules have the weights that are fitted on it. Rendered videos are not in it,
so that their grid tests the rule. All cuts weigh the same; a film with many other proposals weighs
no more than one with MAX_OTHERS.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from brickfilm.detectors.transnetv2.tone_rule import (
    StrictToneProposals,
    ToneProposals,
    likely_cuts,
)
from tests.benchmarks.films import LIST
from tests.benchmarks.joint_rule import by_the_others, fit, reliability
from tests.benchmarks.scoring import Score, pooled, score
from tests.benchmarks.shots import KINDS

TABLE = Path(__file__).with_name("tone_rule.csv")
MAX_OTHERS = 12
FIGURES = ("dissimilarity", "baseline", "layout_change", "tone_change", "network")
RULES: dict[int, type[ToneProposals]] = {2: ToneProposals, 3: StrictToneProposals}
"""The rules with these weights."""
Array = NDArray[Any]


@dataclass(frozen=True)
class LabelledProposals:
    """Proposals of all films, with their labels."""

    films: Array
    is_cut: Array
    proposals: ToneProposals

    @classmethod
    def read(cls, path: Path = TABLE, *, rule: int = 3) -> LabelledProposals:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        columns = [np.array([float(row[name]) for row in rows], np.float32) for name in FIGURES]
        frames = np.array([int(row["frame"]) for row in rows])
        films = np.array([row["film"] for row in rows])
        is_cut = np.array([row["cut"] == "1" for row in rows])
        return cls(films, is_cut, RULES[rule](frames, *columns))

    def with_network(self, alone: Array) -> Array:
        """Return the probabilities with the network's votes, given those without it."""
        found = np.array(alone)
        for film in dict.fromkeys(self.films.tolist()):
            mine = self.films == film
            found[mine] = self.of_film(film).with_network(alone[mine])
        return found

    def of_film(self, film: str) -> ToneProposals:
        """Return the proposals of one film."""
        mine, kind = self.films == film, type(self.proposals)
        return kind(*(getattr(self.proposals, f.name)[mine] for f in fields(kind)))

    @property
    def weights(self) -> Array:
        """Return the weight of each proposal, at most 1."""
        others = Counter(self.films[~self.is_cut].tolist())
        by_film = [min(1.0, MAX_OTHERS / max(others[film], 1)) for film in self.films.tolist()]
        return np.where(self.is_cut, 1.0, by_film)


def fitted_weights(labelled: LabelledProposals) -> list[float]:
    """Return the rule's weights, rounded as the product has them."""
    found = fit(labelled.proposals.figures(), labelled.is_cut, labelled.weights)
    return [round(float(weight), 3) for weight in found]


def left_out(labelled: LabelledProposals, *, asks_network: bool) -> Array:
    """Return each proposal's probability by a rule that was fitted without its film, [n]."""
    figures = labelled.proposals.figures()
    weighed = by_the_others(labelled.films, figures, labelled.is_cut, labelled.weights)
    alone = labelled.proposals.limited(weighed)
    return labelled.with_network(alone) if asks_network else alone


def score_by_film(
    labelled: LabelledProposals, chance: Array, films: dict[str, Any]
) -> dict[str, Score]:
    """Return the counts of each film of the list at tolerance 1, given probabilities."""
    found = {}
    for name, labels in films.items():
        mine = labelled.films == name
        cuts = likely_cuts(labelled.proposals.frames[mine], chance[mine])
        found[name] = score(cuts, labels["cuts"], labels["ignore"], 1)
    return found


def main() -> None:
    """Print the weights, and F1 on the real films, each by a rule that was fitted without it."""
    films = json.loads(LIST.read_text(encoding="utf-8"))
    for rule in RULES:
        labelled = LabelledProposals.read(rule=rule)
        for name, asks in (("layout", False), ("joint", True)):
            print_scores(
                f"{name}, rule {rule}", labelled, left_out(labelled, asks_network=asks), films
            )
        print(f"questions: {sum(len(labelled.of_film(film).doubtful()) for film in films)}")
    print(f"weights: {fitted_weights(labelled)}")


def print_scores(
    name: str, labelled: LabelledProposals, chance: Array, films: dict[str, Any]
) -> None:
    """Print F1 by kind, the films with errors, and how often probabilities are right."""
    by_film = score_by_film(labelled, chance, films)
    for kind in KINDS:
        total = pooled(by_film[film] for film, about in films.items() if about["kind"] == kind)
        print(f"{name}, {kind}: F1 {total.f1:.2f} ({total})")
    wrong = {film: found for film, found in by_film.items() if found.fp or found.fn}
    print(*(f"  {film}: {found}" for film, found in wrong.items()), sep="\n")
    print(f"{name}: probability, proposals, mean probability, share of cuts")
    for bin_, count, mean, share in reliability(chance, labelled.is_cut):
        print(f"  {bin_:>10} {count:4d} {mean:.2f} {share:.2f}")


if __name__ == "__main__":
    typer.run(main)
