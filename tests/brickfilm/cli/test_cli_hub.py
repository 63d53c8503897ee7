"""The commands over a built dataset, as a user types them."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from brickfilm.cli import app, main
from brickfilm.dataset.reader import find_dataset
from brickfilm.errors import UsageError
from brickfilm.hub.materialize import NothingMaterializedError
from brickfilm.schema.hub_errors import HubError
from tests.brickworld import BrickFilm
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import toy_dataset

REPO = "maker/brickfilm"
RECIPE = 'buckets = [{ resolution = "144p", frames = 8, batch_size = 8 }]\nframe_interval = 2\n'


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    toy_dataset(work, videos=2, clips=2)
    return work


@pytest.fixture
def work(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "work")


def brickfilm(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_push_dry_run_shows_files_sizes_and_the_card(hub: HubServer, work: Path) -> None:
    output = brickfilm("push", work, REPO, "--dry-run").output
    assert "clips/train-00000.parquet" in output
    assert "branch main, public if new, else unchanged" in output
    options = ("--private", "--gated", "manual", "--revision", "v2")
    output = brickfilm("push", work, REPO, "--dry-run", *options).output
    assert "branch v2, private, gate manual" in output
    assert "license: cc-by-4.0" in output
    assert not hub.requests


def test_a_dry_run_of_pixels_that_are_not_open_shows_the_plan_and_ends_as_the_push_would(
    hub: HubServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    toy_dataset(tmp_path, videos=1, clips=1, licence="all rights reserved")
    args = ["push", str(tmp_path), REPO]
    for more in ((), ("--dry-run",)):
        monkeypatch.setattr("sys.argv", ["brickfilm", *args, *more])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        assert left.value.code == 2
        assert "--i-have-the-rights" in printed.err
        assert "--media none" in printed.err
        assert ("clips/train-00000.parquet" in printed.out) == bool(more)
        assert ("license: other" in printed.out) == bool(more)
        assert printed.err.startswith("error: the push would be refused: 2 of 2") == bool(more)
    assert not hub.requests
    output = brickfilm("push", tmp_path, REPO, "--dry-run", "--i-have-the-rights").output
    assert "clips/train-00000.parquet" in output


def test_a_push_to_a_branch_says_how_that_branch_is_loaded(hub: HubServer, work: Path) -> None:
    output = brickfilm("push", work, REPO, "--revision", "v2", "--gated", "no").output
    assert f'load_dataset("{REPO}", revision="v2")' in output


def test_the_letter_names_no_place_of_this_machine(hub: HubServer, work: Path) -> None:
    brickfilm("push", work, REPO)
    clip = find_dataset(work).to_pandas("clips", ["id"]).id[0]
    result = brickfilm("remove", work, "--clip", clip)
    assert str(work) not in result.stdout
    assert "/" not in result.stdout.replace(REPO, "").replace("https://films.example/", "")
    assert "1 clip and 1 still, with their captions" in result.stdout
    assert f"{REPO}, branch main: 1 clip and 1 still removed" in result.stdout
    assert "--forget-history" in result.stderr
    assert "--forget-history" not in result.stdout


def test_push_validate_remove_and_validate_again(hub: HubServer, work: Path) -> None:
    assert f'load_dataset("{REPO}")' in brickfilm("push", work, REPO).output
    assert "8 rows" in brickfilm("validate", REPO, "--workers", "1").output
    reply = brickfilm("remove", work, "--uploader", "ada").output
    assert "2 clips and 2 stills, with their captions" in reply
    assert f"{REPO}, branch main: 2 clips and 2 stills removed" in reply
    assert "4 rows" in brickfilm("validate", REPO, "--workers", "1").output


def test_references_are_validated_as_references(hub: HubServer, work: Path) -> None:
    brickfilm("push", work, REPO, "--media", "none")
    output = brickfilm("validate", REPO).output
    assert "8 rows" in output
    assert "8 of them references, with nothing to decode" in " ".join(output.split())


def test_only_here_leaves_what_was_published(hub: HubServer, work: Path) -> None:
    brickfilm("push", work, REPO)
    brickfilm("remove", work, "--source", "src0", "--only-here")
    assert len(find_dataset(work).to_pandas("clips", ["id"])) == 2
    assert len(find_dataset(REPO).to_pandas("clips", ["id"])) == 4


def test_validate_exits_with_1_and_names_the_rows(work: Path) -> None:
    next((work / "dataset/clips").glob("test-*.parquet")).unlink()
    output = brickfilm("validate", work, "--workers", "1", code=1).output
    assert "clips: split test has no file" in output


@pytest.mark.slow
def test_a_dry_build_counts_for_a_recipe_before_anything_is_written(tmp_path: Path) -> None:
    BrickFilm(seed=3, length=4, size=(256, 144)).render(tmp_path / "film.mp4")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    args = ("--out", tmp_path / "work", "--captions", "none", "--dry-run", "--for", recipe)
    output = brickfilm("build", tmp_path / "film.mp4", *args).output
    row = next(line for line in output.splitlines() if "144p x 8" in line)
    assert "> 16 frames" in row
    assert [cell.strip() for cell in row.split("│")][3] != "0"
    assert "recipe.toml can use" in output.replace("\n", "")
    assert not list(tmp_path.rglob("clips/*.mp4"))


@pytest.mark.slow
def test_a_dry_run_ends_as_the_build_would_where_a_film_is_bad(tmp_path: Path) -> None:
    BrickFilm(seed=3, length=2, size=(160, 90)).render(tmp_path / "good.mp4")
    args = ("build", tmp_path, "--out", tmp_path / "work", "--captions", "none", "--dry-run")
    brickfilm(*args)
    (tmp_path / "bad.mp4").write_text("no film")
    assert "failed: 'bad.mp4'" in brickfilm(*args, code=1).output


def test_a_recipe_that_is_not_there_is_said_before_anything_is_scanned(tmp_path: Path) -> None:
    BrickFilm(seed=3, length=2, size=(160, 90)).render(tmp_path / "film.mp4")
    args = ("--out", tmp_path / "work", "--captions", "none", "--dry-run", "--for", "tiny/gpu")
    with pytest.raises(UsageError, match="did you mean 'tiny/cpu'"):
        brickfilm("build", tmp_path, *args)
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
def test_own_films_with_their_licence_go_up_without_a_question(
    hub: HubServer, tmp_path: Path
) -> None:
    BrickFilm(seed=3, length=4, size=(256, 144)).render(tmp_path / "film.mp4")
    args = ("--captions", "none", "--licence", "CC BY-SA 4.0", "--uploader", "the makers")
    brickfilm("build", tmp_path / "film.mp4", "--out", tmp_path / "work", *args)
    assert "license: cc-by-sa-4.0" in brickfilm("push", tmp_path / "work", REPO, "--dry-run").output
    brickfilm("push", tmp_path / "work", REPO)
    assert set(find_dataset(REPO).to_pandas("images", ["uploader"]).uploader) == {"the makers"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("build", "r.py", "--out", "w", "--licence", "CC0"), "into the recipe"),
        (("build", ".", "--out", "w", "--licence", "CC BX"), "'CC BX' is not known"),
        (("remove", "."), "one of --source, --clip and --uploader"),
        (("remove", ".", "--clip", "a", "--source", "b"), "one of --source"),
        (("push", ".", "no-slash"), "user/dataset"),
        (("push", ".", "a/b", "--media", "tape"), "embed, files or none"),
        (("validate", "nowhere"), "neither a folder nor a repository"),
        (("build", ".", "--out", "w", "--for", "r.toml"), "no recipe 'r.toml'.* or a trainer"),
    ],
)
def test_a_wrong_call_is_said(args: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        brickfilm(*args)


def test_stills_without_any_clip_are_counted_exported_and_checked(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "work", videos=1, clips=2, moving=False)
    output = brickfilm("export", tmp_path / "work", "--for", "text2bricks/64f-stage2").output
    assert "2 clips and images for 64f-stage2" in output
    args = ("--to", "opensora", "--out", tmp_path / "out")
    assert "0 clips and 2 images" in brickfilm("export", tmp_path / "work", *args).output
    assert "2 rows" in brickfilm("validate", tmp_path / "work").output
    with pytest.raises(NothingMaterializedError, match=r"no row .*2 gone"):
        brickfilm("materialize", tmp_path / "work", "--out", tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("export", "WORK", "--to", "opensora", "--out", "out"), "'out/clips' is full: make room"),
        (("push", "WORK", REPO), "is full: make room, or set TMPDIR"),
    ],
)
def test_a_full_disk_is_one_line(
    hub: HubServer, work: Path, tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "brickfilm",
            *(str(work) if arg == "WORK" else arg for arg in args),
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
    assert not [path for path in tmp_path.rglob("*.tmp") if path.parent.name == "clips"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("media", "path", "status", "message"),
    [
        ("embed", "clips", 401, "401 from the Hub; the Hub does not know your token"),
        ("files", "media", 404, "404 from the Hub; it does not exist"),
    ],
)
@pytest.mark.parametrize("args", [("validate",), ("export", "--to", "opensora", "--out", "o")])
def test_a_hub_that_refuses_in_the_middle_is_one_line(
    hub: HubServer,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    media: str,
    path: str,
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(work)
    brickfilm("push", work, REPO, "--media", media)
    hub.fail(f"GET /datasets/{REPO}/resolve/main/{path}", status=status, times=9)
    with pytest.raises(HubError, match=f"{REPO}: {message}"):
        brickfilm(args[0], REPO, *args[1:])


def test_a_wrong_call_leaves_no_folder_behind(hub: HubServer, work: Path, tmp_path: Path) -> None:
    brickfilm("push", work, REPO, "--media", "none")
    (tmp_path / "none").mkdir()
    for args, message in (
        (("export", REPO, "--to", "opensora"), "holds references"),
        (("materialize", REPO, "--sources", tmp_path / "none"), "no video below"),
        (("materialize", "maker/nothing"), "there is no folder 'maker/nothing', and no dataset"),
    ):
        with pytest.raises(UsageError, match=message):
            brickfilm(*args, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()
