"""Read the pages of the documentation: fenced blocks, and files that they name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.kit import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("recipes/**/*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str

    @property
    def name(self) -> str | None:
        """The file's name, where the first line says one."""
        found = re.match(r"# ([\w-]+\.(?:py|toml))\n", self.text)
        return found[1] if found else None


def snippets(*languages: str) -> list[Snippet]:
    return [
        Snippet(page, language, text)
        for page in PAGES
        for language, text in FENCE.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]


def named(name: str) -> str:
    """Return the one file of this name."""
    (text,) = [s.text for s in snippets("python", "toml") if s.name == name]
    return text
