"""A file of prompts: one a line, or JSON lines that set more than the prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from finetune.errors import SamplingError
from finetune.sampling.request import SampleRequest


def read_prompts(file: Path, defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each line's fields of a request. Empty lines and those that begin with # are passed over.

    A line of text is a prompt; in a .jsonl file it is an object such as
    {"prompt": "a red car", "seed": 7}. asked: of every line that does not say it itself.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")  # JSON may hold other breaks
    except UnicodeDecodeError as error:
        raise SamplingError(f"{file} is not text ({error.reason}): save it as UTF-8") from error
    except OSError as error:
        raise SamplingError(f"{file} cannot be read ({error.strerror}): name another") from error
    read = _json_line if file.suffix == ".jsonl" else _text_line
    found = [
        _parse_line(read, line, f"{file}, line {n}", defaults) for n, line in _prompt_lines(lines)
    ]
    if not found:
        raise SamplingError(f"{file} has no prompt: write one a line")
    return found


def _prompt_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _parse_line(
    read: Callable[[str], dict[str, Any]], line: str, where: str, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        fields = {**defaults, **read(line)}
        SampleRequest.from_dict(fields)
    except SamplingError as error:
        raise SamplingError(f"{where}: {error}") from error
    return fields


def _text_line(line: str) -> dict[str, Any]:
    return {"prompt": line}


def _json_line(line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise SamplingError(f"this is not JSON: {error.msg}") from error
    if not isinstance(fields, Mapping):
        raise SamplingError('this is no object: write {"prompt": "..."}')
    return dict(fields)
