"""Recall and precision of CaptionVerifier on 60 captions of drawn films, half with a falsehood.

The films are rendered, so what is in each shot is known. A scripted oracle answers from that
knowledge, with the errors of ORACLE_ERRORS: this measures splitting, frames, requests and scores,
not how well any model sees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from brickfilm import CaptionVerifier, FolderSource, FrameSampler
from brickfilm.captions.claims import split_claims
from brickfilm.captions.stills import encode_jpeg
from brickfilm.engine.ledger import latest_answers
from brickfilm.engine.stage import Answer, Stage
from brickfilm.records import Caption, Clip, Span, Video
from tests.brickworld import CAMERAS, LIGHTINGS, SCENES, BrickFilm, Shot
from tests.brickworld.captions import LIGHT, MOVES
from tests.brickworld.sets import build_set
from tests.kit.captions import run_captions
from tests.kit.servers.openai import CaptionServer, ModelReply, ReceivedRequest, digest_of_stills

SHOTS_PER_FILM, FRAMES = 12, 8
ORACLE_ERRORS = {"wrong": 0.03, "unclear": 0.10}
"""Shares of claims that the oracle misjudges, and that it cannot judge."""

Aspects = dict[str, str]


def film(scene: str) -> BrickFilm:
    """Twelve shots of a set, in turn from its views, in all lights and with all cameras."""
    shots = tuple(
        Shot(
            frames=FRAMES,
            hold=2,
            lighting=LIGHTINGS[n % len(LIGHTINGS)],
            camera=CAMERAS[n % len(CAMERAS)],
            view=n,
        )
        for n in range(SHOTS_PER_FILM)
    )
    return BrickFilm(seed=5, size=(96, 54), scene=scene, palette="classic", shots=shots)


@cache
def stage_of(scene: str) -> Any:
    return build_set(scene, "classic", 5)


def truth_of(scene: str, n: int) -> Aspects:
    """Return what shot n of a film shows."""
    shot = film(scene).shots[n]  # type: ignore[index]
    stage = stage_of(scene)
    view = stage.views[n % len(stage.views)]
    actors = range(len(stage.actors)) if view.actors is None else view.actors
    acts = [_sentence(stage.actors[k].does) for k in actors]
    return {
        "action": " ".join(acts),
        "setting": _sentence(view.shows),
        "camera": MOVES.get(shot.camera or "", "").strip(),
        "light": _sentence(f"the set lies {LIGHT[shot.lighting or '']}"),
    }


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


@cache
def labelled() -> Mapping[tuple[str, int], tuple[Aspects, str]]:
    """Return 60 captions by film and shot: aspects, and the false claim, '' in every second one."""
    names = [(scene, n) for scene in SCENES for n in range(SHOTS_PER_FILM)]
    captions = {}
    for number, (scene, n) in enumerate(names):
        aspects, false = truth_of(scene, n), ""
        if number % 2:
            kind = ("setting", "light", "action")[number // 2 % 3]
            other = truth_of(SCENES[(SCENES.index(scene) + 1) % len(SCENES)], (n + 1) % 12)
            injected = other[kind].split(". ")[0].rstrip(".") + "."
            _, *rest = aspects[kind].split(". ")
            aspects[kind] = " ".join([injected, ". ".join(rest)]).strip()
            false = f"{kind}: {injected.rstrip('.')}"
        captions[scene, n] = aspects, false
    return captions


@dataclass(frozen=True)
class CutByTruth(Stage[Video, Clip]):
    """Cuts the drawn films where their truth says."""

    spans: Mapping[str, list[Span]] = field(compare=False)
    new: Mapping[str, list[int]] = field(compare=False)
    input_types = (Video,)
    output_types = (Clip,)

    def apply(self, item: Video, answer: Answer) -> Iterable[Clip]:
        for span in self.spans[item.path.stem]:
            inside = range(span.start_frame, span.end_frame)
            unique = tuple(n - span.start_frame for n in self.new[item.path.stem] if n in inside)
            yield Clip(video=item, span=span, width=96, height=54, unique_frames=unique)


@dataclass(frozen=True)
class Labelled(Stage[Clip, Clip]):
    """Gives each clip its labelled caption, and tells the oracle which stills are of it."""

    work: Path = field(compare=False)
    shown: dict[str, tuple[str, int]] = field(compare=False)
    input_types = (Clip,)
    provides = ("caption",)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        shot = item.video.path.stem, item.span.start_frame // FRAMES
        jpegs = [encode_jpeg(self.work / s.path, size=512, quality=85) for s in item.check_stills]
        self.shown[digest_of_stills(jpegs)] = shot
        aspects, _ = labelled()[shot]
        yield replace(item, caption=Caption(text=" ".join(aspects.values()), aspects=aspects))


def oracle(shown: Mapping[str, tuple[str, int]], request: ReceivedRequest) -> ModelReply:
    """Answer from what the shot shows; movement of the camera is in no still."""
    shot = shown[request.digest]
    facts = truth_of(*shot)
    true = {part.rstrip(".") for text in facts.values() for part in text.split(". ")}
    lines = request.body["messages"][0]["content"].split("\n\n")[1].splitlines()
    said = []
    for claim in (line.split(". ", 1)[1] for line in lines):
        aspect, _, text = claim.partition(": ")
        lot = int(hashlib.sha256(f"{shot}{claim}".encode()).hexdigest()[:8], 16) / 16**8
        verdict = text in true
        if aspect == "camera" or lot > 1 - ORACLE_ERRORS["unclear"]:
            said.append("unclear")
        else:
            said.append("yes" if verdict != (lot < ORACLE_ERRORS["wrong"]) else "no")
    return ModelReply(json.dumps({"verdicts": said}))


@pytest.mark.soak
def test_injected_falsehoods_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    films, work = tmp_path / "films", tmp_path / "w"
    spans: dict[str, list[Span]] = {}
    new: dict[str, list[int]] = {}
    for scene in SCENES:
        truth = film(scene).render(films / f"{scene}.mp4")
        new[scene] = [n for n, is_new in enumerate(truth.new_drawing) if is_new]
        ends = [*truth.pts, truth.pts[-1] + truth.pts[1] - truth.pts[0]]
        spans[scene] = [
            Span(start_frame=s.start, end_frame=s.end, start_pts=ends[s.start], end_pts=ends[s.end])
            for s in truth.shots
        ]
    shown: dict[str, tuple[str, int]] = {}
    with CaptionServer() as server:
        server.script = lambda request: oracle(shown, request)
        run = run_captions(
            work,
            FolderSource(films),
            CutByTruth(spans, new),
            FrameSampler(images=False, check_at=(0.1, 0.35, 0.65, 0.95)),
            Labelled(work, shown),
            CaptionVerifier(model="gpt-4o", base_url=server.url),
        )
        assert len(run.finished) == len(server.requests) == len(shown) == 60
    for item in run.finished:
        assert not {s.frame for s in item.stills} & {s.frame for s in item.check_stills}
    shots = {split_claims(Caption(text="", aspects=a)): s for s, (a, _) in labelled().items()}
    assert len(shots) == 60  # no two shots share all their claims
    flagged = {
        (shots[tuple(answer["claims"])], claim)
        for answer in latest_answers(work, "CaptionVerifier", list)
        for claim, verdict in zip(answer["claims"], answer["verdicts"], strict=True)
        if verdict == "no"
    }
    false = {(shot, claim) for shot, (_, claim) in labelled().items() if claim}
    recall, precision = len(flagged & false) / len(false), len(flagged & false) / len(flagged)
    print(f"{len(false)} false claims: recall {recall:.2f}, precision {precision:.2f}")
    assert (len(false), sum(map(len, shots))) == (30, 343)
    assert len(flagged & false) == 26  # the oracle affirms or cannot judge the other four
    assert len(flagged) == 37  # and it denies 11 of the 313 true claims
