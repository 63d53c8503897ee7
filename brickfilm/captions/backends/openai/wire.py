"""Write and read the JSON of Chat Completions."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from brickfilm.captions.backend import (
    ChatMessage,
    ChatRequest,
    Completion,
    Detail,
    UnreadableResponse,
    Usage,
)


def request_body(request: ChatRequest) -> dict[str, Any]:
    """Return the request's JSON in the newest dialect; a client may adapt it."""
    optional = {"temperature": request.temperature, "reasoning_effort": request.reasoning_effort}
    return {
        "model": request.model,
        "messages": [_message(message, request.detail) for message in request.messages],
        "max_completion_tokens": request.max_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": request.schema_name,
                "strict": True,
                "schema": request.schema,
            },
        },
        **{name: value for name, value in optional.items() if value is not None},
    }


def parse_completion(body: object, model: str) -> Completion:
    """Parse a response's JSON; `model` is the one asked for. What is missing or odd is empty.

    Raises UnreadableResponse if it is no object.
    """
    if not isinstance(body, Mapping):
        raise UnreadableResponse(f"the response is no completion: {body!r:.80}")
    choices = body.get("choices")
    choice = _object(choices[0] if isinstance(choices, list) and choices else None)
    message = _object(choice.get("message"))
    return Completion(
        text=_text(message),
        model=_str(body.get("model")) or model,
        finish_reason=_str(choice.get("finish_reason")) or "stop",
        refusal=_str(message.get("refusal")),
        usage=_usage(_object(body.get("usage"))),
        cost=_cost(_object(body.get("usage")).get("cost")),
    )


def _message(message: ChatMessage, detail: Detail) -> dict[str, Any]:
    if not message.jpegs and message.mp4 is None:
        return {"role": message.role, "content": message.text}
    urls = [{"url": _data_url("image/jpeg", jpeg), "detail": detail} for jpeg in message.jpegs]
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": url} for url in urls]
    if message.mp4 is not None:  # as vLLM and SGLang take it
        video = {"url": _data_url("video/mp4", message.mp4)}
        parts.append({"type": "video_url", "video_url": video})
    return {"role": message.role, "content": [{"type": "text", "text": message.text}, *parts]}


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _text(message: Mapping[str, Any]) -> str:
    """Return the content, the text parts of a list joined; else the reasoning, if any."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "".join(text for text in parts if isinstance(text, str))
    return _str(content) or _str(message.get("reasoning_content"))


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Return the counts; some services leave hidden reasoning out of `completion_tokens`."""
    of_input = _object(usage.get("prompt_tokens_details"))
    of_output = _object(usage.get("completion_tokens_details"))
    sent, received = (_count(usage.get(f"{of}_tokens")) for of in ("prompt", "completion"))
    total = _count(usage.get("total_tokens"))
    if total is not None and sent is not None and received is not None and sent >= 0:
        received = max(received, total - sent) if received >= 0 else received
    return Usage(
        input=sent,
        output=received,
        cached=_count(of_input.get("cached_tokens")) or 0,
        reasoning=_count(of_output.get("reasoning_tokens")) or 0,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _cost(value: object) -> float | None:
    """Return the US dollars that gateways such as OpenRouter state in the usage."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
