"""Translate the client's errors into brickfilm's, without a secret in their text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from brickfilm.captions.backend import Service
from brickfilm.captions.backends.openai.retry import (
    causes,
    is_out_of_credit,
    is_safe_to_retry,
    is_tls_error,
)
from brickfilm.errors import BrickfilmError, Failed, NoResponse, ServiceRefused

if TYPE_CHECKING:
    import openai

CONTENT_FILTER_CODES = (
    "content_filter",
    "content_policy_violation",
    "responsible_ai_policy_violation",
)
NO_MODEL_CODES = ("model_not_found", "model_decommissioned", "model_deprecated", "model_not_active")
_ABOUT_MEDIA = re.compile(
    r"video|image_url|content.{0,12}(?:type|part)|(?:type|part).{0,20}content|multi-?modal|modalit",
    re.IGNORECASE,
)
MAX_MESSAGE = 300
"""Characters kept of an error body, which may be a whole page of HTML."""


class ContentFiltered(Exception):
    """The service's content filter rejected the request; nothing is charged."""


class NoSuchModel(ServiceRefused):
    """The service does not have the model, or no longer."""


def translate(error: openai.APIError, service: Service, host: str, api_key: str) -> Exception:
    """Return the error to raise in place of the client's."""
    import openai

    message = redact(error_text(error), service, api_key)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, message, service, host)
    if isinstance(error, openai.APIConnectionError):
        return _of_connection(error, service, host)
    return NoResponse(f"{host} sent an unreadable response: {message}")


def is_about_media(error: Failed) -> bool:
    """Return True if a server rejected a request for the kind of content in it, by its words."""
    return error.reason == "bad request" and bool(_ABOUT_MEDIA.search(str(error)))


def error_text(error: openai.APIError) -> str:
    """Return status and message of an error, whatever the shape of its body."""
    body = error.body
    if isinstance(body, Mapping) and isinstance(body.get("message"), str):
        body = {name: body[name] for name in ("message", "param") if body.get(name)}
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)
    status = getattr(error, "status_code", None)
    one_line = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", text).split())
    return f"{f'{status}: ' if status else ''}{one_line[:MAX_MESSAGE]}"


def redact(text: str, service: Service, api_key: str) -> str:
    """Remove the API key and the proxy's password, which a server may echo."""
    for secret in _secrets(service, api_key):
        text = text.replace(secret, "[key]")
    return text


def _secrets(service: Service, api_key: str) -> Iterator[str]:
    if len(api_key) > 8:  # a placeholder is no secret
        yield api_key
    if password := urlsplit(service.proxy or "").password:
        yield from (password, quote(password, safe=""))


def _of_status(
    error: openai.APIStatusError, message: str, service: Service, host: str
) -> Exception:
    import openai

    match error:
        case _ if is_out_of_credit(error):
            return ServiceRefused(f"{host}: the account's quota is used up ({message}): add credit")
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ServiceRefused(f"{host} rejects the API key in {service.api_key_env}: {message}")
        case _ if error.code in CONTENT_FILTER_CODES:
            return ContentFiltered(message)
        case openai.NotFoundError():
            return _no_such_model(message, service, host)
        case _ if error.code in NO_MODEL_CODES:
            return _no_such_model(message, service, host)
        case openai.RateLimitError() | openai.InternalServerError():
            return Failed(f"{host} stayed busy: {message}", reason="busy")
    return Failed(f"{host} rejects the request: {message}", reason="bad request")


def _no_such_model(message: str, service: Service, host: str) -> NoSuchModel:
    return NoSuchModel(
        f"{host} has no model={service.model!r}, or has retired it, or base_url= lacks its path, "
        f"such as /v1: {message}"
    )


def _of_connection(error: openai.APIConnectionError, service: Service, host: str) -> BrickfilmError:
    """Tell apart what no retry mends, what was not sent, and what may have been charged."""
    chain = list(causes(error))
    names = {type(cause).__name__ for cause in chain}
    proxy = urlsplit(service.proxy or "")
    through = f" through the proxy {proxy.hostname}:{proxy.port}" if service.proxy else ""
    detail = next((str(cause) for cause in reversed(chain) if str(cause)), "")
    if is_tls_error(error):
        return ServiceRefused(
            f"no secure connection to {host}{through}: {detail}; if it is a server of your own, "
            "export SSL_CERT_FILE with its certificate, or use http://"
        )
    if "ProxyError" in names:
        return ServiceRefused(
            f"the proxy {proxy.hostname or 'of the environment'} refuses to connect to {host}: "
            f"{detail}; check proxy= and its password"
        )
    if "TooManyRedirects" in names:
        return Failed(f"{host} redirects in a circle", reason="bad response")
    if is_safe_to_retry(error):
        return Failed(f"{host} cannot be reached{through}: {detail}", reason="busy")
    return NoResponse(f"{host} sent no response{through}: {detail}")
