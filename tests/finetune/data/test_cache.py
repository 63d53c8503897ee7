"""The cache: exact for any window, resumable, verified, and only of the recipe's encoders."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi

from brickfilm.schema.shard_number import ShardNumber
from finetune.config import Recipe
from finetune.data.bucket_coverage import bucket_coverage
from finetune.data.cache import CacheStats, build_cache, verify
from finetune.data.cache_layout import (
    cached_clips,
    caption_key,
    index_folder,
    missing_from_cache,
    open_store,
    open_text_store,
)
from finetune.data.encoders import load_text_encoder, load_vae
from finetune.data.index import Index
from finetune.data.loader import SampleLoader
from finetune.data.row_media import read_media
from finetune.data.sampler import BatchSpec, Sampler, SamplerState
from finetune.data.shards import ShardReader, ShardWriter, stored_keys, write_key_index
from finetune.errors import CacheError, ConfigError, DataError
from finetune.models.stdit2.vae import VAE
from tests.finetune.conftest import MakeRecipe
from tests.kit.servers.hub import HubServer
from tests.kit.toy_clips import Toy, encoded, write_dataset


def batch_specs(recipe: Recipe, count: int) -> list[BatchSpec]:
    index = Index.open(index_folder(recipe))
    sampler = Sampler(index, recipe, np.ones(len(index), dtype=bool), recipe.seed)
    return list(islice(sampler.batch_specs(SamplerState()), count))


def loading(recipe: Recipe) -> SampleLoader:
    folder = index_folder(recipe)
    return SampleLoader(folder, recipe, Index.open(folder))


@pytest.mark.slow
def test_cached_windows_are_those_of_the_pixels(make_recipe: MakeRecipe) -> None:
    cached, pixels = make_recipe(), make_recipe(latents="online")
    stats = build_cache(cached)
    assert (stats.clips, stats.captions, stats.failures) == (6, 6, [])
    index, cpu = Index.open(index_folder(cached)), torch.device("cpu")
    vae, text = load_vae(cached, cpu), load_text_encoder(cached, index, cpu)
    for spec in batch_specs(cached, 3):
        ours, theirs = loading(cached)(spec), loading(pixels)(spec)
        for mine, other in zip(ours.samples, theirs.samples, strict=True):
            mean, std = vae.encode_distribution(other.window["pixels"])
            torch.testing.assert_close(mine.window["mean"], mean, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(mine.window["std"], std, rtol=1e-5, atol=1e-6)
            states, mask, _ = text.encode([other.caption])
            torch.testing.assert_close(mine.text["states"], states[0][mask[0]])
            assert mine.fps == other.fps == 12.0


@pytest.mark.slow
def test_a_second_call_encodes_only_what_is_missing(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    build_cache(recipe)
    again = build_cache(recipe)
    assert (again.clips, again.captions) == (0, 0)
    shard = next(Path(recipe.cache).rglob("144x256/*.safetensors"))
    shard.unlink()
    assert build_cache(recipe).clips == 6
    assert verify(recipe) == 12


def test_clips_that_are_all_too_short_are_named_before_encoding(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(frame_interval=50)
    with pytest.raises(DataError, match=r"(?s)no clip for bucket .*the longest has \d+"):
        build_cache(recipe)
    assert not list(Path(recipe.cache).rglob("*.safetensors"))


@pytest.mark.slow
def test_several_processes_make_the_same_cache(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    one, two = make_recipe(), make_recipe(cache=str(tmp_path / "other"))
    build_cache(one)
    assert build_cache(two, processes=2).clips == 6
    for spec in batch_specs(one, 3):
        for a, b in zip(loading(one)(spec).samples, loading(two)(spec).samples, strict=True):
            # to float32's rounding: a worker may sum with another number of threads
            torch.testing.assert_close(a.window["mean"], b.window["mean"], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_shards_fill_one_cache(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(cache=str(tmp_path / "shared"))
    check_shards(recipe, [build_cache(recipe, 1, ShardNumber(n, 2)) for n in range(2)])


@pytest.mark.soak
def test_shards_at_the_same_time_fill_one_cache(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(cache=str(tmp_path / "shared"))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        calls = [pool.submit(build_cache, recipe, 1, ShardNumber(n, 2)) for n in range(2)]
        check_shards(recipe, [call.result() for call in calls])


def check_shards(recipe: Recipe, parts: Sequence[CacheStats]) -> None:
    """Check that every clip was encoded once, and that the index has all."""
    assert sum(part.clips for part in parts) == 6
    assert min(part.clips for part in parts) > 0
    assert cached_clips(Index.open(index_folder(recipe)), recipe).all()
    assert verify(recipe) == 12


def test_a_clip_that_does_not_decode_is_skipped_and_counted(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    clips = [Toy(), Toy(media=b"no film at all"), Toy(frames=20), Toy(frames=20)]
    folder = write_dataset(tmp_path / "set", clips)
    recipe = make_recipe(dataset=str(folder))
    stats = build_cache(recipe)
    assert stats.clips == 3
    assert len(stats.failures) == 1 and "does not decode" in stats.failures[0]
    index = Index.open(index_folder(recipe))
    assert cached_clips(index, recipe).tolist() == [True, False, True, True]
    batch = loading(make_recipe(dataset=str(folder), latents="online"))(
        BatchSpec(batch_specs(recipe, 1)[0].aspect_bucket, (1, 2), (7, 8), SamplerState())
    )
    assert (len(batch), batch.seeds, len(batch.skipped)) == (1, (8,), 1)


def test_media_that_are_not_there_are_skipped_and_named(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "set", [Toy(), Toy(path="gone.mp4"), Toy(path="here.mp4")])
    (folder / "clips" / "here.mp4").write_bytes(encoded(2, 20, 144, 256))
    recipe = make_recipe(dataset=str(folder))
    stats = build_cache(recipe)
    assert stats.clips == 2
    (failures,) = stats.failures
    assert "cannot be read" in failures and "gone.mp4" in failures
    spec = BatchSpec(batch_specs(recipe, 1)[0].aspect_bucket, (1, 2), (7, 8), SamplerState())
    pixels = loading(make_recipe(dataset=str(folder), latents="online"))
    batch = pixels(spec)
    assert (len(batch), batch.seeds) == (1, (8,)) and "gone.mp4" in batch.skipped[0]


def test_media_on_the_hub_are_fetched_once(
    make_recipe: MakeRecipe, tmp_path: Path, hub: HubServer
) -> None:
    repo = {"repo_id": "maker/films", "repo_type": "dataset"}
    HfApi().create_repo(**repo)
    clip = encoded(0, 20, 144, 256)
    HfApi().upload_file(path_or_fileobj=clip, path_in_repo="0.mp4", **repo)
    places = "maker/films/0.mp4", "maker/films@main/0.mp4", "maker/films/1.mp4", "maker/other/0.mp4"
    media = clip, clip, b"another", b"a third"
    clips = [
        Toy(path=f"hf://datasets/{place}", media=content)
        for place, content in zip(places, media, strict=True)
    ]
    HfApi().upload_folder(folder_path=write_dataset(tmp_path / "set", clips), **repo)
    recipe = make_recipe(dataset="maker/films")
    stats = build_cache(recipe)
    assert stats.clips == 1
    assert sorted("1.mp4" in why for why in stats.failures) == [False, True]
    assert sorted("not in their own folder" in why for why in stats.failures) == [False, True]
    index = Index.open(index_folder(recipe))
    assert [read_media(index.row(number)) for number in (0, 1)] == [clip, clip]
    assert hub.count("GET /cdn/") == 2  # the table and the clip, once each


@pytest.mark.slow
def test_a_damaged_shard_is_named(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    build_cache(recipe)
    shard = next(Path(recipe.cache).rglob("144x256/*.safetensors"))
    whole = bytearray(shard.read_bytes())
    whole[-100] ^= 1
    shard.write_bytes(whole)
    with pytest.raises(CacheError, match=shard.name):
        verify(recipe)
    skipped = [why for spec in batch_specs(recipe, 3) for why in loading(recipe)(spec).skipped]
    assert all("damaged" in why for why in skipped)
    shard.write_bytes(whole[:5000])
    with pytest.raises(CacheError, match="is damaged"):
        verify(recipe)


def text_store(recipe: Recipe, captions: list[str], name: str = "t5", digest: str = "1") -> Path:
    """Write a store of captions by an encoder of this name and digest."""
    folder = Path(recipe.cache) / f"text-{digest}"
    writer = ShardWriter(folder, "000")
    for caption in captions:
        writer.add(caption_key(caption), {"states": torch.ones(1, 3, 16)})
    writer.close()
    about = {"encoder": name, "digest": digest, "text_tokens": recipe.text_tokens}
    write_key_index(folder, about)
    return folder


@pytest.mark.slow
def test_captions_edited_after_caching_are_counted(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    build_cache(recipe)
    index = Index.open(index_folder(recipe))
    text_store(recipe, [index.row(number).caption for number in range(1, 6)])
    missing = missing_from_cache(index, recipe, "t5")
    coverage = bucket_coverage(index, recipe, missing)
    assert coverage.dropped == {"caption not in the cache": 1}
    assert coverage.usable.tolist() == [False, True, True, True, True, True]


def test_captions_cached_with_other_text_tokens_are_named(make_recipe: MakeRecipe) -> None:
    text_store(make_recipe(), ["a"])
    with pytest.raises(CacheError, match=r"text_tokens 16, the recipe says 8: .* text_tokens=16"):
        open_text_store(make_recipe(text_tokens=8), "t5")
    text_store(make_recipe(text_tokens=8), ["a"], digest="2")
    assert open_text_store(make_recipe(text_tokens=8), "t5").folder.name == "text-2"
    assert open_text_store(make_recipe(), "t5").folder.name == "text-1"


def test_one_encoder_may_have_two_names(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    folder = text_store(recipe, ["a"], "me/t5")
    text_store(recipe, ["b"], "/models/t5")
    for name in ("me/t5", "/models/t5"):
        assert open_text_store(recipe, name).folder == folder
    text_store(recipe, ["c"], "other/t5", digest="2")
    with pytest.raises(CacheError, match="has no text of 'no/t5'"):
        open_text_store(recipe, "no/t5")


@pytest.mark.slow
def test_a_latent_that_is_not_finite_is_neither_cached_nor_read(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe()
    build_cache(recipe)
    (shard,) = Path(recipe.cache).glob("latents-*/144x256/*.safetensors")
    keys = [key for key, _ in stored_keys(shard.parent)]
    shard.unlink()
    writer = ShardWriter(shard.parent, "000")
    for key in keys:
        nan = {name: torch.full((20, 4, 18, 32), torch.nan) for name in ("mean", "std")}
        writer.add(key, nan)
    writer.close()
    write_key_index(shard.parent, {"encoder": "tiny-random"})
    (skipped, _) = loading(recipe)(batch_specs(recipe, 1)[0]).skipped
    assert "its latent in cache" in skipped and "has NaN or infinity: delete" in skipped
    encode = VAE.encode_window
    monkeypatch.setattr(
        VAE, "encode_window", lambda self, x: {n: t / 0 for n, t in encode(self, x).items()}
    )
    shutil.rmtree(shard.parent)
    failures = build_cache(recipe).failures
    assert len(failures) == 6
    assert "its latent has NaN or infinity in float32, stored as float32" in failures[0]


@pytest.mark.slow
def test_a_cache_of_another_vae_is_refused(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    build_cache(recipe)
    with pytest.raises(CacheError, match=r"of 'other/vae', it holds those of tiny-random"):
        open_store(Path(recipe.cache), "latents", "other/vae", "144x256")
    with pytest.raises(CacheError, match="holds none"):
        open_store(Path(recipe.cache) / "nowhere", "latents", "tiny-random", "144x256")


@pytest.mark.slow
def test_a_caption_over_the_limit_is_cut_and_counted_or_refused(
    make_recipe: MakeRecipe,
) -> None:
    recipe = make_recipe(text_tokens=3)
    assert build_cache(recipe).truncated == 6
    with pytest.raises(ConfigError, match="tokens over 4"):
        build_cache(make_recipe(text_tokens=4, long_captions="error"))


def test_a_store_reads_the_rows_asked_for(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "000", max_bytes=1)
    values = {digit * 64: torch.randn(5, 2) for digit in "3f"}
    for key, tensor in values.items():
        writer.add(key, {"mean": tensor})
    write_key_index(tmp_path, {"encoder": "e"})
    for key, tensor in values.items():
        rows = np.array([0, 4, 4])
        assert torch.equal(ShardReader(tmp_path).read(key, rows)["mean"], tensor[[0, 4, 4]])
    with pytest.raises(CacheError, match="has no 999999999999"):
        ShardReader(tmp_path).read("9" * 64)


def test_an_index_holds_when_shards_come_and_go_after_it(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "latents-0" / "144x256"

    def write(digit: str, writer: str) -> None:
        shard = ShardWriter(folder, writer)
        shard.add(digit * 64, {"mean": torch.ones(1, 2), "std": torch.ones(1, 2)})
        shard.close()

    write("3", "001")
    write("f", "001")
    write_key_index(folder, {"encoder": "e"})
    write("5", "000")  # a build that is killed before it writes an index
    reader = ShardReader(folder)
    assert reader.read("f" * 64)["mean"].tolist() == [[1.0, 1.0]]
    assert verify(make_recipe()) == 3
    assert ShardReader(folder).read("5" * 64)["mean"].tolist() == [[1.0, 1.0]]
    (gone,) = [shard for key, shard in stored_keys(folder) if key[0] == "f"]
    gone.unlink()
    write("7", "001")  # takes no name that the index knows
    with pytest.raises(CacheError, match=f"{gone.name} is damaged"):
        ShardReader(folder).read("f" * 64)


def test_two_writers_of_one_name_keep_what_both_wrote(tmp_path: Path) -> None:
    writers = [ShardWriter(tmp_path, "000") for _ in range(2)]
    for writer, digit in zip(writers, "3f", strict=True):
        writer.add(digit * 64, {"mean": torch.ones(1, 2)})
    for writer in writers:
        writer.close()
    assert sorted(key[0] for key, _ in stored_keys(tmp_path)) == ["3", "f"]


@pytest.mark.slow
def test_what_a_killed_process_left_is_swept_when_it_is_old(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    build_cache(recipe)
    (store,) = Path(recipe.cache).glob("latents-*/144x256")
    old, new = store / "000-1.safetensors.7.tmp", store / "000-2.safetensors.8.tmp"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    build_cache(recipe)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.slow
def test_two_encodings_of_one_name_are_named(make_recipe: MakeRecipe) -> None:
    """Weights of one name may change; a cache must not mix their latents."""
    recipe = make_recipe()
    build_cache(recipe)
    (one,) = Path(recipe.cache).glob("latents-*")
    shutil.copytree(one, one.with_name("latents-0123"))
    with pytest.raises(CacheError, match=r"144x256 of more than one 'tiny-random'.*latents-0123"):
        cached_clips(Index.open(index_folder(recipe)), recipe)
