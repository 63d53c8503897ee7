"""DiffSynth's own dataset class reads an export as its report says.

It needs `pip install --no-deps diffsynth imageio imageio-ffmpeg einops`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from brickfilm.dataset.reader import find_dataset
from brickfilm.export import ExportSettings, make_exporter, plan_export
from tests.kit.numbered_clips import CLIPS, numbered_dataset


def diffsynth_data(patch: pytest.MonkeyPatch) -> Any:
    """Import diffsynth/core/data alone; without torchvision, pictures are resized by PIL."""
    for package in ("imageio", "imageio_ffmpeg", "einops"):
        pytest.importorskip(package)
    found = importlib.util.find_spec("diffsynth")  # the package itself is not imported
    if found is None or not found.submodule_search_locations:
        pytest.skip("pip install --no-deps diffsynth")
    if importlib.util.find_spec("torchvision") is None:
        patch.setitem(sys.modules, "torchvision", resize_by_pil())
    folder = Path(next(iter(found.submodule_search_locations)), "core/data")
    spec = importlib.util.spec_from_file_location(
        "diffsynth_data", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, "diffsynth_data", module)
    spec.loader.exec_module(module)
    return module


def resize_by_pil() -> ModuleType:
    """Return what DiffSynth takes from torchvision."""

    class Functional:
        @staticmethod
        def resize(image: Any, size: tuple[int, int], interpolation: Any) -> Any:
            return image.resize((size[1], size[0]))

        @staticmethod
        def center_crop(image: Any, size: tuple[int, int]) -> Any:
            left, top = (image.width - size[1]) // 2, (image.height - size[0]) // 2
            return image.crop((left, top, left + size[1], top + size[0]))

    module: Any = ModuleType("torchvision")
    module.transforms = type(
        "Transforms",
        (),
        {"functional": Functional, "InterpolationMode": type("Mode", (), {"BILINEAR": 2})},
    )
    return module


@pytest.mark.soak
@pytest.mark.parametrize(("model", "factor", "fixed"), [("wan2.1", 4, False), ("ltx-2", 8, True)])
def test_diffsynth_reads_the_frames_of_the_report(
    model: str, factor: int, fixed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        dataset_class = diffsynth_data(patch).UnifiedDataset
    numbered_dataset(tmp_path / "work", CLIPS)
    exporter = make_exporter("diffsynth", model)
    plan = plan_export(find_dataset(tmp_path / "work"), exporter, ExportSettings())
    out = tmp_path / "out"
    plan.write(out)
    operator = dataset_class.default_video_operator(
        base_path=str(out),
        height=exporter.target.height,
        width=exporter.target.width,
        num_frames=exporter.target.frames,
        time_division_factor=factor,
        frame_rate=24,
        fix_frame_rate=fixed,
    )
    rows = dataset_class(
        base_path=str(out),
        metadata_path=str(out / "metadata.csv"),
        data_file_keys=("video",),
        main_data_operator=operator,
    )
    read = [rows[n] for n in range(len(rows))]
    used = [(row.caption, seen) for row, seen in plan.used]
    assert sorted((r["prompt"], len(r["video"])) for r in read) == sorted(
        (caption, len(seen.frames)) for caption, seen in used
    )
    for sample in read:
        (width, height) = sample["video"][0].size
        assert (width, height) == (exporter.target.width, exporter.target.height)
        assert np.asarray(sample["video"][0]).dtype == np.uint8
