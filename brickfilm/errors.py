"""Every error that brickfilm raises on purpose; any other is a bug.

BrickfilmError
├── UsageError                the call is wrong; nothing was done (exit code 2)
│   ├── WiringError           a stage requires what no stage before it provides
│   ├── MissingApiKey         no setting or environment variable has the API key
│   ├── WorkdirBusy           another build is using this work folder
│   └── WorkdirUnusable       the work folder cannot be written, or its disk is full
├── ServiceRefused            a service refuses every request: a wrong key, an empty account
└── ItemError                 an error of one item; the others continue
    ├── Failed                did not work; the next run tries again
    │   ├── MediaError        a file that cannot be decoded, or contradicts its own header
    │   ├── NoResponse        a paid request without a response: it may have been charged
    │   │   └── InvalidResponse   a response that cannot be used, with its cost
    │   └── WorkerDied        the item kills the process that works on it
    ├── Rejected              left out by design, with a reason; stored
    └── Waiting               a limit was reached or a batch job is open; the next run continues
"""

from __future__ import annotations

from collections.abc import Mapping

from brickfilm.schema.public_text import public_text, visible


class BrickfilmError(Exception):
    """Base class of all that brickfilm raises on purpose; its message may be shown to anybody."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(visible(public_text(a)) if isinstance(a, str) else a for a in args))


class UsageError(BrickfilmError):
    """The call is wrong; nothing was done."""


class WiringError(UsageError):
    """A stage requires something that no stage before it provides."""


class MissingApiKey(UsageError):
    """A service needs an API key, and no setting or environment variable has one."""


class WorkdirBusy(UsageError):
    """Another build is using this work folder."""


class WorkdirUnusable(UsageError):
    """The work folder cannot be written, or its disk is full."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after calls in flight completed; the message says how to continue. Exit code 130."""


class ServiceRefused(BrickfilmError):
    """A service refuses every request (a wrong key, an empty account).

    The build stops as after Ctrl-C: calls in flight complete and their answers are saved.
    """


class ItemError(BrickfilmError):
    """An error of one item: `reason` is a short phrase for counting, the message is for people.

    record: the record it is about, if that is not the stage's item but, say, a clip of it.
    """

    default_reason = "error"

    def __init__(self, message: str, *, reason: str | None = None, record: object = None) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason
        self.record = record

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), str(self), self.reason, self.record))


def _rebuild(kind: type[ItemError], message: str, reason: str, record: object) -> ItemError:
    """Unpickle an item's error, whose constructor takes the reason by keyword."""
    return kind(message, reason=reason, record=record)


class Failed(ItemError):
    """The item did not work this time; the next run tries again."""

    default_reason = "failed"


class MediaError(Failed):
    """A file that cannot be decoded, or contradicts its own header."""

    default_reason = "unreadable"


class NoResponse(Failed):
    """A paid request without a response: it may have been charged, so its cost stays reserved."""

    default_reason = "no answer"


class InvalidResponse(NoResponse):
    """A response that cannot be used; `bill` has its cost like an answer.

    It is requested again, a few times, unless `final` says that this is useless.
    """

    default_reason = "malformed answer"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        record: object = None,
        bill: Mapping[str, object] | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(message, reason=reason, record=record)
        self.bill = bill or {}
        self.final = final


class WorkerDied(Failed):
    """The item kills the process that works on it."""

    default_reason = "worker died"


class Rejected(ItemError):
    """Left out by design: yielded by `apply`, or raised in a worker and then stored."""

    default_reason = "rejected"


class Waiting(ItemError):
    """A limit was reached (budget, daily cap) or a batch job is open; the next run continues."""

    default_reason = "waiting"
