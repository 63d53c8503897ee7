"""Lists of direct URLs: spans, captions, licences and ids are kept; what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from brickfilm.build.build_dataset import BuildResult, build
from brickfilm.cli import app
from brickfilm.errors import UsageError
from brickfilm.records import GivenSpan, Listing
from brickfilm.sources import UrlListSource
from brickfilm.stages import FrameSampler, SceneSplitter
from tests.kit.footage import film_bytes
from tests.kit.servers.videos import VideoSite, video_site


@pytest.fixture(scope="module")
def films() -> dict[str, bytes]:
    return {name: film_bytes(n, frames=48) for n, name in enumerate(("ant", "bee"))}


@pytest.fixture
def site(films: dict[str, bytes]) -> Iterator[VideoSite]:
    with video_site() as site:
        for name, body in films.items():
            site.add(name, body)
        yield site


def listed(folder: Path, *rows: dict[str, object]) -> Path:
    file = folder / "list.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def videos(file: Path, **settings: object) -> list[Listing]:
    return [v for v in UrlListSource(file, **settings).items() if isinstance(v, Listing)]


def built(work: Path, source: UrlListSource) -> BuildResult:
    return build(source, [SceneSplitter(min_frames=5), FrameSampler(at=(0.5,))], workdir=work)


def rows(result: BuildResult) -> list[dict[str, object]]:
    columns = ["id", "source_id", "start_frame", "end_frame", "caption", "licence", "uploader"]
    tables = [t.select_columns(columns) for t in result.dataset["clips"].values()]
    return sorted((r for t in tables for r in t), key=lambda r: (r["source_id"], r["start_frame"]))


def test_rows_of_one_url_are_spans_of_one_video(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text(
        "videoID,url,start,end,text,License\n"
        "ant,https://x.org/ant.mp4,0,1,a red ant,CC BY 4.0\n"
        "ant,https://x.org/ant.mp4,00:00:01.0,0:02,a blue ant,CC BY 4.0\n"
        ",https://x.org/b%20e.mp4,,,a bee,\n"
        ",https://x.org/cat.mp4,,,,\n"
    )
    ant, bee, cat = videos(file, licence="cc0-1.0")
    assert ant.spans == (
        GivenSpan(start=0, end=1, caption="a red ant"),
        GivenSpan(start=1, end=2, caption="a blue ant"),
    )
    assert (ant.source_id, ant.licence, ant.title) == ("ant", "CC BY 4.0", "ant")
    assert (bee.source_id, bee.licence, bee.title) == ("https://x.org/b%20e.mp4", "cc0-1.0", "b e")
    assert bee.spans == (GivenSpan(caption="a bee"),)  # the whole file, which the caption describes
    assert cat.spans == ()


def test_ids_that_differ_for_one_url_name_rows(tmp_path: Path) -> None:
    url = "https://x.org/a.mp4"
    two = [{"id": n, "url": url, "start": n, "end": n + 1} for n in range(2)]
    assert [v.source_id for v in videos(listed(tmp_path, *two))] == [url]


@pytest.mark.parametrize(
    ("two", "message"),
    [
        ([{"id": 1}, {"id": 1, "url": "https://x.org/b.mp4"}], "line 2: the id '1' names another"),
        ([{"caption": "a"}, {"caption": "b"}], "line 2: another row has the same span"),
        ([{"licence": "mit"}, {"licence": "cc0"}], "line 2: licence 'cc0', but another row"),
        ([{"start": 2, "end": 1}], "line 1: end=1 is not after start=2"),
        ([{"start": 2}], "line 1: end is given without|start is given without|is given without"),
        ([{"start": "soon", "end": 2}], "line 1: 'soon' is no time"),
        ([{"url": "/etc/passwd"}], "line 1: '/etc/passwd' is no address"),
        ([{"url": "file:///etc/passwd"}], "line 1: .* is no address"),
        ([{"url": ""}], "line 1: '' is no address"),
        ([{"url": "https://[::1/a.mp4"}], "line 1: .* is no address"),
        ([{"url": "https://x.org:http/a.mp4"}], "line 1: .* is no address"),
        ([{"caption": ["a", "b"]}], "line 1: caption is a list or an object.*--column caption="),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, two: list[dict[str, object]], message: str) -> None:
    whole = ({"url": "https://x.org/a.mp4"} | row for row in two)
    with pytest.raises(UsageError, match=message):
        videos(listed(tmp_path, *whole))


def test_only_line_breaks_end_a_row(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    url = "https://x.org/a.mp4#t=1"
    file.write_text(f'url,caption\r\n{url},one\u2028two\x0cthree "four"\r\n', newline="")
    (video,) = videos(file)
    assert video.spans == (GivenSpan(caption='one two three "four"'),)
    assert video.title == "a"


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    file = listed(tmp_path, {"file": "https://x.org/a.mp4", "long": "a street", "caption": "x"})
    (video,) = videos(file, columns={"url": "file", "caption": "long"})
    assert video.spans == (GivenSpan(caption="a street"),)
    (bare,) = videos(file, columns={"url": "file", "caption": ""})
    assert bare.spans == ()
    for columns, message in (
        ({}, "no column 'url'.*--column url=NAME.*file, long, caption"),
        ({"url": "file", "caption": "short"}, "no column 'short' for caption"),
        ({"url": "file", "colour": "long"}, "'colour' is none of url, id"),
        ({"video": "file"}, "'video' is none of url, id"),  # it is so called for the Hub alone
    ):
        with pytest.raises(UsageError, match=message):
            videos(file, columns=columns)
    (tmp_path / "empty.csv").write_text("url\n")
    with pytest.raises(UsageError, match="lists no video"):
        videos(tmp_path / "empty.csv")


@pytest.mark.slow
def test_listed_spans_become_the_clips_and_the_rest_is_named(
    tmp_path: Path, site: VideoSite
) -> None:
    ant, bee = site.file("ant"), site.file("bee")
    file = listed(
        tmp_path,
        {"url": ant, "start": 0.0, "end": 0.5, "caption": "one", "licence": "CC BY 4.0"},
        {"url": ant, "start": 0.25, "end": 2.3, "caption": "two"},  # within the tolerance
        {"url": ant, "start": 0.0, "end": 2.6, "caption": "too long"},
        {"url": ant, "start": 5, "end": 6, "caption": "behind"},
        {"url": ant, "start": 1, "end": 1.1, "caption": "short"},
        {"url": bee, "caption": "all of the bee"},
        {"url": site.at("/gone.mp4"), "caption": "dead"},
        {"url": site.at("/nothing"), "caption": "a page"},
    )
    result = built(tmp_path / "work", UrlListSource(file, uploader="ada", allow_private=True))
    assert [list(row.values())[2:] for row in rows(result)] == [
        [0, 12, "one", "CC BY 4.0", "ada"],
        [6, 48, "two", "CC BY 4.0", "ada"],
        [0, 48, "all of the bee", "", "ada"],
    ]
    reasons = {r.reason: r.status for r in result.item_results if r.status != "done"}
    assert reasons == {
        "span beyond the end": "rejected",
        "too short": "rejected",
        "dead link": "failed",
        "unreadable": "failed",
    }
    assert result.exit_code == 1
    models = {m for t in result.dataset["clips"].values() for m in t["caption_model"]}
    assert models == {"source"}


@pytest.mark.slow
def test_frames_that_no_span_lists_are_counted(tmp_path: Path, site: VideoSite) -> None:
    file = listed(tmp_path, {"url": site.file("ant"), "start": 0.5, "end": 1.5})
    result = built(tmp_path / "work", UrlListSource(file, allow_private=True))
    left = [(r.reason, r.seconds) for r in result.item_results if r.status == "rejected"]
    assert left == [("not listed", 0.5), ("not listed", 0.5)]


def test_a_list_reaches_no_private_address_unless_allowed(tmp_path: Path, site: VideoSite) -> None:
    file = listed(tmp_path, {"url": site.file("ant"), "caption": "an ant"})
    result = built(tmp_path / "work", UrlListSource(file))
    failed = [r for r in result.item_results if r.status == "failed"]
    assert [r.reason for r in failed] == ["private address"]
    assert "--allow-private" in failed[0].message
    assert site.hits == []


@pytest.mark.slow
def test_the_command_takes_a_list_and_keeps_its_captions(
    tmp_path: Path, site: VideoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"link": site.file("ant"), "caption": "an ant", "license": "CC BY 4.0"}
    command = ["build", str(listed(tmp_path, row)), "--out", str(tmp_path / "work")]
    options = ["--allow-private", "--no-keep-sources"]
    assert app([*command, *options, "--dry-run"], standalone_mode=False) == 0
    assert "1 file to download; 1 of unknown size" in capsys.readouterr().out
    assert site.hits == []
    assert app([*command, *options], standalone_mode=False) == 0
    from brickfilm.dataset.reader import find_dataset

    (clip,) = find_dataset(tmp_path / "work").to_pandas("clips").to_dict("records")
    assert (clip["caption"], clip["caption_model"]) == ("an ant", "source")
    (image,) = find_dataset(tmp_path / "work").to_pandas("images").to_dict("records")
    assert (image["caption"], image["licence"]) == ("an ant", "CC BY 4.0")
    assert [p.suffix for p in (tmp_path / "work/sources").iterdir()] == [".json"]
    with pytest.raises(UsageError, match="--split does not apply"):
        app([*command, "--split", "test"], standalone_mode=False)
