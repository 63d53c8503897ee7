"""The Batch API: request files, half the price, an answer within a day.

A request's `custom_id` says what it is about (c3: a clip, three stills) and the item's key in the
ledger: so answers may come back in any order, and mean the same in another process.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from brickfilm.captions.answers import answer_from_completion, filtered_answer
from brickfilm.captions.backends.openai import CONTENT_FILTER_CODES, Client
from brickfilm.captions.completion import CaptionStage
from brickfilm.captions.pricing import PriceList
from brickfilm.captions.prompts import ItemKind
from brickfilm.engine.stage import Answer, BatchRequestFile
from brickfilm.errors import Failed, InvalidResponse, ItemError

if TYPE_CHECKING:
    from openai.types import Batch

JOB_METADATA_KEY = "brickfilm_job"
ENDPOINT: Final = "/v1/chat/completions"
RUNNING_STATUSES = ("validating", "in_progress", "finalizing", "cancelling")
_KIND_BY_LETTER: Mapping[str, ItemKind] = {"c": "clips", "i": "images"}
AnswerOrError = Answer | ItemError


@dataclass(frozen=True)
class CaptionBatchJobs:
    """Captions asked for in jobs: brickfilm.engine.stage.Jobs, spoken to the Batch API."""

    client: Client
    captioner: CaptionStage
    work: Path
    prices: PriceList

    def write_request_files(
        self, items: Mapping[str, Any], on_error: Callable[[str, ItemError], None]
    ) -> Iterator[BatchRequestFile]:
        """Request files within the service's limits on requests and bytes, one by one."""
        held: dict[str, Any] = {}
        lines: list[bytes] = []
        size = 0
        for key, item in items.items():
            try:
                line = self._line(key, item)
            except ItemError as error:
                on_error(key, error)
                continue
            full = size + len(line) > self.prices.batch_bytes
            if held and (full or len(held) == self.prices.batch_requests):
                yield self._packed(held, lines)
                held, lines, size = {}, [], 0
            held[key] = item
            lines.append(line)
            size += len(line)
        if held:
            yield self._packed(held, lines)

    def submit(self, job: str, request_file: BatchRequestFile) -> str:
        """Upload the file and start the job, marked with our key."""
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
        """The job that carries our key, among those that the service lists."""
        listed = self.client.call(lambda: list(self.client.api.batches.list(limit=100)))
        return next((b.id for b in listed if (b.metadata or {}).get(JOB_METADATA_KEY) == job), None)

    def cancel(self, id: str) -> None:
        """What was answered until then can be collected."""
        self.client.call(partial(self.client.api.batches.cancel, id))

    def collect(
        self, id: str, log: Callable[[str], None]
    ) -> Mapping[str, AnswerOrError] | ItemError | None:
        """Answers by key once the job has ended, complete or not."""
        batch = self.client.call(partial(self.client.api.batches.retrieve, id))
        if batch.status in RUNNING_STATUSES:
            log(f"batch {id}: {_progress(batch)}")
            return None
        log(f"batch {id}: {batch.status}, {_progress(batch)}")
        if batch.status == "failed":
            return _batch_failure(batch)
        files = (batch.output_file_id, batch.error_file_id)
        return dict(
            self._parse_result(line) for file in files if file for line in self._lines(file)
        )

    def _line(self, key: str, item: Any) -> bytes:
        caption_request = self.captioner.caption_request(item)
        request = {
            "custom_id": f"{caption_request.item_kind[0]}{len(caption_request.stills)}-{key}",
            "method": "POST",
            "url": ENDPOINT,
            "body": caption_request.body(self.work),
        }
        return json.dumps(request, ensure_ascii=False).encode() + b"\n"

    def _packed(self, items: dict[str, Any], lines: list[bytes]) -> BatchRequestFile:
        folder = self.work / "jobs"
        folder.mkdir(exist_ok=True)
        file = folder / f"{uuid.uuid4().hex}.jsonl"
        file.write_bytes(b"".join(lines))
        return BatchRequestFile(file, items)

    def _lines(self, file: str) -> list[str]:
        content = self.client.call(lambda: self.client.api.files.content(file).read())
        return [line for line in content.decode().split("\n") if line.strip()]

    def _parse_result(self, line: str) -> tuple[str, AnswerOrError]:
        """The key and answer of one line; an item's error stands in its place."""
        result = json.loads(line)
        about, _, key = result["custom_id"].partition("-")
        try:
            answer = self._answer(result, _KIND_BY_LETTER[about[0]])
            return key, {**answer, "stills": int(about[1:])}
        except ItemError as error:
            return key, error

    def _answer(self, result: Mapping[str, Any], item_kind: ItemKind) -> Answer:
        from openai.types.chat import ChatCompletion

        response = result.get("response") or {}
        if response.get("status_code") != 200:
            return self._error_answer(result, response)
        return answer_from_completion(
            ChatCompletion.model_validate(response["body"]),
            item_kind=item_kind,
            price=self.captioner.price,
            discount=self.prices.batch_discount,
        )

    def _error_answer(self, result: Mapping[str, Any], response: Mapping[str, Any]) -> Answer:
        """Not charged: a filter's answer, an item to ask about again, or a wrong request."""
        status = response.get("status_code")
        error = (response.get("body") or {}).get("error") or result.get("error") or {}
        words = f"{error.get('code')}: {error.get('message')}"
        if error.get("code") in CONTENT_FILTER_CODES:
            return filtered_answer(self.captioner.service.model)
        if status is None:
            raise InvalidResponse(words, reason="expired", bill={})
        if status == 429 or status >= 500:
            raise InvalidResponse(words, reason="busy", bill={})
        raise Failed(words, reason="bad request")


def _progress(batch: Batch) -> str:
    counts = batch.request_counts
    if counts is None:
        return batch.status
    return f"{counts.completed} of {counts.total} answered, {counts.failed} failed"


def _batch_failure(batch: Batch) -> Failed:
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    words = "; ".join(str(error.message) for error in errors) or "no reason given"
    return Failed(f"the service turned batch {batch.id} away: {words}", reason="batch failed")
