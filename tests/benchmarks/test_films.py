"""The list of real films, the check of a folder, and the rule that was fitted on them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import typer

from brickfilm.detectors.holds import confidence
from brickfilm.detectors.transnetv2 import tone_rule as rule_of_product
from brickfilm.detectors.transnetv2.rule import WEIGHTS, WEIGHTS_WITHOUT_NETWORK
from tests.benchmarks import tone_rule
from tests.benchmarks.films import HELD_OUT, LIST, main
from tests.benchmarks.joint_rule import (
    Examples,
    fitted_weights,
    joint_left_out,
    left_out,
    reliability,
    score_of,
)
from tests.benchmarks.scoring import Score, pooled
from tests.benchmarks.shots import KINDS


def test_each_missing_or_changed_film_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    (tmp_path / "b.mp4").write_bytes(b"another")
    digest = hashlib.sha256(b"film").hexdigest()
    labels = {"source": "some/where 123abc video/x y.mp4", "sha256": digest, "cuts": [3]}
    truth = tmp_path / "films.json"
    truth.write_text(json.dumps(dict.fromkeys(("a.mp4", "b.mp4", "c.mp4"), labels)))
    with pytest.raises(typer.Exit) as left:
        main(tmp_path, truth)
    assert left.value.exit_code == 1
    changed, missing, count = capsys.readouterr().out.splitlines()
    assert changed.startswith("b.mp4: another file, sha256 ")
    assert missing == "c.mp4: missing; it is 'video/x y.mp4' of some/where at 123abc"
    assert count == "1 of 3 films, 3 cuts"


def test_no_film_of_the_list_is_in_the_one_held_out() -> None:
    fitted, held_out = (json.loads(p.read_text(encoding="utf-8")) for p in (LIST, HELD_OUT))
    assert not fitted.keys() & held_out.keys()
    assert not {f["sha256"] for f in fitted.values()} & {f["sha256"] for f in held_out.values()}


@pytest.mark.parametrize("path", [LIST, HELD_OUT])
def test_a_list_is_a_truth_of_the_shots_benchmark(path: Path) -> None:
    films = json.loads(path.read_text(encoding="utf-8"))
    for name, film in films.items():
        assert film["kind"] in KINDS, name
        assert film["cuts"] == sorted(set(film["cuts"])), name
        assert all(0 < cut < film["frames"] for cut in film["cuts"]), name
        assert not set(film["cuts"]) & set(film["ignore"]) or name == "monk_clock.mp4", name


def test_the_rule_is_the_one_fitted_on_the_table() -> None:
    examples = Examples.read()
    assert tuple(fitted_weights(examples, "layout")) == WEIGHTS_WITHOUT_NETWORK
    assert tuple(fitted_weights(examples, "joint")) == WEIGHTS
    assert tuple(fitted_weights(examples, "holds")) == confidence.WEIGHTS


def test_probabilities_are_the_share_of_cuts_in_films_that_were_left_out() -> None:
    examples = Examples.read()
    joint, _ = joint_left_out(examples)
    for chance in (joint, *(left_out(examples, rule) for rule in ("layout", "holds"))):
        bins = list(reliability(chance, examples.is_cut))
        assert sum(count for _, count, *_ in bins) == len(examples.films)
        errors = [(count, abs(mean - share)) for _, count, mean, share in bins]
        assert sum(n * error for n, error in errors) / len(examples.films) < 0.05
        assert all(error < 0.1 for n, error in errors if n > 24)


def test_a_film_left_out_is_judged_by_the_others() -> None:
    examples = Examples.read()
    chance, asked = joint_left_out(examples)
    assert 0 < asked < len(chance) / 4
    films = json.loads(LIST.read_text(encoding="utf-8"))
    stop_motion = {name: film for name, film in films.items() if film["kind"] == "stop-motion"}
    ordinary = {name: film for name, film in films.items() if film["kind"] == "ordinary"}
    assert score_of(examples, chance, stop_motion) == Score(tp=33, fp=4, fn=6)
    assert score_of(examples, chance, ordinary) == Score(tp=13, fp=0, fn=7)


def test_the_second_and_third_rule_have_weights_fitted_on_their_table() -> None:
    labelled = tone_rule.LabelledProposals.read()
    assert tuple(tone_rule.fitted_weights(labelled)) == rule_of_product.WEIGHTS


@pytest.mark.parametrize("rule", tone_rule.RULES)
@pytest.mark.parametrize(
    ("asks_network", "ordinary"), [(False, Score(13, 0, 7)), (True, Score(14, 0, 6))]
)
def test_a_rule_by_film_left_out(rule: int, asks_network: bool, ordinary: Score) -> None:
    labelled = tone_rule.LabelledProposals.read(rule=rule)
    films = json.loads(LIST.read_text(encoding="utf-8"))
    chance = tone_rule.left_out(labelled, asks_network=asks_network)
    found = tone_rule.score_by_film(labelled, chance, films)
    by_kind = {
        kind: pooled(found[name] for name, film in films.items() if film["kind"] == kind)
        for kind in KINDS
    }
    assert by_kind == {"stop-motion": Score(38, 5, 1), "ordinary": ordinary}
    assert max(score.fp for score in found.values()) == 3
    errors = [
        (count, abs(mean - share)) for _, count, mean, share in reliability(chance, labelled.is_cut)
    ]
    assert sum(n * error for n, error in errors) / len(chance) < 0.1
    assert all(error < 0.1 for n, error in errors if n > 24)
