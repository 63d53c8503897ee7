"""Datasets of strangers: no file of this machine is read, and odd ones are one clear error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brickfilm.cli import app
from brickfilm.dataset.data_files import DatasetNotFoundError
from brickfilm.dataset.reader import CorruptDatasetError, find_dataset
from brickfilm.dataset.required_columns import require_columns
from brickfilm.dataset.validate import validate
from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.hub.materialize import materialize
from brickfilm.hub.publish import PushOptions, plan_push, push_to_hub
from brickfilm.schema.safe_paths import UnsafePathError
from tests.kit.servers.hub import HubServer
from tests.kit.toy_dataset import toy_dataset

REPO = "maker/brickfilm"
SECRET = b"a private key"
Edit = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    toy_dataset(work, videos=2, clips=1)
    return work / "dataset"


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "copy")


def edit(folder: Path, change: Edit, config: str = "clips") -> None:
    for file in (folder / config).glob("train*.parquet"):
        table = change(pq.read_table(file))
        file.unlink()
        pq.write_table(table, file)


def put(column: str, *values: object, kind: pa.DataType | None = None) -> Edit:
    def change(table: pa.Table) -> pa.Table:
        position = table.schema.get_field_index(column)
        field = pa.field(column, kind or table.schema.field(position).type)
        return table.set_column(position, field, pa.array(list(values), field.type))

    return change


@pytest.mark.slow
@pytest.mark.parametrize("media", ["embed", "files"])
@pytest.mark.parametrize("way", ["absolute", "up", "link", "url", "other repository"])
def test_no_file_of_this_machine_is_published_or_exported(
    hub: HubServer, copy: Path, tmp_path: Path, way: str, media: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    (copy / "link").symlink_to(secret)
    path = {
        "absolute": str(secret),
        "up": "../secret",
        "link": "link",
        "url": secret.as_uri(),
        "other repository": "hf://datasets/maker/other/../../../secret",
    }[way]
    edit(copy, put("video", {"bytes": None, "path": path}))
    with pytest.raises(UnsafePathError, match="not in their own folder"):
        push_to_hub(copy, PushOptions(repo_id=REPO, media=media))
    with pytest.raises(UnsafePathError):
        app(["export", str(copy), "--to", "opensora", "--out", str(tmp_path / "out")],
            standalone_mode=False)  # fmt: skip
    report = validate(find_dataset(copy), workers=1)
    assert report.problems["clips: media outside the dataset"] == 1
    written = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert SECRET not in b"".join(p.read_bytes() for p in written)
    assert not any(SECRET in file.read_bytes() for file in hub.files(REPO).values())


def test_media_files_of_the_own_folder_are_read(copy: Path) -> None:
    before = find_dataset(copy)
    (table,) = before.iter_tables("clips", "train")
    content = table["video"][0].as_py()["bytes"]
    (copy / "media").mkdir()
    (copy / "media/x.mp4").write_bytes(content)
    for path in ("media/x.mp4", "hf://datasets/maker/set@v2/media/x.mp4"):
        edit(copy, put("video", {"bytes": None, "path": path}))
        assert validate(find_dataset(copy), workers=1).is_valid
    edit(copy, put("video", {"bytes": None, "path": "media/none.mp4"}))
    assert validate(find_dataset(copy), workers=1).problems == {"clips: no video": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "column", "value"),
    [
        ("clips", "id", "../../../up"),
        ("clips", "id", ""),
        ("clips", "id", None),
        ("clips", "id", "0123456789abcdef-000000-000020\n"),
        ("clips", "sha256", "../../.."),
        ("images", "id", "/etc/x"),
        ("images", "clip_id", "odd"),
    ],
)
def test_ids_are_checked_on_reading(
    copy: Path, tmp_path: Path, config: str, column: str, value: object
) -> None:
    edit(copy, put(column, value), config)
    saved = find_dataset(copy)
    out = tmp_path / "out"
    calls = (
        lambda: plan_push(saved, PushOptions(repo_id=REPO)),
        lambda: materialize(saved, out),
        lambda: app(["export", str(copy), "--to", "opensora", "--out", str(out)],
                    standalone_mode=False),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(CorruptDatasetError, match=rf"has the {column} .*not of brickfilm's"):
            call()
    assert not [path for path in out.rglob("*") if path.is_file()]
    problem = "no value in" if value is None else f"{column} is not of brickfilm's form"
    assert any(problem in text for text in validate(saved, workers=1).problems)


CARD = "---\nconfigs:\n{configs}\n---\n"
FILES = "  data_files: clips/*.parquet"


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ("- data_files: x", "its configs are 'default'"),
        ("- config_name: [1]\n  data_files: x", "its configs are"),
        ("  a: b", "not a list of configs"),
        ("- text", "not a list of configs"),
        ("- config_name: clips\n  data_files: 3", "3 is not a path"),
        ("- config_name: clips\n  data_files: [{split: 3, path: x}]", "3 is not the name of a"),
        ("- config_name: clips\n  data_files: [{split: ../x, path: x}]", "'../x' is not the name"),
        ("- config_name: clips\n  data_files: [{split: train}]", "None is not a path"),
        ("- config_name: clips\n  data_files: ../*.parquet", "not in their own folder"),
        ("- config_name: clips\n  data_files: /tmp/*.parquet", "not in their own folder"),
        ("- config_name: clips\n  data_files: 'clips/**x/[/*'", "holds no saved dataset|invalid"),
        ("- [: }", "does not describe a dataset"),
        (f"- config_name: clips\n  data_files: '{'*a' * 12}b'", "more than 3 stars"),
        ("- config_name: clips\n  data_files: '**/**/**/**/x'", "more than 3 stars"),
    ],
)
def test_an_odd_card_is_one_clear_error(copy: Path, configs: str, message: str) -> None:
    (copy / "README.md").write_text(CARD.format(configs=configs))
    with pytest.raises(UsageError, match=message) as caught:
        require_columns(find_dataset(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "files",
    [
        "clips/*.parquet",
        "[clips/*.parquet]",
        "[{split: validation, path: clips/*.parquet}]",
        "[{split: train, path: [clips/train*.parquet, clips/t*.parquet]}]",
        "'**/t*-of-*.parquet'",
    ],
)
def test_other_ways_to_name_the_files_work(copy: Path, files: str) -> None:
    shutil.rmtree(copy / "images")
    (copy / "README.md").write_text(
        CARD.format(configs=f"- config_name: clips\n  data_files: {files}")
    )
    saved = find_dataset(copy)
    assert saved.num_rows("clips") == len(saved.to_pandas("clips")) == 2
    assert validate(saved, workers=1).is_valid
    assert plan_push(saved, PushOptions(repo_id=REPO)).files


def test_the_folder_may_have_any_name(copy: Path) -> None:
    renamed = copy.rename(copy.with_name("set [v1] *"))
    assert find_dataset(renamed).num_rows("clips") == 2


def test_a_link_to_tables_elsewhere_is_refused(copy: Path, saved: Path) -> None:
    (file,) = (copy / "clips").glob("train*.parquet")
    file.unlink()
    file.symlink_to(next((saved / "clips").glob("train*.parquet")))
    with pytest.raises(UnsafePathError):
        find_dataset(copy)


def test_columns_of_other_types_are_one_clear_error(copy: Path) -> None:
    edit(copy, put("fps_num", "24", kind=pa.string()))
    with pytest.raises(DatasetNotFoundError, match="column 'fps_num' is string, should be int64"):
        plan_push(copy, PushOptions(repo_id=REPO))


@pytest.mark.parametrize(
    "text",
    ["no JSON", "[]", '{"x": 1}', '{"stages": 3}', '{"stages": [{"name": 3}]}', '{"removed": "x"}',
     '{"stages": [{"name": "ClipWriter", "settings": {"crf": "0"}}]}',
     '{"stages": [{"name": "ClipWriter", "settings": {"threads": 1000000}}]}'],
)  # fmt: skip
def test_odd_provenance_is_one_clear_error(copy: Path, tmp_path: Path, text: str) -> None:
    (copy / "brickfilm.json").write_text(text)
    with pytest.raises(BrickfilmError, match=r"not provenance|not valid") as caught:
        materialize(find_dataset(copy), tmp_path / "out")
    assert "\n" not in str(caught.value)
