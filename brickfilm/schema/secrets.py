"""Keep passwords and tokens of URLs out of all that is stored, named or printed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from brickfilm.errors import strip_credentials

SECRET_NAME = re.compile(
    r"(^|[-_.])(token|auth|key|sig|signature|password|passwd|pwd|pass|secret|credential|hmac|jwt"
    r"|session)s?($|[-_.])|apikey|access_?token|accesskey",
    re.IGNORECASE,
)
"""Names of query parameters whose values grant access."""
URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
QUERY_VALUE = re.compile(r"(?<=[?&])[\w.-]+=[^&#\s'\"<>:,;)]+")
SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization")


def public_url(url: str) -> str:
    """Return a URL without user and password; secret query values become digests.

    A digest tells two addresses apart that differ in nothing else. Any other URL is unchanged.
    """
    address, mark, query = strip_credentials(url).partition("?")
    query, hash_mark, fragment = query.partition("#")
    return (
        f"{address}{mark}{'&'.join(map(_public_parameter, query.split('&')))}{hash_mark}{fragment}"
    )


def has_secret(url: str) -> bool:
    """Return True if a URL holds a password or a secret query value."""
    return public_url(url) != url


def public_text(text: str) -> str:
    """Return a text whose URLs are `public_url`s; of pieces of URLs the query values are hidden."""
    whole = URL.sub(lambda match: public_url(match[0]), text)
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
    userinfo, at, host = urlsplit(url).netloc.rpartition("@")
    return {host: userinfo} if at else {}


def with_credentials(url: str, credentials: Mapping[str, str]) -> str:
    """Return a URL with the user and password of its host, for a request."""
    parts = urlsplit(url)
    userinfo = credentials.get(parts.netloc)
    return parts._replace(netloc=f"{userinfo}@{parts.netloc}").geturl() if userinfo else url


def _public_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not value or value.startswith("hidden-") or not SECRET_NAME.search(name):
        return parameter
    return f"{name}{equals}hidden-{hashlib.sha256(value.encode()).hexdigest()[:8]}"
