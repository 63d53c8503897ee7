"""Passwords and tokens of URLs are in nothing that is stored, named or printed."""

from __future__ import annotations

import logging

import pytest

from brickfilm.errors import Failed, UsageError
from brickfilm.schema.public_text import (
    credentials_of,
    has_secret,
    public_text,
    public_url,
    public_value,
    show_control_characters_of_logs,
    visible,
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


@pytest.mark.parametrize(
    "url",
    [
        "https://host/a?authToken=s3cret&n=1",
        "https://host/a?id=7&%74oken=s3cret",
        "https://host/a?x=1;jsessionid=s3cret",
        "https://host/a#access_token=s3cret",
        "https://host/a?clientSecret=s3cret",
        "https://me:s3cret/#?x@host/a",
        "https://me:s3cret?y@host/a",
        "socks5h://me:1s3cret/@proxy:1080",
    ],
)
def test_secrets_of_other_forms_are_found(url: str) -> None:
    assert has_secret(url)
    assert "s3cret" not in public_url(url)
    assert "s3cret" not in public_text(f"GET {url}: 404")
    assert "s3cret" not in str(Failed(f"{url} is no tar"))


def test_a_token_in_a_piece_of_an_address_may_hold_any_character() -> None:
    assert public_text("x.tar?token=s3:cr,et: gone").endswith(": gone")
    assert "cr" not in public_text("x.tar?token=s3:cr,et: gone")


def test_a_password_that_is_not_encoded_is_used() -> None:
    assert credentials_of("https://me:p#w/@host:80/a") == {"host:80": "me:p#w/"}
    assert credentials_of("https://[::1]:80/a@2x.mp4") == {}
    assert credentials_of("https://host:8080/p@th") == {}


def test_control_characters_are_shown() -> None:
    text = "\x1b]0;t\x07 \x9b1m\r\u202e\ud83d\tline\n"
    shown = r"\u001b]0;t\u0007 \u009b1m\u000d\u202e\ud83d" + "\tline\n"
    assert visible(text) == shown == str(UsageError(text))
    assert visible("Häuschen 🎬") == "Häuschen 🎬"


def test_warnings_of_a_command_show_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    show_control_characters_of_logs()
    logging.getLogger("brickfilm").warning("%s", "\x1b[2J")
    assert capsys.readouterr().err == "\\u001b[2J\n"
