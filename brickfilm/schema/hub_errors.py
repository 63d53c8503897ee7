"""Turn errors of the Hub's client into one line each, with the remedy."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.schema.hub_time import SlowServerError, bound_hub_time
from brickfilm.schema.public_text import error_line

ODD_ANSWER_ERRORS = (ValueError, KeyError, TypeError, AttributeError, AssertionError)
"""Errors that the Hub's client raises for HTML, or JSON of another form."""
CLIENT_PACKAGES = ("huggingface_hub", "httpx", "httpx2")
RETRY_HINT = "run the same command again: completed work is kept"


class HubError(BrickfilmError):
    """The Hub rejected a request, or cannot be reached."""


class CommitConflictError(BrickfilmError):
    """Somebody else committed to the repository during an upload."""


def check_repo_id(repo_id: str) -> None:
    """Raise UsageError if the Hub would not accept this name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if repo_id.count("/") != 1 or not all(repo_id.split("/")):
        raise UsageError(
            f"{repo_id!r} is neither a folder here nor a repository named 'user/dataset'"
        )
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"{repo_id!r} is not a valid repository name: {error}") from error


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Raise HubError or CommitConflictError with the remedy, for errors of the Hub's client.

    Requests are bounded in time, see `hub_time`.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalTokenNotFoundError

    bound_hub_time()
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise HubError("no token: log in with `hf auth login`, or set HF_TOKEN") from error
    except GatedRepoError:  # `find_hub_dataset` knows the remedy
        raise
    except HfHubHTTPError as error:
        raise _translate(error, repo_id) from error
    except SlowServerError as error:
        raise HubError(f"{repo_id}: {error}") from error
    except RuntimeError as error:  # of an upload in a thread
        if isinstance(error.__cause__, HfHubHTTPError):
            raise _translate(error.__cause__, repo_id) from error
        raise
    except _network_errors() as error:
        raise HubError(f"{repo_id}: the connection failed ({error}); {RETRY_HINT}") from error
    except ODD_ANSWER_ERRORS as error:
        if isinstance(error.__cause__, HfHubHTTPError):  # of a card that the Hub rejects
            raise HubError(f"{repo_id}: {' '.join(str(error).split())}") from error
        if not _was_raised_by_client(error):
            raise
        raise HubError(
            f"{repo_id}: the server did not answer as the Hub does ({_one_line(error)}): check "
            f"HF_ENDPOINT and your proxy, then {RETRY_HINT}"
        ) from error


def _network_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the HTTP libraries: broken connections, and too many redirects."""
    names = [name for name in ("httpx2", "httpx") if find_spec(name)]
    return tuple(import_module(name).RequestError for name in names)


def _was_raised_by_client(error: BaseException) -> bool:
    """Return True if an error comes from inside the Hub's client, which misread an answer."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(f"/{package}/" in frame.filename for frame in frames for package in CLIENT_PACKAGES)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error_line(error)}"[:200]


def _translate(error: Any, repo_id: str) -> BrickfilmError:
    status = error.response.status_code if error.response is not None else 0
    match status:
        case 401:
            remedy = "the Hub does not know your token: run `hf auth login`, or set HF_TOKEN"
        case 403:
            remedy = "your token may not write there: use one of the owner's, with the role 'write'"
        case 404:
            remedy = "it does not exist, or you may not read it: check the name and your token"
        case 412:
            return CommitConflictError(
                f"{repo_id}: somebody committed during the upload. Nothing was changed, and "
                "uploaded files are kept: run the same command again"
            )
        case 400 | 409 | 422:
            message = error.server_message or "the request was rejected"
            remedy = f"{message}; {RETRY_HINT}"
        case _:
            remedy = RETRY_HINT
    return HubError(f"{repo_id}: {status} from the Hub; {remedy}")
