"""The report of a removal: removed rows, completed actions, and the reply to the requester."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from brickfilm.engine.tombstones import Tombstone
from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.hub.removal.request import MatchedRows, RemovalRequest, count_rows


class NothingToRemoveError(UsageError):
    """No row matches the request."""


@dataclass
class RemovalReport:
    """Removed rows, completed actions and next steps, filled in as the removal proceeds."""

    request: RemovalRequest
    date: str
    """ISO 8601."""
    clips: Mapping[str, str] = field(default_factory=dict)
    """Id of each clip, with its time span and source as text."""
    images: Sequence[str] = ()
    actions: list[str] = field(default_factory=list)
    """Completed actions in order, as text for the requester."""
    next_steps: list[str] = field(default_factory=list)
    """Remaining steps, as text for the operator."""
    has_tombstone: bool = False
    """True if a tombstone keeps the clips out of later builds."""
    tombstone: Tombstone = field(init=False)
    """Everything that the request covers, as far as it is known by now."""

    def __post_init__(self) -> None:
        self.tombstone = self.request.tombstone

    def add_rows(self, rows: MatchedRows) -> None:
        """Add rows to the clips and images of the reply."""
        clips = {
            str(row["id"]): f"{row['start']:.3f}-{row['end']:.3f} s of {row['source_title']!r} "
            f"({row['source_url'] or row['source_id']})"
            for row in rows.clips.to_dict("records")
        }
        self.clips = {**self.clips, **clips}
        self.images = sorted({*self.images, *rows.images.id})

    def reply_text(self) -> str:
        """Return the reply to the requester; it names no path of this machine."""
        lines = [
            f"Removed on {self.date} on request, {self.request.kind} {self.request.name!r}: "
            f"{count_rows(self.clips, self.images)}, with their captions.",
            *(f"- {clip}: {description}" for clip, description in sorted(self.clips.items())),
            "Actions:",
            *(f"- {action}" for action in self.actions),
        ]
        if self.has_tombstone:
            lines.append("Later builds of this dataset will not include them again.")
        return "\n".join(lines)


class PartialRemovalError(BrickfilmError):
    """A repository still contains what was removed elsewhere."""

    def __init__(self, report: RemovalReport, errors: Sequence[BrickfilmError]) -> None:
        messages = "; ".join(map(str, errors))
        super().__init__(f"{messages}. Run the same command again: removed rows stay removed")
        self.report = report
