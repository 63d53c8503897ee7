"""Name ranks that take longer than the others for their own part of a step."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from statistics import median_low

from finetune.engines.distributed import all_gather, node_number

log = logging.getLogger(__name__)

SLOW = 1.5  # times the median of all ranks
LEAST_SECONDS = 0.02  # steps of toy networks differ by less


class SlowRanks:
    """Compares the seconds that ranks wait for data and compute, until they wait for each other.

    places: of the ranks, by default their nodes and hosts; every rank must call then.
    """

    def __init__(self, places: Sequence[str] = ()) -> None:
        here = f"node {node_number()}, {socket.gethostname()}"
        self._places = places or all_gather(here)
        self._named: set[int] = set()

    def warn(self, step: int, seconds: Sequence[float]) -> None:
        """Log the ranks that have become slow; each again only after it has been fast."""
        usual = median_low(seconds)
        slow = {n for n, s in enumerate(seconds) if s > max(SLOW * usual, usual + LEAST_SECONDS)}
        for rank in sorted(slow - self._named):
            log.warning(
                "step %d: rank %d (%s) is slow: %.2f s of its own a step, the median is %.2f; "
                "all others wait for it",
                *(step, rank, self._places[rank], seconds[rank], usual),
            )
        self._named = slow
