"""A source that downloads is removed and fetched again by its protocol, in nobody else's file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.cli import app
from brickfilm.dataset.reader import find_dataset
from brickfilm.digest import with_digest
from brickfilm.errors import Rejected, UsageError
from brickfilm.hub.materialize import NothingMaterializedError, materialize
from brickfilm.hub.removal import NothingToRemoveError, RemovalRequest, remove
from brickfilm.records import Listing
from brickfilm.sources import FolderSource
from brickfilm.sources.base import SourceFile, all_source_metadata, delete_downloads
from brickfilm.stages import FrameSampler, SceneSplitter
from tests.kit.footage import film_bytes
from tests.kit.http_source import HttpSource
from tests.kit.patches import Patches
from tests.kit.servers.videos import VideoSite, video_site


@pytest.fixture
def site() -> Iterator[VideoSite]:
    with video_site() as site:
        for n, name in enumerate(("ant", "bee")):
            site.add(name, film_bytes(n, frames=20))
        yield site


def source(site: VideoSite, *names: str, keep_sources: bool = True) -> HttpSource:
    return HttpSource(tuple(map(site.file, names)), uploader="ada", keep_sources=keep_sources)


def built(work: Path, source: HttpSource, max_frames: int = 200) -> BuildResult:
    stages = [SceneSplitter(min_frames=5, max_frames=max_frames), FrameSampler(at=(0.5,))]
    return build(source, stages, workdir=work)


def files(work: Path) -> list[str]:
    return sorted(path.name for path in (work / "sources").iterdir())


@pytest.mark.parametrize("name", ["../mine.mp4", "{absolute}"])
def test_a_sidecar_deletes_no_file_outside_its_folder(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(b"holiday")
    source_file = SourceFile.of(tmp_path / "w", Listing(source_id="x"))
    source_file.folder.mkdir(parents=True)
    film = {"path": name.format(absolute=mine), "sha256": "0" * 64, "source_id": "x"}
    source_file.sidecar.write_text(json.dumps(with_digest({"film": film})))
    source_file.delete_media()
    assert source_file.metadata() is None and source_file.verified_metadata() is None
    assert mine.read_bytes() == b"holiday"
    source_file.sidecar.write_text('{"film": 5, "plan": []}')
    assert source_file.metadata() is None and list(all_source_metadata(tmp_path / "w")) == []


@pytest.mark.slow
@pytest.mark.parametrize("complete", [True, False])
def test_downloads_of_any_source_are_removed(
    tmp_path: Path, site: VideoSite, complete: bool
) -> None:
    site.videos["ant"].refusals = [] if complete else [500]
    built(tmp_path, source(site, "ant", "bee"))
    bee = [name for name in files(tmp_path) if "bee" in name]
    assert len(bee) == 2
    assert [name for name in files(tmp_path) if name not in bee]
    remove(tmp_path, RemovalRequest("source", site.file("ant")))
    assert files(tmp_path) == bee
    site.hits.clear()
    assert [len(s) for s in built(tmp_path, source(site, "ant", "bee")).dataset["clips"].values()]
    assert site.hits == []


@pytest.mark.slow
def test_an_uploader_is_known_to_any_source_without_rows(tmp_path: Path, site: VideoSite) -> None:
    built(tmp_path, source(site, "ant"), max_frames=6)
    with pytest.raises(NothingToRemoveError):
        remove(tmp_path, RemovalRequest("uploader", "eve"))
    remove(tmp_path, RemovalRequest("uploader", "ada"))
    assert files(tmp_path) == []


def test_sources_whose_names_become_one_slug_are_told_apart(tmp_path: Path) -> None:
    for name in ("a/b", "a?b"):
        file = SourceFile.of(tmp_path, Listing(source_id=name))
        file.write_plan({"source_id": name})
        file.draft("http", "mp4").touch()
    assert delete_downloads(tmp_path, ["a/b"]) == 2
    assert {name.split(".")[0] for name in files(tmp_path)} == {
        SourceFile.of(tmp_path, Listing(source_id="a?b")).stem
    }
    (tmp_path / "sources").joinpath(f"{file.stem}.json").write_text("")  # damaged: nobody's
    assert delete_downloads(tmp_path, ["a/b"]) == 2
    assert files(tmp_path) == []


@pytest.mark.slow
def test_a_deleted_video_of_any_source_is_fetched_again_when_it_is_needed(
    tmp_path: Path, site: VideoSite
) -> None:
    one = source(site, "ant", keep_sources=False)
    first = built(tmp_path, one)
    assert [name for name in files(tmp_path) if name.endswith(".mp4")] == []
    assert built(tmp_path, one).dataset["clips"].keys() == first.dataset["clips"].keys()
    assert len(site.requests_for("ant")) == 1
    assert built(tmp_path, one, max_frames=10).exit_code == 0
    assert len(site.requests_for("ant")) == 2


@pytest.mark.slow
def test_a_rejected_video_is_deleted_and_fetched_again_for_another_setting(
    tmp_path: Path, site: VideoSite
) -> None:
    film = Patches(tmp_path / "hdr.mp4", matrix=9, primaries=9, transfer=16, codec="libx265")
    site.add("hdr", replace(film, pix_fmt="yuv420p10le").write().read_bytes())
    one, work = source(site, "hdr", keep_sources=False), tmp_path / "work"
    for _ in range(2):
        results = built(work, one).item_results
        assert [r.reason for r in results if r.status == "rejected"] == ["high dynamic range"]
        assert [name for name in files(work) if name.endswith(".mp4")] == []
    assert len(site.requests_for("hdr")) == 1
    assert built(work, replace(one, hdr="tonemap")).exit_code == 0
    assert len(site.requests_for("hdr")) == 2
    assert [name for name in files(work) if name.endswith(".mp4")] == []
    built(work, replace(one, keep_sources=True))
    assert len(site.requests_for("hdr")) == 2


def test_a_download_with_too_many_pixels_leaves_no_file(tmp_path: Path) -> None:
    file = SourceFile.of(tmp_path, Listing(source_id="a"))
    file.write_plan({"source_id": "a"})
    draft = file.draft("http", "y4m")
    header = b"YUV4MPEG2 W16000 H16000 F24:1 C420jpeg\nFRAME\n"
    draft.write_bytes(header + bytes(1000))
    with pytest.raises(Rejected, match="more than max_pixels"):
        file.finish(draft, "y4m", lambda info: {})
    assert files(tmp_path) == []


@pytest.mark.slow
def test_rows_are_materialized_by_the_source_that_is_given(tmp_path: Path, site: VideoSite) -> None:
    built(tmp_path / "built", source(site, "ant", "bee"))
    saved = find_dataset(tmp_path / "built")
    done = materialize(saved, tmp_path / "again", downloads=HttpSource(), allow_private=True)
    assert set(done.counts) == {"same bytes"}
    assert len(site.requests_for("ant")) == 2
    del site.videos["ant"], site.videos["bee"]
    with pytest.raises(NothingMaterializedError, match="4 gone"):
        materialize(saved, tmp_path / "third", downloads=HttpSource(), allow_private=True)
    with pytest.raises(UsageError, match="FolderSource downloads nothing"):
        materialize(saved, tmp_path / "fourth", downloads=FolderSource("films"))


@pytest.mark.slow
def test_the_command_takes_the_source_of_a_recipe(
    tmp_path: Path, site: VideoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    built(tmp_path / "built", source(site, "ant"))
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from tests.kit.http_source import HttpSource\nsource = HttpSource()\nstages = ()\n"
    )
    command = ["materialize", str(tmp_path / "built"), "--out", str(tmp_path / "again")]
    assert app([*command, "--recipe", str(recipe), "--allow-private"], standalone_mode=False) == 0
    assert "same bytes" in capsys.readouterr().out
