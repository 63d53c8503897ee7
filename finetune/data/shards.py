"""Store cached tensors in safetensors shards, with one memory-mapped index.

A store is a folder: shards `*.safetensors` of tensors `<key>.<part>`, where a key is 64 hex digits;
`about.json` names the encoder; `keys.npy`, replaced atomically, maps each key to its shard's name.
Each row of a tensor has a checksum, which every read compares.
"""

from __future__ import annotations

import json
import secrets
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from brickfilm.digest import digest_of
from brickfilm.files import atomic_path, atomic_write, parse_json
from finetune.data.array_files import map_array
from finetune.errors import CacheError

ABOUT_FILE, KEYS_FILE = "about.json", "keys.npy"
CHECK_ENTRY = "check"  # of about.json: a digest of the others
CHECKSUM_PART = "crc"
STALE_AFTER_S = 3600  # age of a temporary file that no process writes any more
NamedTensors = dict[str, Tensor]  # of equal length; one checksum covers row i of all


def row_checksum(parts: NamedTensors, row: int) -> int:
    """Return CRC-32 over one row of every part, the parts in order of their names."""
    crc = 0
    for name in sorted(parts):
        crc = zlib.crc32(parts[name][row].contiguous().view(torch.uint8).numpy().data, crc)
    return crc


class ShardWriter:
    """Collect entries and write shards of about `max_bytes`, atomically."""

    def __init__(self, folder: Path, writer: str, *, max_bytes: int = 256 * 2**20) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.writer, self.max_bytes = folder, writer, max_bytes
        self._waiting: dict[str, Tensor] = {}
        self._bytes = 0

    def add(self, key: str, parts: NamedTensors) -> None:
        """Add `parts` under `key`; they are written when the shard is full, or at `close`."""
        rows = len(next(iter(parts.values())))
        checks = torch.tensor([row_checksum(parts, row) for row in range(rows)])
        for name, tensor in {**parts, CHECKSUM_PART: checks}.items():
            self._waiting[f"{key}.{name}"] = tensor.contiguous()
            self._bytes += tensor.nbytes
        if self._bytes >= self.max_bytes:
            self.close()

    def close(self) -> None:
        """Write the remaining entries."""
        if not self._waiting:
            return
        # a name that no other process uses and no index refers to
        name = f"{self.writer}-{secrets.token_hex(4)}.safetensors"
        try:
            with atomic_path(self.folder / name) as temporary:
                save_file(self._waiting, temporary)
        except (OSError, SafetensorError) as error:
            raise CacheError(
                f"{self.folder / name} could not be written ({error}): make room, then run the "
                "same command again, which resumes here"
            ) from error
        self._waiting, self._bytes = {}, 0


def delete_stale_temp_files(cache: Path) -> None:
    """Delete temporary files of killed processes; writing a shard takes seconds."""
    for unfinished in cache.rglob("*.safetensors.*.tmp"):
        with suppress(FileNotFoundError):  # renamed meanwhile
            if time.time() - unfinished.stat().st_mtime > STALE_AFTER_S:
                unfinished.unlink()


def stored_keys(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every key of a store with its shard, reading only headers."""
    for shard in sorted(folder.glob("*.safetensors")):
        for key in OpenShard(shard).parts:
            yield key, shard


class OpenShard:
    """A shard as a memory map, with the names of each key's parts."""

    def __init__(self, path: Path) -> None:
        """Open a shard; raise CacheError if it is damaged."""
        self.path = path
        try:
            self.handle: Any = safe_open(path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise CacheError(
                f"shard {path} is damaged ({error}): delete it and run `finetune cache` "
                "again, which encodes what is missing"
            ) from error
        self.parts: dict[str, list[str]] = {}
        handle: Any = self.handle
        for name in list(handle.keys()):  # the handle itself does not iterate
            key, _, part = name.partition(".")
            if part != CHECKSUM_PART:
                self.parts.setdefault(key, []).append(part)


def write_key_index(folder: Path, about: Mapping[str, Any]) -> int:
    """Write the index of a store's shards; return the number of keys.

    One that says the same already, of this version or an earlier one, is left as it is.
    """
    shards = {int(key[:16], 16): shard.name for key, shard in stored_keys(folder)}
    longest = max((len(name) for name in shards.values()), default=1)
    table = np.array(sorted(shards.items()), dtype=[("key", "<u8"), ("shard", f"S{longest}")])
    named = _with_earlier_names(folder, about)
    if _is_current(folder, named, table):
        return len(shards)
    with atomic_write(folder / ABOUT_FILE) as stream:
        stream.write(json.dumps({**named, CHECK_ENTRY: digest_of(named)}, indent=1).encode())
    keys = BytesIO()
    np.save(keys, table)
    with atomic_write(folder / KEYS_FILE) as stream:
        stream.write(keys.getvalue() + _crc(keys.getvalue()))
    return len(shards)


def _is_current(folder: Path, about: Mapping[str, Any], table: NDArray[np.void]) -> bool:
    try:
        return read_about(folder) == about and np.array_equal(_read_keys(folder), table)
    except (CacheError, OSError):
        return False


def _with_earlier_names(folder: Path, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `about` with other names under which the same encoder filled the store.

    That of a store which has this name already is returned as it is; a damaged one is replaced.
    """
    try:
        before = read_about(folder)
    except CacheError:
        return about
    if before.get("digest") != about.get("digest"):
        return about
    names = {before["encoder"], *before.get("other_names", ())}
    if about["encoder"] in names:
        return before
    return {**about, "other_names": sorted(names)}


def read_about(folder: Path) -> dict[str, Any]:
    """Return what is written about a store; raise CacheError if that is damaged or missing."""
    file = folder / ABOUT_FILE
    try:
        about: dict[str, Any] = parse_json(file.read_bytes())
        check = about.pop(CHECK_ENTRY, None)  # none in stores of earlier versions
        if check not in (None, digest_of(about)) or "encoder" not in about:
            raise ValueError("its digest is of another content")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CacheError(
            f"{file} is damaged ({error}): run `finetune cache` again, which writes it anew; "
            "delete it if it is of another recipe"
        ) from error
    return about


def _read_keys(folder: Path) -> NDArray[np.void]:
    """Map the index of a store's keys; raise CacheError if it is damaged.

    A checksum follows the array; stores of earlier versions have none.
    """
    file = folder / KEYS_FILE
    content = file.read_bytes()
    is_checked = content[-4:] == _crc(content[:-4])
    try:
        keys: NDArray[np.void] = map_array(file)
        is_old = len(content) == getattr(keys, "offset", 0) + keys.nbytes
        if not (is_checked or is_old) or keys.dtype.names != ("key", "shard"):
            raise ValueError("its checksum is of another content")
    except (OSError, ValueError) as error:
        raise CacheError(
            f"{file} is damaged ({error}): run `finetune cache` again, which writes it anew"
        ) from error
    return keys


def _crc(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


class ShardReader:
    """Read an indexed store; cheap to pickle for another process."""

    def __init__(self, folder: Path) -> None:
        if not (folder / KEYS_FILE).exists():
            raise CacheError(f"no cache at {folder}: run `finetune cache RECIPE` first")
        self.folder = folder
        self.about = read_about(folder)

    @cached_property
    def _index(self) -> NDArray[np.void]:
        return _read_keys(self.folder)

    @cached_property
    def _open_shards(self) -> dict[str, OpenShard]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "about": self.about}  # without maps and handles

    def contains(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return a mask [N] of the digests [N, 32] that the store holds."""
        keys = np.ascontiguousarray(digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)
        return np.isin(keys, self._index["key"])

    def shard_names(self) -> list[str]:
        """Return the names of the shards that the index refers to."""
        return [name.decode() for name in np.unique(self._index["shard"]).tolist()]

    def read(self, key: str, rows: NDArray[np.int64] | None = None) -> NamedTensors:
        """Read rows of all of a key's parts (all rows for None) and compare their checksums.

        Raise CacheError for a key that is missing or damaged.
        """
        shard = self._open(key)
        if key not in shard.parts:
            raise self._missing_key_error(key)
        slices = {name: shard.handle.get_slice(f"{key}.{name}") for name in shard.parts[key]}
        checks = shard.handle.get_tensor(f"{key}.{CHECKSUM_PART}")
        numbers = range(len(checks)) if rows is None else rows.tolist()
        parts = {n: torch.stack([slices[n][row] for row in numbers]) for n in slices}
        for position, row in enumerate(numbers):
            if row_checksum(parts, position) != int(checks[row]):
                raise CacheError(
                    f"shard {shard.path} is damaged at {key[:12]}, row {row}: delete the file and "
                    "run `finetune cache` again, which encodes what is missing"
                )
        return parts

    def _open(self, key: str) -> OpenShard:
        number = int(key[:16], 16)
        position = int(np.searchsorted(self._index["key"], np.uint64(number)))
        if position == len(self._index) or int(self._index[position]["key"]) != number:
            raise self._missing_key_error(key)
        name = self._index[position]["shard"].decode()
        if name not in self._open_shards:
            self._open_shards[name] = OpenShard(self.folder / name)
        return self._open_shards[name]

    def _missing_key_error(self, key: str) -> CacheError:
        return CacheError(
            f"the cache at {self.folder} has no {key[:12]}: run `finetune cache` again, "
            "which encodes what is missing"
        )
