"""No command with `--dry-run` writes or deletes anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from brickfilm import SidecarCaptioner
from brickfilm.cli import app
from finetune.cli import app as trainer_app
from tests.kit.footage import film_bytes
from tests.kit.servers.hub import HubServer
from tests.kit.small_build import built
from tests.kit.snapshot import snapshot

REPO = "maker/films"
COMMANDS = {
    "build new": ("build", "films", "--captions", "none", "--out", "new"),
    "build again": ("build", "films", "--captions", "sidecar", "--out", "work"),
    "build for": ("build", "films", "--captions", "sidecar", "--out", "work", "--for", "tiny/cpu"),
    "push": ("push", "work", REPO, "--i-have-the-rights"),
    "push files": ("push", "work", REPO, "--media", "files", "--i-have-the-rights"),
    "push references": ("push", "work", REPO, "--media", "none"),
    "export": ("export", "work", "--to", "opensora", "--out", "out"),
    "export recut": ("export", "work", "--to", "opensora", "--fps", "12", "--crop", "letterbox"),
    "export all": ("export", "work", "--to", "all"),
}
"""`finetune release` is tried where there is a run: tests/finetune/release/test_release.py."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with footage and a build of it, and traces of a killed process."""
    place = tmp_path_factory.mktemp("place")
    (place / "films").mkdir()
    (place / "films/a.mp4").write_bytes(film_bytes(frames=30))
    (place / "films/a.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:02.000\nA wall.\n")
    built(place / "films", place / "work", SidecarCaptioner())
    (place / "work/clips/.x.mp4.99999999.tmp").touch()
    return place


@pytest.mark.parametrize("name", COMMANDS)
def test_a_dry_run_writes_and_deletes_nothing(
    place: Path, hub: HubServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = snapshot(place)
    result = CliRunner().invoke(app, [*COMMANDS[name], "--dry-run"])
    print(result.output)
    assert not isinstance(result.exception, Exception), result.exception
    assert result.exit_code == 0
    assert snapshot(place) == before
    assert not [request for request in hub.requests if not request.startswith("GET ")]


def test_every_dry_run_is_among_them() -> None:
    ours, theirs = (
        {
            name
            for name, command in typer.main.get_command(group).commands.items()  # type: ignore[attr-defined]
            if any("--dry-run" in parameter.opts for parameter in command.params)
        }
        for group in (app, trainer_app)
    )
    assert ours == {words[0] for words in COMMANDS.values()}
    assert theirs == {"release"}
