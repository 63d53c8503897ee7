"""Make text fit to be stored and printed: no passwords, no tokens, no control characters."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

CREDENTIALS = re.compile(r"(?<=://)([^/?#\s]+|[^/?#\s:@\[]+:(?!\d*([/?#\s]|$))[^\s'\"<>]*)@")
"""User and password; a password that is not percent-encoded may hold '/', '?' and '#'."""
SECRET_NAME = re.compile(
    r"(^|[-_.])(auth|key|sig|pwd|pass|credential|hmac|jwt|session|sid|bearer|ticket|hdne[as]"
    r"|hdntl)s?($|[-_.])|token|password|passwd|passphrase|signature|secret|apikey|access_?key"
    r"|sess(ion)?[-_]?id",
    re.IGNORECASE,
)
"""Names of query parameters whose values grant access."""
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
QUERY_VALUE = re.compile(r"(?<=[?&;#])[\w.%-]+=[^&;#\s'\"<>)]*[^&;#\s'\"<>):.,]")
SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization")
CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that turn the direction, and halves of characters.

A terminal obeys the first two, and no stream can write the last.
"""


def visible(text: str) -> str:
    """Return a text to print: its control characters as `\\u001b`, as JSON writes them."""
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def error_line(error: BaseException, most: int | None = None) -> str:
    """Return an error's text without line breaks, at most so many characters of it."""
    return " ".join(str(error).split())[:most]


class VisibleFormatter(logging.Formatter):
    """Formats messages without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def show_control_characters_of_logs() -> None:
    """Let the warnings of a command, which no handler takes, have no control characters."""
    if logging.lastResort:
        logging.lastResort.setFormatter(VisibleFormatter())


def strip_credentials(text: str) -> str:
    """Return a text whose URLs have no user and password."""
    return CREDENTIALS.sub("", text)


def public_url(url: str) -> str:
    """Return a URL without user and password; secret values of its parameters become digests.

    A digest tells two addresses apart that differ in nothing else. Any other URL is unchanged.
    """
    address, *parameters = re.split(r"([?&;#])", strip_credentials(url))
    return address + "".join(map(_public_parameter, parameters))


def has_secret(url: str) -> bool:
    """Return True if a URL holds a password or a secret query value."""
    return public_url(url) != url


def public_text(text: str) -> str:
    """Return a text whose URLs are `public_url`s; of pieces of URLs the query values are hidden."""
    whole = URL.sub(lambda match: public_url(match[0]), strip_credentials(text))
    return QUERY_VALUE.sub(lambda match: _public_parameter(match[0]), whole)


def public_value(value: Any) -> Any:
    """Return JSON whose texts are public, without headers that grant access."""
    match value:
        case str():
            return public_text(value)
        case Mapping():
            kept = {k: v for k, v in value.items() if str(k).lower() not in SECRET_HEADERS}
            return {k: public_value(v) for k, v in kept.items()}
        case list() | tuple():
            return [public_value(element) for element in value]
    return value


def credentials_of(url: str) -> dict[str, str]:
    """Return `{host: "user:password"}` of a URL; {} if it has none."""
    found = CREDENTIALS.search(url)
    return {urlsplit(strip_credentials(url)).netloc: found[0].removesuffix("@")} if found else {}


def with_credentials(url: str, credentials: Mapping[str, str]) -> str:
    """Return a URL with the user and password of its host, for a request."""
    parts = urlsplit(url)
    userinfo = credentials.get(parts.netloc)
    return parts._replace(netloc=f"{userinfo}@{parts.netloc}").geturl() if userinfo else url


def _public_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not value or value.startswith("hidden-"):
        return parameter
    if not SECRET_NAME.search(HUMP.sub("-", unquote(name))):
        return parameter
    return f"{name}{equals}hidden-{hashlib.sha256(value.encode()).hexdigest()[:8]}"
