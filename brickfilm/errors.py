"""Every error brickfilm raises on purpose. Anything else that escapes is a bug.

BrickfilmError
├── UsageError                the call is wrong; nothing was done (exit code 2)
│   ├── WiringError           a stage needs what no stage before it gives
│   ├── MissingKey            a service wants a key that no variable holds
│   ├── WorkdirBusy           another build holds this work folder
│   └── WorkdirUnusable       the work folder cannot be written, or is full
├── ServiceRefused            a service refuses all we send: a wrong key, an empty account
└── ItemError                 of one item; the others go on
    ├── Failed                did not work; the next run tries again
    │   ├── MediaError        a file that cannot be decoded, or lies about itself
    │   ├── Lost              a paid request without an answer: perhaps charged
    │   │   └── Spoilt        an answer that is no use, and its bill
    │   └── WorkerDied        the item kills the process that works on it
    ├── Rejected              by design, with a reason; remembered
    └── Waiting               a limit was reached; the next run goes on by itself
"""

from __future__ import annotations

from collections.abc import Mapping


class BrickfilmError(Exception):
    """The root of the tree: catch it to catch everything that brickfilm raises on purpose."""


class UsageError(BrickfilmError):
    """The call is wrong: nothing was done."""


class WiringError(UsageError):
    """A stage needs what no stage before it gives."""


class MissingApiKey(UsageError):
    """A service wants a key, and no setting or environment variable holds one."""


class WorkdirBusy(UsageError):
    """Another build holds this work folder."""


class WorkdirUnusable(UsageError):
    """The work folder cannot be written."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after what flew has landed; the message says how to go on. Exit code 130."""


class ServiceRefused(BrickfilmError):
    """A service refuses everything we send (a wrong key, an empty account): going on is pointless.

    The build stops as after Ctrl-C: what flies lands and is kept.
    """


class ItemError(BrickfilmError):
    """An error of one item. `reason` is the word it is counted under, the message is for people.

    `record` is the record it is about where that is not the item the stage was given: a shot, say.
    """

    default_reason = "error"

    def __init__(self, message: str, *, reason: str | None = None, record: object = None) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason
        self.record = record

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), str(self), self.reason, self.record))


def _rebuild(kind: type[ItemError], message: str, reason: str, record: object) -> ItemError:
    """Unpickle an item's error: its constructor takes the reason by keyword."""
    return kind(message, reason=reason, record=record)


class Failed(ItemError):
    """Did not work this time; the next run tries again."""

    default_reason = "failed"


class MediaError(Failed):
    """A file that cannot be decoded, or lies about itself."""

    default_reason = "unreadable"


class NoResponse(Failed):
    """A paid request without an answer: it may have been charged, so its money stays reserved."""

    default_reason = "no answer"


class InvalidResponse(NoResponse):
    """An answer that is no use. `bill` says what it cost, as an answer would; it is asked again."""

    default_reason = "malformed answer"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        record: object = None,
        bill: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, record=record)
        self.bill = bill or {}


class WorkerDied(Failed):
    """The item kills the process that works on it."""

    default_reason = "worker died"


class Rejected(ItemError):
    """Left out by design. `apply` yields it, a worker raises it; either way it is remembered."""

    default_reason = "rejected"


class Waiting(ItemError):
    """A limit was reached (budget, daily cap) or a job is pending: the next run goes on."""

    default_reason = "waiting"
