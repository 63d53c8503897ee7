"""Read a file of prompts: one per line, or JSON lines with more settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from brickfilm.files import parse_json
from finetune.errors import SamplingError
from finetune.sampling.request import SampleRequest


def read_prompts(file: Path, defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the request fields of each line; skip empty lines and lines that begin with #.

    A line of text is a prompt; in a .jsonl file a line is an object such as
    {"prompt": "a red car", "seed": 7}. defaults: for fields that a line does not set.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")  # JSON may hold other breaks
    except UnicodeDecodeError as error:
        raise SamplingError(f"{file} is not text ({error.reason}): save it as UTF-8") from error
    except OSError as error:
        raise SamplingError(f"{file} cannot be read ({error.strerror}): name another") from error
    parse = _json_line if file.suffix == ".jsonl" else _text_line
    requests = [
        _parse_line(parse, line, f"{file}, line {n}", defaults) for n, line in _prompt_lines(lines)
    ]
    if not requests:
        raise SamplingError(f"{file} has no prompt: write one per line")
    return requests


def _prompt_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _parse_line(
    parse: Callable[[str], dict[str, Any]], line: str, location: str, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        fields = {**defaults, **parse(line)}
        SampleRequest.from_dict(fields)
    except SamplingError as error:
        raise SamplingError(f"{location}: {error}") from error
    return fields


def _text_line(line: str) -> dict[str, Any]:
    return {"prompt": line}


def _json_line(line: str) -> dict[str, Any]:
    try:
        fields = parse_json(line)
    except json.JSONDecodeError as error:
        raise SamplingError(f"not JSON ({error.msg}): write an object per line") from error
    if not isinstance(fields, Mapping):
        raise SamplingError('not an object: write {"prompt": "..."}')
    return dict(fields)
