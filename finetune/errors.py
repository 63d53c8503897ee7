"""Everything that can go wrong here, as one tree.

FinetuneError
├── ConfigError      a recipe or a network's description asks for what cannot be
├── WeightsError     a checkpoint that does not fit its network, or none where one was named
├── DataError        a dataset that cannot be trained on
│   └── BadSample    one clip of it: skipped and counted
├── CacheError       a cache that is missing, damaged, or of other encoders
├── EngineError      no such device, too little of it, or an engine that is not installed
├── CheckpointError  a run's checkpoint cannot be written, read, or continued
├── SamplingError    a sample that cannot be made as asked, or not be written
├── ReleaseError     a run that cannot be published, or a Hub that does not let us
└── TrainingStopped  the run ended itself: too many steps went wrong, or a rank was lost
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
"""What a disk refuses, and a user can mend; other errors of the system are bugs until proven."""


class FinetuneError(Exception):
    """Base of all errors that a user can mend; the message names thing, value and remedy."""


class ConfigError(FinetuneError):
    """A setting is unknown, of the wrong kind, or contradicts another."""


class WeightsError(FinetuneError):
    """Weights are missing, unreadable, or of another network; the message names the keys."""


class DataError(FinetuneError):
    """The dataset lacks something that training needs; the message says what and what to do."""


class BadSample(DataError):
    """One clip does not decode, or is not what its row says: it is skipped and counted."""


class CacheError(FinetuneError):
    """Cached latents or texts are missing, damaged, or were made by other encoders."""


class EngineError(FinetuneError):
    """The device or the engine asked for is not there, or the step does not fit into it."""


class CheckpointError(FinetuneError):
    """A checkpoint could not be written or read, or belongs to something else."""


class TrainingStopped(FinetuneError):
    """Too many steps were skipped, too many samples bad, or a rank was lost."""


class SamplingError(FinetuneError):
    """What was asked of a sampler cannot be: the message names the value and the nearest one."""


class ReleaseError(FinetuneError):
    """There is nothing to publish, or the Hub refuses it."""


@contextmanager
def exit_with_one_line() -> Iterator[None]:
    """For a command line: what a user can mend ends it with one line and exit code 1."""
    try:
        yield
    except FinetuneError as error:
        _exit_with_error(str(error))
    except OSError as error:
        if error.errno not in DISK_ERRNOS:
            raise
        _exit_with_error(f"{error}: make room there, let it be written to, or name another folder")


def _exit_with_error(reason: str) -> None:
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(1)
