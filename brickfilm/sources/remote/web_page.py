"""Read the links of a page of a web server."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin

from brickfilm.errors import Failed
from brickfilm.schema.public_text import public_url
from brickfilm.sources.remote.addresses import Access

MAX_PAGE_BYTES = 64 << 20


def links_of(page: str, access: Access) -> Iterator[str]:
    """Yield the URLs that a page links to, in its order; raise Failed if it cannot be read."""
    with access.guard(), access.open(page) as file:
        content = file.read(MAX_PAGE_BYTES + 1)
    if len(content) > MAX_PAGE_BYTES:
        raise Failed(f"{public_url(page)} is too large for a page of links", reason="too large")
    parser = _LinkParser()
    parser.feed(content.decode("utf-8", "replace"))
    for link in parser.links:
        try:
            yield urljoin(page, link)
        except ValueError:  # of a wrong port or IPv6 address
            continue


class _LinkParser(HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
