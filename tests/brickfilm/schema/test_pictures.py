"""A picture bomb is an error before it is decoded."""

from __future__ import annotations

import io
from pathlib import Path

import PIL.Image
import pytest

from brickfilm.captions.stills import encode_jpeg
from brickfilm.errors import Failed
from brickfilm.report.thumbs import thumbnail_data_url
from brickfilm.schema.pictures import open_picture
from finetune.errors import SamplingError
from finetune.sampling.images import read_image
from tests.kit.picture_bomb import bomb


@pytest.mark.parametrize("side", [10_000, 50_000])
def test_a_picture_bomb_is_one_line_everywhere(side: int, tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(bomb(side))
    with pytest.raises(OSError, match="pixels"), open_picture(file):
        pass
    with pytest.raises(Failed, match="cannot be read"):
        encode_jpeg(file, size=8, quality=80)
    assert thumbnail_data_url(file) == ""
    with pytest.raises(SamplingError, match="cannot be read"):
        read_image(file, 8, 8)


def test_the_bound_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    small = io.BytesIO()
    PIL.Image.new("RGB", (20, 20)).save(small, "PNG")
    with open_picture(small) as picture:
        assert picture.size == (20, 20)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 399)
    with pytest.raises(OSError, match=r"400 pixels exceed .* = 399"), open_picture(small):
        pass
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    with open_picture(small):
        pass
