"""Show a preflight as a table, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from finetune.preflight.checks import Check, failed
from finetune.preflight.facts import RankFacts
from finetune.preflight.folders import FolderProbe
from finetune.preflight.links import LinkSpeed


@dataclass(frozen=True, kw_only=True)
class PreflightReport:
    """Facts and verdicts of a preflight, the same on every rank."""

    facts: Sequence[RankFacts]
    checks: Sequence[Check]
    clocks: Mapping[int, float] = field(default_factory=dict)  # node -> seconds ahead of node 0
    folders: Sequence[FolderProbe] = ()
    links: Sequence[LinkSpeed] = ()
    expected: Mapping[str, float] = field(default_factory=dict)  # link -> GB/s it should give

    @property
    def is_ready(self) -> bool:
        """Tell if the training can start: no check failed."""
        return not failed(self.checks)

    @property
    def verdict(self) -> str:
        """Return the last line."""
        count = {kind: sum(c.status == kind for c in self.checks) for kind in ("failed", "warning")}
        warned = f", {count['warning']} warning(s)" if count["warning"] else ""
        if self.is_ready:
            return f"ready{warned}"
        return f"not ready: {count['failed']} check(s) failed{warned}"

    def as_json(self) -> str:
        """Return everything as a JSON object."""
        content = {
            "ready": self.is_ready,
            "verdict": self.verdict,
            "checks": [check._asdict() for check in self.checks],
            "ranks": [asdict(fact) for fact in self.facts],
            "clock_offset_s": {str(node): offset for node, offset in self.clocks.items()},
            "folders": [asdict(probe) for probe in self.folders],
            "links": [
                {"name": link.name, **asdict(link), "expected_gb_s": self.expected.get(link.name)}
                for link in self.links
            ],
        }
        return json.dumps(content, indent=1)

    def lines(self) -> Iterator[str]:
        """Yield the tables of nodes and links, the checks, and the verdict."""
        yield from table(["node", "host", "ranks", "device", "clock"], self._node_rows())
        if self.folders:
            header = ["folder", "node", "writes MiB/s", "reads MiB/s", "free GiB"]
            yield from ("", *table(header, self._folder_rows()))
        if self.links:
            header = ["all-reduce", "GB/s", "should give", "latency us"]
            yield from ("", *table(header, self._link_rows()))
        yield ""
        yield from table(["check", "", ""], [list(check) for check in self.checks])
        yield from ("", self.verdict)

    def _node_rows(self) -> Iterator[list[str]]:
        for node in sorted({fact.node for fact in self.facts}):
            facts = [fact for fact in self.facts if fact.node == node]
            ranks = f"{facts[0].rank}-{facts[-1].rank}" if len(facts) > 1 else f"{facts[0].rank}"
            gpu, clock = facts[0].gpu, self.clocks.get(node)
            device = f"{len(facts)} x {gpu.name}, driver {gpu.driver}" if gpu else "CPU"
            offset = "" if clock is None else f"{clock * 1000:+.1f} ms"
            yield [str(node), facts[0].host, ranks, device, offset]

    def _folder_rows(self) -> Iterator[list[str]]:
        for probe in self.folders:
            speeds = [f"{probe.write_mib_s:,.0f}", f"{probe.read_mib_s:,.0f}"]
            yield [probe.key, str(probe.node), *speeds, f"{probe.free_gib:,.1f}"]

    def _link_rows(self) -> Iterator[list[str]]:
        for link in self.links:
            should = self.expected.get(link.name)
            expected = f"{should:.3g}" if should else "unknown"
            yield [link.name, f"{link.gb_s:.3g}", expected, f"{link.latency_us:,.0f}"]


def table(header: Sequence[str], rows: Iterator[list[str]] | list[list[str]]) -> Iterator[str]:
    """Yield lines whose columns are aligned."""
    every = [list(header), *rows]
    widths = [max(len(row[n]) for row in every) for n in range(len(header))]
    for row in every:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
