"""Passwords and tokens of URLs are in nothing that is stored, named or printed."""

from __future__ import annotations

import pytest

from brickfilm.errors import Failed, UsageError
from brickfilm.schema.secrets import (
    credentials_of,
    has_secret,
    public_text,
    public_url,
    public_value,
    with_credentials,
)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=PL123#t=3",
        "https://host/a?b=c&&d&e=#f?g",
        "https://host/p@th/x?mail=a@b",
        "https://host#a@b",
        "no url at all?key",
    ],
)
def test_other_urls_stay_as_they_are(url: str) -> None:
    assert public_url(url) == url
    assert not has_secret(url)


def test_users_passwords_and_tokens_are_taken_out() -> None:
    url = "https://me:p@ss:w@host:80/x?id=7&access_token=abc&X-Amz-Signature=def&n=1"
    public = public_url(url)
    assert public.startswith("https://host:80/x?id=7&access_token=hidden-")
    assert public.endswith("&n=1")
    assert "abc" not in public and "def" not in public
    assert public_url(public) == public
    assert public_url(url.replace("abc", "abd")) != public  # two addresses stay two
    assert public_text(f"<a href='{url}'> failed") == f"<a href='{public}'> failed"
    assert "abc" not in public_text("[generic] x?token=abc: Unable to download")
    assert credentials_of(url) == {"host:80": "me:p@ss:w"}
    assert (
        with_credentials("https://host:80/y", credentials_of(url)) == "https://me:p@ss:w@host:80/y"
    )
    assert with_credentials("https://other/y", credentials_of(url)) == "https://other/y"


def test_json_has_no_headers_that_grant_access() -> None:
    value = {"http_headers": {"Cookie": "x", "Accept": "*"}, "urls": ["ftp://a:b@c/d"], "n": 1}
    assert public_value(value) == {"http_headers": {"Accept": "*"}, "urls": ["ftp://c/d"], "n": 1}


@pytest.mark.parametrize("error", [UsageError, Failed])
def test_the_message_of_an_error_has_no_password(error: type[Exception]) -> None:
    assert str(error("socks5://me:pw@proxy:1 refused")) == "socks5://proxy:1 refused"
