"""Serve Files and Batches of the scripted caption service."""

from __future__ import annotations

import email.parser
import email.policy
import json
import random
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.kit.servers.openai import (
    ErrorReply,
    LostReply,
    ModelReply,
    ReceivedRequest,
    completion,
    input_tokens,
)

if TYPE_CHECKING:
    from tests.kit.servers.openai import CaptionServer

Reply = tuple[int, Any]
LOST: Reply = (0, None)
"""No reply: the connection is closed."""


@dataclass
class Batch:
    """One job. Its items are processed when it ends, at half price; results have any order."""

    id: str
    file: str
    metadata: dict[str, str]
    created: int
    status: str = "in_progress"
    polls: int = 0
    total: int = 0
    output: str | None = None
    errors: str | None = None
    done: int = 0
    failed: int = 0


@dataclass
class Batches:
    """Uploaded files and jobs.

    expires: share of a job's items that its window cuts off. lost_replies: how many of the next
    jobs are accepted without a reply: the connection is closed instead.
    """

    server: CaptionServer
    polls: int = 1
    expires: float = 0.0
    lost_replies: int = 0
    most_requests: int = 50_000
    most_bytes: int = 200_000_000
    files: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, Batch] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, content: bytes, kind: str) -> Reply:
        path, _, query = path.removeprefix("/v1").partition("?")
        match method, path.strip("/").split("/"):
            case "POST", ["files"]:
                return self._upload(content, kind)
            case "GET", ["files", name, "content"] if name in self.files:
                return 200, self.files[name]
            case "DELETE", ["files", name]:
                self.files.pop(name, None)
                return 200, {"id": name, "object": "file", "deleted": True}
            case "POST", ["batches"]:
                return self._create(json.loads(content))
            case "GET", ["batches"]:
                return self._list(query)
            case "GET", ["batches", name] if name in self.jobs:
                return 200, self._look(self.jobs[name])
            case "POST", ["batches", name, "cancel"] if name in self.jobs:
                return self._cancel(self.jobs[name])
        return 404, {"error": {"message": f"no {method} {path}", "code": "not_found", "type": "x"}}

    def _upload(self, content: bytes, kind: str) -> Reply:
        fields = _form(content, kind)
        if fields.get("purpose") != b"batch" or "file" not in fields:
            return 400, {"error": {"message": "needs purpose=batch and file", "code": None}}
        if len(fields["file"]) > self.most_bytes:
            return 400, {"error": {"message": "file too large", "code": "file_too_large"}}
        return 200, self._file(fields["file"])

    def _file(self, content: bytes) -> dict[str, Any]:
        with self.server.lock:
            name = f"file-{len(self.uploads)}"
            self.uploads.append(name)
            self.files[name] = content
        return {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": "requests.jsonl",
            "purpose": "batch",
            "status": "processed",
        }

    def _create(self, wanted: dict[str, Any]) -> Reply:
        lines = [json.loads(line) for line in self.files[wanted["input_file_id"]].splitlines()]
        shapes = [set(line) == {"custom_id", "method", "url", "body"} for line in lines]
        ids = {line["custom_id"] for line in lines}
        right = (
            wanted["endpoint"] == "/v1/chat/completions" and wanted["completion_window"] == "24h"
        )
        if not (right and all(shapes) and len(ids) == len(lines) <= self.most_requests):
            self.server.invalid.append("batch")
            return 400, {"error": {"message": "not a batch", "code": "invalid_batch"}}
        with self.server.lock:
            job = Batch(
                f"batch_{len(self.jobs)}",
                wanted["input_file_id"],
                wanted.get("metadata") or {},
                int(time.time()),
                total=len(lines),
            )
            self.jobs[job.id] = job
            if self.lost_replies:
                self.lost_replies -= 1
                return LOST
        return 200, self._shown(job)

    def _list(self, query: str) -> Reply:
        newest = sorted(self.jobs.values(), key=lambda j: -int(j.id.split("_")[1]))
        after = re.search(r"after=([^&]+)", query)
        if after:
            names = [job.id for job in newest]
            newest = newest[names.index(after[1]) + 1 :]
        page = newest[:20]
        return 200, {
            "object": "list",
            "data": [self._shown(job) for job in page],
            "has_more": len(newest) > len(page),
            "last_id": page[-1].id if page else None,
        }

    def _look(self, job: Batch) -> dict[str, Any]:
        with self.server.lock:
            job.polls += 1
            if job.status == "in_progress" and job.polls >= self.polls:
                self._work(job)
        return self._shown(job)

    def _cancel(self, job: Batch) -> Reply:
        with self.server.lock:
            if job.status == "in_progress":
                self._work(job, share=0.5)
                job.status = "cancelled"
        return 200, self._shown(job)

    def _work(self, job: Batch, share: float = 1.0) -> None:
        """Answer a job's items in a random order; those after its window get errors."""
        lines = [json.loads(line) for line in self.files[job.file].splitlines()]
        order = random.Random(job.id)
        order.shuffle(lines)
        in_time = round(len(lines) * share * (1 - self.expires))
        results = [self._line(line) for line in lines[:in_time]]
        late = [_expired(line["custom_id"]) for line in lines[in_time:]]
        good = [r for r in results if r["response"]["status_code"] == 200]
        bad = [r for r in results if r["response"]["status_code"] != 200] + late
        job.done, job.failed = len(good), len(bad)
        job.output = self._file(_jsonl(good))["id"] if good else None
        job.errors = self._file(_jsonl(bad))["id"] if bad else None
        job.status = "expired" if self.expires and late else "completed"

    def _line(self, line: dict[str, Any]) -> dict[str, Any]:
        reply = self.server.chat(line["body"], {}, share=0.5)
        match reply:
            case ModelReply():
                tokens = input_tokens(ReceivedRequest(0, line["body"], {}))
                status, body = 200, completion(line["body"], reply, tokens)
            case ErrorReply():
                status, body = (
                    reply.status,
                    {"error": {"code": reply.code, "message": reply.message}},
                )
            case LostReply():
                status, body = 500, {"error": {"code": "server_error", "message": "no answer"}}
        response = {"status_code": status, "request_id": "r", "body": body}
        return {"id": "x", "custom_id": line["custom_id"], "response": response, "error": None}

    def _shown(self, job: Batch) -> dict[str, Any]:
        counts = {"total": job.total, "completed": job.done, "failed": job.failed}
        return {
            "id": job.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": job.file,
            "completion_window": "24h",
            "status": job.status,
            "created_at": job.created,
            "metadata": job.metadata,
            "output_file_id": job.output,
            "error_file_id": job.errors,
            "request_counts": counts,
        }


def _expired(name: str) -> dict[str, Any]:
    error = {"code": "batch_expired", "message": "not executed before the window ended"}
    return {"id": "x", "custom_id": name, "response": None, "error": error}


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _form(content: bytes, kind: str) -> dict[str, bytes]:
    """Parse the fields of a multipart form."""
    head = f"content-type: {kind}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + content)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        or b""
        for part in message.iter_parts()  # type: ignore[attr-defined]
    }
