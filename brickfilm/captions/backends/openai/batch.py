"""Caption through the Batch API: request files, half the price, results within a day.

A request's `custom_id` holds the item's kind, its number of stills and its ledger key (`c3-<key>`
is a clip with three stills), so results may arrive in any order and in another process.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from brickfilm.captions.answers import answer_from_completion
from brickfilm.captions.backend import Completion, UnreadableResponse
from brickfilm.captions.backends.openai.client import Client, filtered_completion
from brickfilm.captions.backends.openai.errors import CONTENT_FILTER_CODES, NoSuchModel
from brickfilm.captions.backends.openai.wire import parse_completion, request_body
from brickfilm.captions.completion import CaptionStage
from brickfilm.captions.pricing import PriceList
from brickfilm.captions.prompts import ItemKind
from brickfilm.captions.request import CaptionRequest
from brickfilm.engine.capabilities import BatchRequestFile
from brickfilm.engine.stage import Answer
from brickfilm.errors import Failed, InvalidResponse, ItemError, NoResponse
from brickfilm.files import parse_json

if TYPE_CHECKING:
    from openai.types import Batch

JOB_METADATA_KEY = "brickfilm_job"
ENDPOINT: Final = "/v1/chat/completions"
RUNNING_STATUSES = ("validating", "in_progress", "finalizing", "cancelling")
_KIND_BY_LETTER: Mapping[str, ItemKind] = {"c": "clips", "i": "images"}
AnswerOrError = Answer | ItemError


@dataclass(frozen=True)
class CaptionBatchService:
    """Caption jobs of the Batch API, as a `brickfilm.engine.capabilities.BatchService`."""

    client: Client
    captioner: CaptionStage
    work: Path
    prices: PriceList

    def write_request_files(
        self, requests: Mapping[str, CaptionRequest], on_error: Callable[[str, ItemError], None]
    ) -> Iterator[BatchRequestFile]:
        """Write request files one by one, within the service's limits on requests and bytes.

        A request that cannot be written is passed to `on_error`.
        """
        keys: list[str] = []
        lines: list[bytes] = []
        size = 0
        for key, request in requests.items():
            try:
                line = self._request_line(key, request)
            except ItemError as error:
                on_error(key, error)
                continue
            full = size + len(line) > self.prices.batch_bytes
            if keys and (full or len(keys) == self.prices.batch_requests):
                yield self._write_file(keys, lines)
                keys, lines, size = [], [], 0
            keys.append(key)
            lines.append(line)
            size += len(line)
        if keys:
            yield self._write_file(keys, lines)

    def submit(self, job: str, request_file: BatchRequestFile) -> str:
        """Upload the file and start a job whose metadata holds our key; return the service's id."""
        api = self.client.api
        upload = partial(api.files.create, file=request_file.file, purpose="batch")
        file = self.client.call(upload)
        start = partial(
            api.batches.create,
            input_file_id=file.id,
            endpoint=ENDPOINT,
            completion_window="24h",
            metadata={JOB_METADATA_KEY: job},
        )
        return self.client.call_once(start).id

    def find_job(self, job: str) -> str | None:
        """Return the service's id of the job whose metadata holds our key, if it exists."""

        async def find() -> str | None:
            async for batch in self.client.api.batches.list(limit=100):
                if (batch.metadata or {}).get(JOB_METADATA_KEY) == job:
                    return batch.id
            return None

        return self.client.call(find)

    def cancel(self, id: str) -> None:
        """Cancel a job; results that exist by then can still be collected."""
        with suppress(NoSuchModel):  # `collect` says so
            self.client.call(partial(self.client.api.batches.cancel, id))

    def collect(
        self, id: str, log: Callable[[str], None]
    ) -> Mapping[str, AnswerOrError] | ItemError | None:
        """Return answers by key once the job has ended, complete or not; None before."""
        try:
            batch = self.client.call(partial(self.client.api.batches.retrieve, id))
        except NoSuchModel:  # it may have been charged before it was deleted
            return NoResponse(f"the service has no batch {id} any more", reason="batch lost")
        if batch.status in RUNNING_STATUSES:
            log(f"batch {id}: {_progress(batch)}")
            return None
        log(f"batch {id}: {batch.status}, {_progress(batch)}")
        if batch.status == "failed":
            return _batch_failure(batch)
        files = (batch.output_file_id, batch.error_file_id)
        results: dict[str, AnswerOrError] = {}
        for line in (line for file in files if file for line in self.result_lines(file)):
            try:
                results.update([self.parse_result(line)])
            except (ValueError, LookupError, TypeError, AttributeError):
                log(f"batch {id}: this line is no result and is left out: {line[:80]!r}")
        return self._final_if_useless(results, log)

    def _final_if_useless(
        self, results: dict[str, AnswerOrError], log: Callable[[str], None]
    ) -> dict[str, AnswerOrError]:
        """Let a job be the last one if all its answers were paid for and none can be used."""
        errors = [error for error in results.values() if isinstance(error, InvalidResponse)]
        if len(errors) < max(self.captioner.max_failures_in_a_row, len(results)):
            return results
        log(f"no answer of {len(errors)} can be used ({errors[0]}): no more are sent in this run")
        for error in errors:
            error.final = "cost" in error.bill
        return results

    def _request_line(self, key: str, request: CaptionRequest) -> bytes:
        line = {
            "custom_id": f"{request.item_kind[0]}{len(request.stills)}-{key}",
            "method": "POST",
            "url": ENDPOINT,
            "body": request_body(request.chat(self.work)),
        }
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def _write_file(self, keys: list[str], lines: list[bytes]) -> BatchRequestFile:
        folder = self.work / "jobs"
        folder.mkdir(exist_ok=True)
        file = folder / f"{uuid.uuid4().hex}.jsonl"
        file.write_bytes(b"".join(lines))
        return BatchRequestFile(file, keys)

    def result_lines(self, file_id: str) -> list[str]:
        """Download the lines of a result file."""
        content = self.client.call(partial(self.client.api.files.content, file_id))
        return [line for line in content.text.split("\n") if line.strip()]

    def parse_result(self, line: str) -> tuple[str, AnswerOrError]:
        """Return the ledger key of a result line, and its answer or the item's error."""
        result = parse_json(line)
        kind_and_stills, _, key = result["custom_id"].partition("-")
        try:
            answer = self._answer(result, _KIND_BY_LETTER[kind_and_stills[0]])
            return key, {**answer, "stills": int(kind_and_stills[1:])}
        except ItemError as error:
            return key, error

    def _answer(self, result: Mapping[str, Any], item_kind: ItemKind) -> Answer:
        completion = self._completion(result)
        own = self.captioner.service.model
        is_own = completion.model.startswith(own)  # else it is a job of earlier settings
        listed = None if is_own else self.prices.price_of(completion.model)
        return answer_from_completion(
            completion,
            item_kind=item_kind,
            price=listed or self.captioner.price,
            discount=self.prices.batch_discount,
        )

    def _completion(self, result: Mapping[str, Any]) -> Completion:
        response = result.get("response") or {}
        if response.get("status_code") != 200:
            return self._error_completion(result, response)
        try:
            return parse_completion(response.get("body"), self.captioner.service.model)
        except UnreadableResponse as error:
            bill = {"cost": None if self.captioner.price else 0.0}
            raise InvalidResponse(str(error), reason="unreadable response", bill=bill) from error

    def _error_completion(
        self, result: Mapping[str, Any], response: Mapping[str, Any]
    ) -> Completion:
        """Return what the content filter withheld, or raise the item's error; none is charged."""
        status = response.get("status_code")
        error = (response.get("body") or {}).get("error") or result.get("error") or {}
        message = f"{error.get('code')}: {error.get('message')}"
        if error.get("code") in CONTENT_FILTER_CODES:
            return filtered_completion(self.captioner.service.model)
        if status is None:
            raise InvalidResponse(message, reason="expired", bill={})
        if status == 429 or status >= 500:
            raise InvalidResponse(message, reason="busy", bill={})
        raise Failed(message, reason="bad request")


def _progress(batch: Batch) -> str:
    counts = batch.request_counts
    if counts is None:
        return batch.status
    return f"{counts.completed} of {counts.total} requests done, {counts.failed} failed"


def _batch_failure(batch: Batch) -> Failed:
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    message = "; ".join(str(error.message) for error in errors) or "no reason given"
    return Failed(f"the service rejected batch {batch.id}: {message}", reason="batch failed")
