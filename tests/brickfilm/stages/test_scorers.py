"""Clips are embedded and scored in a build by a tiny CLIP with random weights."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from brickfilm import AestheticScorer, ClipTextScorer, Keep, SidecarCaptioner, StillEmbedder
from brickfilm.build.build_dataset import BuildResult
from brickfilm.build.keep_options import with_keeps
from brickfilm.build.recipe import DatasetRecipe
from brickfilm.build.score_options import with_scorers
from brickfilm.dataset.semantic_duplicates import SAME_MEANING_COSINE
from brickfilm.embeddings.aesthetic_head import read_head
from brickfilm.embeddings.clip_model import image_encoder, text_encoder
from brickfilm.engine.ledger import answers_frame
from brickfilm.engine.pipeline import Pipeline
from brickfilm.errors import UsageError, WiringError
from brickfilm.measures import Motion
from brickfilm.sources import FolderSource
from brickfilm.stages import FrameSampler, SceneSplitter
from tests.kit import ROOT
from tests.kit.small_build import built, two_shots
from tests.kit.tiny_clip import DIMENSIONS, write_tiny_clip

pytestmark = pytest.mark.slow  # importing CLIP takes seconds
torch = pytest.importorskip("torch")
TEXT = "a small square moves"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a captioned film, a CLIP and a head."""
    folder = tmp_path_factory.mktemp("scores")
    write_tiny_clip(folder / "model")
    torch.manual_seed(2)
    torch.save(torch.nn.Linear(DIMENSIONS, 1).state_dict(), folder / "head.pth")
    two_shots(folder / "film.mp4", size=(64, 48))
    cues = [{"start": 0, "end": 5, "text": TEXT}]
    (folder / "film.json").write_text(json.dumps(cues))
    return folder


def scored(place: Path, work: Path, *more: Keep) -> BuildResult:
    return built(
        place / "film.mp4",
        work,
        StillEmbedder(model=str(place / "model"), device="cpu"),
        AestheticScorer(head=place / "head.pth"),
        *more,
        SidecarCaptioner(),
        ClipTextScorer(device="cpu"),
    )


def test_scores_are_those_of_the_stills_and_the_caption(place: Path, tmp_path: Path) -> None:
    from PIL import Image

    rows = list(scored(place, tmp_path).dataset["clips"]["train"].remove_columns("video"))
    assert len(rows) == 2
    embed, head = image_encoder(str(place / "model"), "cpu"), read_head(place / "head.pth")
    (text,) = text_encoder(str(place / "model"), "cpu")([TEXT])
    for row in rows:
        last = row["num_frames"] - 1
        frames = [row["start_frame"] + round(p * last) for p in (0.2, 0.5, 0.8)]
        stills = [next(tmp_path.glob(f"stills/{row['id']}-f{n:06d}-*.jpg")) for n in frames]
        vectors = embed([Image.open(still).convert("RGB") for still in stills])
        file = next(tmp_path.glob(f"embeddings/{row['id']}-*.npy"))
        np.testing.assert_allclose(np.load(file), vectors.mean(axis=0), atol=1e-6)
        expected = np.mean([head.score(vector) for vector in vectors])
        assert row["score_aesthetic"] == pytest.approx(expected, abs=1e-3)
        assert row["score_clip_text"] == pytest.approx(np.mean(vectors @ text), abs=1e-3)
    means = [np.load(next(tmp_path.glob(f"embeddings/{row['id']}-*.npy"))) for row in rows]
    cosine = float(means[0] @ means[1]) / np.prod([np.linalg.norm(mean) for mean in means])
    groups = {row["near_duplicate_group"] for row in rows}
    assert len(groups) == (1 if cosine >= SAME_MEANING_COSINE else 2)
    limit = float(np.mean([row["score_aesthetic"] for row in rows]))
    kept = scored(place, tmp_path, Keep("aesthetic", at_least=limit)).dataset["clips"]["train"]
    assert [row["id"] for row in kept] == [r["id"] for r in rows if r["score_aesthetic"] >= limit]


def test_a_rerun_computes_nothing_and_a_damaged_file_anew(place: Path, tmp_path: Path) -> None:
    first = scored(place, tmp_path)
    answers = len(answers_frame(tmp_path))
    files = sorted(tmp_path.glob("embeddings/*.npy"))
    before = [(file.read_bytes(), file.stat().st_ino) for file in files]
    scored(place, tmp_path)
    assert [(file.read_bytes(), file.stat().st_ino) for file in files] == before
    assert len(answers_frame(tmp_path)) == answers
    files[0].unlink()
    again = scored(place, tmp_path)
    assert files[0].read_bytes() == before[0][0]
    columns = ["id", "score_aesthetic", "score_clip_text"]
    tables = [r.dataset["clips"]["train"].select_columns(columns).to_list() for r in (first, again)]
    assert tables[0] == tables[1]


def test_the_scorer_of_the_page_scores(place: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/write-a-measure.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(# likeness\.py\n.*?)```", page, re.DOTALL)
    assert code
    module = ModuleType("likeness")
    sys.modules["likeness"] = module
    exec(code[1], vars(module))
    embedder = StillEmbedder(model=str(place / "model"), device="cpu")
    result = built(place / "film.mp4", tmp_path, embedder, module.Likeness(words=TEXT))
    (text,) = text_encoder(str(place / "model"), "cpu")([TEXT])
    for row in result.dataset["clips"]["train"].remove_columns("video"):
        vector = np.load(next(tmp_path.glob(f"embeddings/{row['id']}-*.npy")))
        assert row["score_likeness"] == pytest.approx(float(vector @ text), abs=1e-5)


def test_options_put_scorers_behind_stills_and_conditions_behind_scorers(place: Path) -> None:
    recipe = DatasetRecipe(
        FolderSource(place), (SceneSplitter(), FrameSampler(), SidecarCaptioner())
    )
    scored = with_scorers(recipe, "some/model", place / "head.pth")
    stages = with_keeps(scored, ["aesthetic>=4", "motion>=0.1"], with_blank=True).stages
    assert [stage.name for stage in stages] == [
        *("SceneSplitter", "Keep", "FrameSampler", "StillEmbedder", "AestheticScorer", "Keep"),
        *("SidecarCaptioner", "ClipTextScorer"),
    ]
    assert stages[5] == Keep("aesthetic", 4) and stages[3].model == "some/model"
    assert with_scorers(recipe, None, None) is recipe
    with pytest.raises(UsageError, match="no FrameSampler"):
        with_scorers(DatasetRecipe(recipe.source, (SceneSplitter(),)), "some/model", None)


def test_wiring_and_a_missing_head_are_named_before_anything_runs(place: Path) -> None:
    source = FolderSource(place)
    with pytest.raises(WiringError, match=r"AestheticScorer requires 'embedding'"):
        Pipeline.from_stages(
            source, [SceneSplitter(), FrameSampler(), AestheticScorer(head=place / "head.pth")]
        )
    with pytest.raises(UsageError, match=r"nothing\.pth.*there is no such file"):
        AestheticScorer(head=place / "nothing.pth").check()


def test_a_score_that_two_stages_give_is_an_error(place: Path) -> None:
    source = FolderSource(place)
    twice = [StillEmbedder(), *[AestheticScorer(head=place / "head.pth")] * 2]
    with pytest.raises(WiringError, match=r"both give the score 'aesthetic'"):
        Pipeline.from_stages(source, [SceneSplitter(), FrameSampler(), *twice])
    with pytest.raises(WiringError, match=r"both give the score 'motion'"):
        Pipeline.from_stages(source, [SceneSplitter(measures=(Motion(), Motion()))])
    Pipeline.from_stages(source, [SceneSplitter(), SidecarCaptioner(), SidecarCaptioner()])
