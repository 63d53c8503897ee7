"""Clips and images are read as they are displayed, and are those that their rows describe."""

from __future__ import annotations

import io
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brickfilm.media import open_video
from finetune.config import Recipe
from finetune.data.buckets import recipe_aspect_buckets
from finetune.data.cache import build_cache
from finetune.data.cache_layout import index_folder
from finetune.data.index import Index, build_index
from finetune.data.loader import SampleLoader
from finetune.data.media import decode_frames, decode_in_chunks, probe
from finetune.data.sampler import BatchSpec, SamplerState
from finetune.errors import BadSample, DataError
from finetune.sampling.images import read_image
from tests.finetune.conftest import MakeRecipe
from tests.kit.toy_clips import Toy, encoded, write_dataset

CORNER = np.zeros((48, 64, 3), np.uint8)
CORNER[:24, :32] = 255  # white in the upper left quarter, as displayed without a transform


def video(*, turned: int = 0, mirrored: bool = False, aspect: Fraction = Fraction(1)) -> bytes:
    """Return two frames of CORNER, to be displayed mirrored, turned or stretched."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if turned or mirrored:
            stream.set_display_rotation(turned, hflip=mirrored)
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(CORNER, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def white_quarter(media: bytes) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """Return the displayed size, and which of the four quarters is white."""
    info = probe(media)
    (frame,) = decode_frames(media, np.array([0]), (info.height, info.width)).numpy()
    rows, columns = info.height // 2, info.width // 2
    quarters = frame.mean(0)[:, : 2 * columns][: 2 * rows].reshape(2, rows, 2, columns)
    return (info.height, info.width), quarters.mean((1, 3)) > 128


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_turned_or_mirrored_clip_is_read_as_brickfilm_reads_it(
    turned: int, mirrored: bool, tmp_path: Path
) -> None:
    media = video(turned=turned, mirrored=mirrored)
    (tmp_path / "clip.mp4").write_bytes(media)
    with open_video(tmp_path / "clip.mp4") as reader:
        shown = next(reader.frames()).display_frame.to_ndarray(format="gray")
    size, white = white_quarter(media)
    assert size == shown.shape == ((48, 64) if turned % 180 == 0 else (64, 48))
    rows, columns = size[0] // 2, size[1] // 2
    quarters = shown.reshape(2, rows, 2, columns).mean((1, 3)) > 128
    assert white.tolist() == quarters.tolist()
    assert white.sum() == 1


def test_a_clip_is_mirrored_as_its_matrix_says() -> None:
    """Left and right change places, then it is turned: a rotation alone gives other corners."""
    corners = {(0, True): (0, 1), (0, False): (0, 0), (180, True): (1, 0), (180, False): (1, 1)}
    for (turned, mirrored), corner in corners.items():
        white = white_quarter(video(turned=turned, mirrored=mirrored))[1]
        assert np.argwhere(white).tolist() == [[*corner]], (turned, mirrored)


def test_a_clip_of_wide_pixels_is_read_in_square_ones() -> None:
    assert white_quarter(video(aspect=Fraction(4, 3)))[0] == (48, 85)
    assert white_quarter(video(aspect=Fraction(3, 4)))[0] == (64, 64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_read_as_sample_reads_it(orientation: int, kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "still"
    Image.fromarray(CORNER).save(file, kind, exif=exif)
    (height, width), white = white_quarter(file.read_bytes())
    sampled = read_image(file, height, width)[0].mean(0).numpy()
    quarters = sampled.reshape(2, height // 2, 2, width // 2).mean((1, 3)) > 0
    assert white.tolist() == quarters.tolist()
    assert white.sum() == 1


def test_a_clip_cut_without_encoding_has_the_frames_that_are_displayed() -> None:
    cut, hidden = io.BytesIO(), 3
    with av.open(io.BytesIO(encoded(0, 9, 48, 64))) as whole, av.open(cut, "w", "mp4") as output:
        stream = output.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                start = int(hidden / 24 / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - start,
                    packet.dts - start,
                    stream,
                )
                output.mux(packet)
    info = probe(cut.getvalue())
    assert info.frames == 9 - hidden
    frames = list(decode_in_chunks(cut.getvalue(), info.frames, (info.height, info.width)))
    assert [len(chunk) for chunk in frames] == [9 - hidden]


def test_a_clip_that_changes_size_is_named() -> None:
    media = encoded(0, 3, 48, 64)
    with pytest.raises(BadSample, match=r"displayed at 48x64, its row says 64x48: correct"):
        decode_frames(media, np.array([0]), (64, 48))


def test_a_clip_replaced_under_its_name_is_not_read(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    clips = [Toy(path="0.mp4"), Toy(path="1.mp4")]
    folder = write_dataset(tmp_path / "set", clips)
    for number in (0, 1):  # swapped
        (folder / "clips" / f"{number}.mp4").write_bytes(encoded(1 - number, 20, 144, 256))
    recipe = make_recipe(dataset=str(folder))
    stats = build_cache(recipe)
    assert stats.clips == 0
    assert ["was replaced: its sha256 is" in why for why in stats.failures] == [True, True]
    assert "was replaced" in batch_of(make_recipe(dataset=str(folder), latents="online"))[1]


def batch_of(recipe: Recipe) -> tuple[int, str]:
    """Load both clips of an indexed dataset; return how many there are, and why one is not."""
    folder = index_folder(recipe)
    spec = BatchSpec(recipe_aspect_buckets(recipe)[0], (0, 1), (7, 8), SamplerState())
    batch = SampleLoader(folder, recipe, Index.open(folder))(spec)
    return len(batch), " ".join(batch.skipped)


def test_clips_swapped_behind_a_table_are_indexed_anew(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"{number}.mp4").write_bytes(encoded(number, 3, 48, 64))
    (tmp_path / "set.csv").write_text("path,text\n0.mp4,zero\n1.mp4,one\n")
    before = build_index(str(tmp_path / "set.csv"), tmp_path / "index")
    shutil.move(tmp_path / "0.mp4", tmp_path / "2.mp4")
    shutil.move(tmp_path / "1.mp4", tmp_path / "0.mp4")
    shutil.move(tmp_path / "2.mp4", tmp_path / "1.mp4")
    after = build_index(str(tmp_path / "set.csv"), tmp_path / "index")
    assert [after.row(n).sha256 for n in (0, 1)] == [before.row(n).sha256 for n in (1, 0)]


def test_a_table_that_changes_during_a_run_ends_it(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", [Toy(), Toy(caption="another")])
    recipe = make_recipe(dataset=str(folder), latents="online")
    build_index(recipe.dataset, index_folder(recipe))
    assert batch_of(recipe) == (2, "")
    write_dataset(folder, [Toy(caption="another"), Toy()])
    with pytest.raises(DataError, match=r"train-0\.parquet changed during the run: start again"):
        batch_of(recipe)


def test_an_index_that_another_command_rewrites_ends_the_run(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "set", [Toy(), Toy(caption="another")])
    recipe = make_recipe(dataset=str(folder), latents="online")
    load = SampleLoader(
        index_folder(recipe), recipe, build_index(str(folder), index_folder(recipe))
    )
    write_dataset(folder, [Toy(caption="another"), Toy()])
    build_index(str(folder), index_folder(recipe))
    with pytest.raises(DataError, match="another command indexed it anew"):
        load(BatchSpec(recipe_aspect_buckets(recipe)[0], (0,), (7,), SamplerState()))


def test_a_table_that_is_not_utf_8_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "0.mp4").write_bytes(encoded(0, 3, 48, 64))
    (tmp_path / "set.csv").write_bytes("path,text\n0.mp4,un château\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"set\.csv is not UTF-8 \(byte 0xe2\).*iconv -f latin1"):
        build_index(str(tmp_path / "set.csv"), tmp_path / "index")
