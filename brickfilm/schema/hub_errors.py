"""What the Hub refuses, in one line each, with the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from brickfilm.errors import BrickfilmError, UsageError

RETRY_HINT = "run the same command again: what was done is kept"


class HubError(BrickfilmError):
    """The Hub does not let us do this."""


class CommitConflictError(BrickfilmError):
    """Somebody else committed while we uploaded."""


def check_repo_id(repo_id: str) -> None:
    """The Hub's own rules for names, before anything is written or sent."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if repo_id.count("/") != 1 or not all(repo_id.split("/")):
        raise UsageError(f"repo_id={repo_id!r}: name it 'user/dataset'")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"repo_id={repo_id!r} is no name for a repository: {error}") from error


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """The Hub's refusals in one line each, with the remedy."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalTokenNotFoundError

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise HubError("no token: log in with `hf auth login`, or set HF_TOKEN") from error
    except GatedRepoError:  # of reading, whose remedy the reader knows
        raise
    except HfHubHTTPError as error:
        raise _translate(error, repo_id) from error
    except RuntimeError as error:  # how uploads in threads report theirs
        if isinstance(error.__cause__, HfHubHTTPError):
            raise _translate(error.__cause__, repo_id) from error
        raise
    except ValueError as error:  # how the client reports a card that the Hub does not take
        if isinstance(error.__cause__, HfHubHTTPError):
            raise HubError(f"{repo_id}: {' '.join(str(error).split())}") from error
        raise
    except _network_errors() as error:
        raise HubError(f"{repo_id}: the connection broke ({error}); {RETRY_HINT}") from error


def _network_errors() -> tuple[type[Exception], ...]:
    """Of whichever HTTP library the installed huggingface_hub speaks with."""
    found = [name for name in ("httpx2", "httpx") if find_spec(name)]
    return tuple(import_module(name).TransportError for name in found)


def _translate(error: Any, repo_id: str) -> BrickfilmError:
    status = error.response.status_code if error.response is not None else 0
    match status:
        case 401:
            remedy = "the Hub does not know your token: `hf auth login`, or set HF_TOKEN"
        case 403:
            remedy = "your token may not write there: use one with the role 'write', of its owner"
        case 404:
            remedy = "it does not exist, or is not shown to you: check the name and your token"
        case 412:
            return CommitConflictError(
                f"{repo_id}: somebody committed while this ran. Nothing was changed, and what was "
                "uploaded is kept: run the same command again"
            )
        case 400 | 409 | 422:
            said = error.server_message or "it does not take this request"
            remedy = f"{said}; {RETRY_HINT}"
        case _:
            remedy = RETRY_HINT
    return HubError(f"{repo_id}: {status} from the Hub; {remedy}")
