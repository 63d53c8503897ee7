"""The dataset card: its content, its checks by the Hub, and values that nobody measured."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard

from brickfilm import GPT4oCaptioner
from brickfilm.build.plan_file import Plan
from brickfilm.captions.lint import RULES
from brickfilm.captions.prompts import load_prompt
from brickfilm.dataset.reader import SavedDataset, find_dataset
from brickfilm.engine.ledger import ItemResult, Ledger
from brickfilm.hub.publish.card import dataset_card, render_card, size_category
from brickfilm.hub.publish.provenance import BuildProvenance, load_provenance
from brickfilm.hub.publish.stats import DatasetStats, compute_stats
from brickfilm.records import EDITED_BY_HAND
from brickfilm.schema.cards import read_card_template
from brickfilm.stages import ClipWriter
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import toy_dataset


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedDataset:
    work = tmp_path_factory.mktemp("work")
    toy_dataset(work, videos=3, clips=2)
    rejected = ItemResult(
        position=1, stage="Keep", kind="clip", item="x", source_id="src0", status="rejected",
        reason="motion", seconds=12.5,
    )  # fmt: skip
    waiting = replace(rejected, status="waiting", reason="budget", item="y")
    with Ledger(work) as ledger:
        ledger.save_results([rejected, replace(rejected, item="z"), waiting])
        ledger.settle(ledger.reserve("Captioner", "p", "k", 0.5), {"cost": 0.25, "model": "gpt-4o"})
    Plan.from_stages([ClipWriter(crf=21)]).write(work)
    return find_dataset(work)


def stats(saved: SavedDataset) -> DatasetStats:
    frames = {config: saved.to_pandas(config) for config in saved.configs}
    return compute_stats(frames, load_provenance(saved), {})


def text(stats: DatasetStats, media: str = "embed") -> str:
    return render_card(stats, "maker/films", media=media, features={"clips": {}}).text


def test_the_hub_takes_it_and_its_yaml_says_what_is_inside(
    hub: HubServer, saved: SavedDataset
) -> None:
    page = dataset_card(saved, "maker/films", media="embed", sizes={("clips", "train"): 77})
    DatasetCard(page.text).validate(repo_type="dataset")
    head = yaml.safe_load(page.text.split("---")[1])
    assert head["license"] == "cc-by-4.0"
    assert head["task_categories"] == ["text-to-video"]
    assert head["size_categories"] == ["n<1K"]
    assert [(c["config_name"], c.get("default")) for c in head["configs"]] == [
        ("clips", True), ("images", None),
    ]  # fmt: skip
    clips = head["dataset_info"][0]
    assert clips["splits"][0] == {"name": "train", "num_bytes": 77, "num_examples": 4}
    assert {"name": "score_motion", "dtype": "float64"} in clips["features"]


def test_every_picture_it_shows_comes_with_it(saved: SavedDataset) -> None:
    page = dataset_card(saved, "maker/films", media="embed", sizes={})
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", page.text)
    assert sorted(shown) == sorted(name for name in page.files if name.startswith("figures/"))


def test_a_measure_that_is_the_same_for_every_clip_is_a_line_and_no_picture(
    saved: SavedDataset,
) -> None:
    frames = saved.to_pandas_by_config()
    frames["clips"]["num_frames"] = range(20, 26)
    page = render_card(
        compute_stats(frames, BuildProvenance(), {}), "a/b", media="embed", features={"clips": {}}
    )
    shown = {name for name in page.files if name.startswith("figures/")}
    assert shown == {"figures/num_frames.png", "figures/score_motion.png"}
    (line,) = [line for line in page.text.splitlines() if line.startswith("The same for every")]
    assert "`score_sharpness` 3." in line
    assert "`score_caption_repeats` 0," in line
    assert "num_frames" not in line


def test_it_tells_stages_rejections_cost_and_what_is_unfinished(saved: SavedDataset) -> None:
    card = text(stats(saved))
    assert "`ClipWriter(crf=21, preset='veryfast'" in card
    assert "| Keep | motion | 2 | 25.0 |" in card
    assert "| Captioner | gpt-4o | 1 | 0.25 |" in card
    assert "1 item waited" in card
    assert "| gpt-4o | `0123456789abcdef` | 6 |" in card


def test_what_nobody_measured_is_said_to_be_so(saved: SavedDataset) -> None:
    card = text(
        replace(
            stats(saved), provenance=BuildProvenance(), near_duplicates=None, caption_words=None
        )
    )
    assert "Stages and settings: not measured." in card
    assert "Tools: not measured." in card
    assert card.count("Not measured.") == 2  # rejections and cost
    assert "| mean number of words | not measured |" in card
    assert "None" not in card


def test_references_are_called_references(saved: SavedDataset) -> None:
    assert "holds references, not pictures" in text(stats(saved), "none")
    assert "brickfilm materialize maker/films" in text(stats(saved), "none")


def test_captions_are_held_to_their_rules(saved: SavedDataset) -> None:
    frames = {config: saved.to_pandas(config) for config in saved.configs}
    frames["clips"].loc[:2, "caption"] = "The video shows a man."
    audit = compute_stats(frames, BuildProvenance(), {}).caption_audit
    assert [share for rule, share in audit.items() if "do not mention the video" in rule] == [0.5]


def test_a_caption_is_held_to_the_rules_of_its_own_prompt(saved: SavedDataset) -> None:
    frames = {config: saved.to_pandas(config) for config in saved.configs}
    clips = frames["clips"]
    clips["caption"] = "The video shows a blocky minifigure. - Hey!"
    digests = [load_prompt("bricks").digest, load_prompt("general").structured().digest, "", ""]
    clips["prompt_digest"] = [*digests, load_prompt("bricks").digest, "0" * 16][: len(clips)]
    clips.loc[clips.index[4], "caption_model"] = EDITED_BY_HAND
    audit = compute_stats(frames, BuildProvenance(), {}).caption_audit
    shares = {name: audit.get(rule.remedy) for name, rule in RULES.items()}
    assert shares == {
        "medium": 1.0,  # of three: bricks, general and a prompt of one's own
        "stills": 0.0,
        "toy": 1.0,  # of one: bricks
        "sentences": 0.0,
        "hedging": 0.0,
        "leak": 0.0,
        "language": 0.0,
        "dialogue": 1.0,  # of three: two files and a person
    }
    clips["prompt_digest"] = load_prompt("general").digest
    clips["caption_model"] = "gpt-4o"
    general = compute_stats(frames, BuildProvenance(), {}).caption_audit
    assert {rule for rule in RULES if RULES[rule].remedy in general} == {
        *load_prompt("general").rules
    }


@pytest.mark.parametrize(
    ("caption", "language"),
    [
        ("A small figure walks along the street while a car drives past the houses.", ["en"]),
        ("Eine kleine Figur geht die Strasse entlang, und ein Auto faehrt vorbei.", None),
        ("", None),
    ],
)
def test_it_is_called_english_where_the_captions_are(
    saved: SavedDataset, caption: str, language: list[str] | None
) -> None:
    frames = {config: saved.to_pandas(config).assign(caption=caption) for config in saved.configs}
    card = text(compute_stats(frames, BuildProvenance(), {}))
    assert yaml.safe_load(card.split("---")[1]).get("language") == language


def test_the_facts_travel_so_that_a_card_can_be_written_again(saved: SavedDataset) -> None:
    page = dataset_card(saved, "maker/films", media="embed", sizes={})
    assert BuildProvenance(**json.loads(page.files["brickfilm.json"])) == load_provenance(saved)


def test_several_licences_are_other_and_told_one_by_one(tmp_path: Path) -> None:
    toy_dataset(tmp_path, videos=1, clips=1)
    frames = {"clips": find_dataset(tmp_path).to_pandas("clips")}
    more = frames["clips"].assign(licence="all rights reserved", id="x-1-2")
    import pandas as pd

    both = compute_stats({"clips": pd.concat([frames["clips"], more])}, BuildProvenance(), {})
    card = text(both)
    assert "license: other" in card
    assert "| all rights reserved | no | 1 | 1 | 0 |" in card


@pytest.mark.parametrize(
    ("rows", "word"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (24_000, "10K<n<100K"), (10**7, "1M<n<10M")],
)
def test_size_categories_are_the_hubs_words(rows: int, word: str) -> None:
    assert size_category(rows) == word


def test_the_template_is_found() -> None:
    assert "{{ card_data }}" in read_card_template("brickfilm", "dataset.md.jinja")


def test_a_card_tells_settings_that_matter_and_no_secrets() -> None:
    captioner = GPT4oCaptioner(proxy="http://me:secret@proxy", base_url="http://10.0.0.1/v1")
    (stage,) = Plan.from_stages([captioner]).stages
    assert "model='gpt-4o'" in stage.shown
    assert not {"secret", "10.0.0.1"} & set(
        f"{stage.shown}{stage.settings}".replace("@", "/").split("/")
    )
    assert "proxy" not in stage.settings
