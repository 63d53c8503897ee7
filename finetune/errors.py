"""The tree of exceptions, below brickfilm's `BrickfilmError`.

FinetuneError
├── ConfigError      an invalid setting of a recipe or a network
├── WeightsError     weights that are missing or do not fit their network
├── DataError        a dataset that cannot be trained on
│   └── BadSample    one clip of it: skipped and counted
├── CacheError       a cache that is missing, damaged, or of other encoders
├── EngineError      a device or an engine that is missing, or too little GPU memory
├── CheckpointError  a checkpoint that cannot be written, read, or resumed from
├── SamplingError    a sample that cannot be made as requested, or not be written
├── ReleaseError     a run that cannot be released
└── TrainingStopped  the run stopped itself: too many skipped steps, or a lost rank
    └── LoaderKilled a loader process was killed

ConfigError, SamplingError and ReleaseError are brickfilm's UsageError too: the exit code is 2.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.schema.system_limits import remedy_of_limit

DISK_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
}
"""System errors that a user can fix on disk; others are bugs."""


class FinetuneError(BrickfilmError):
    """Base of all errors that a user can fix; the message names thing, value and remedy."""


class ConfigError(FinetuneError, UsageError):
    """A setting is unknown, of the wrong kind, or contradicts another."""


class WeightsError(FinetuneError):
    """Weights are missing, unreadable, or of another network; the message names the keys."""


class DataError(FinetuneError):
    """The dataset lacks something that training needs; the message names it and the remedy."""


class BadSample(DataError):
    """A clip does not decode, or does not match its row: it is skipped and counted."""


class CacheError(FinetuneError):
    """Cached latents or text states are missing, damaged, or of other encoders."""


class EngineError(FinetuneError):
    """The recipe's device or engine is missing, or a step does not fit into GPU memory."""


class CheckpointError(FinetuneError):
    """A checkpoint cannot be written or read, or belongs to another network or dataset."""


class TrainingStopped(FinetuneError):
    """Too many steps were skipped, too many samples bad, or a rank was lost."""


class LoaderKilled(TrainingStopped):
    """A loader process was killed; the run saves a checkpoint before it ends with this."""


class SamplingError(FinetuneError, UsageError):
    """A sample request is invalid; the message names the value and the nearest valid one."""


class ReleaseError(FinetuneError, UsageError):
    """There is nothing to publish, or the Hub refuses it."""


@contextmanager
def exit_with_one_line() -> Iterator[None]:
    """Print an error that a user can fix as one line; exit with 2 for wrong usage, else with 1."""
    try:
        yield
    except BrickfilmError as error:
        _exit_with_error(str(error), 2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        if error.errno in DISK_ERRNOS:
            _exit_with_error(f"{error}: make room there, make it writable, or name another folder")
        if not (remedy := remedy_of_limit(error)):
            raise
        _exit_with_error(f"{error.strerror}: {remedy}")


def _exit_with_error(message: str, code: int = 1) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
