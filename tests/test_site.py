"""The documentation site: complete, and built without a warning or a network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import brickfilm
from tests.kit import ROOT


def pages(nav: object) -> Iterator[str]:
    """Yield the files that a navigation names."""
    match nav:
        case str():
            yield nav
        case list() | dict():
            for part in nav.values() if isinstance(nav, dict) else nav:
                yield from pages(part)


def test_the_navigation_names_every_page_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    found = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(pages(config["nav"])) == sorted(found)


def test_pages_link_only_to_pages() -> None:
    links = re.compile(r"\]\((\.\./[^)]*)\)")
    outside = {
        path.name: found
        for path in (ROOT / "docs").rglob("*.md")
        if (found := links.findall(path.read_text(encoding="utf-8")))
    }
    assert outside == {}, "the site holds docs/ alone: name the file without a link"


def test_the_reference_documents_every_public_name() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    documented = re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)
    assert sorted(documented) == sorted(f"{home}.{name}" for name, home in brickfilm.HOMES.items())


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if not all(importlib.util.find_spec(name) for name in ("mkdocs", "material", "mkdocstrings")):
        pytest.skip("the site needs mkdocs-material and mkdocstrings: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    run = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    commands = (tmp_path / "site" / "cli-brickfilm.html").read_text(encoding="utf-8")
    assert "--max-cost-usd" in commands
    reference = (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    assert all(name in reference for name in brickfilm.HOMES)
    remote = re.compile(r"""<(?:script|link|img)[^>]*(?:src|href)=["']https?://""")
    loading = [
        page.name
        for page in (tmp_path / "site").rglob("*.html")
        if remote.search(page.read_text(encoding="utf-8"))
    ]
    assert loading == [], "pages load from elsewhere"
