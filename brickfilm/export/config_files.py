"""Write the texts, tables and config files of exports: atomically, UTF-8, relative paths."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from brickfilm.export.media_files import write_file


def write_text(path: Path, text: str) -> Path:
    """Write a text with a line break at its end."""
    write_file(path, f"{text.rstrip()}\n".encode())
    return path


def write_captions(captions: Mapping[Path, str]) -> None:
    """Write a .txt beside each media file, unless it has this text already."""
    for path, caption in captions.items():
        text = path.with_suffix(".txt")
        if not (text.is_file() and text.read_bytes() == f"{caption}\n".encode()):
            write_text(text, caption)


def write_json(path: Path, value: object) -> Path:
    """Write JSON, indented; non-ASCII text stays readable."""
    return write_text(path, json.dumps(value, ensure_ascii=False, indent=2))


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write one JSON object a line."""
    return write_text(path, "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a CSV with the keys of the first row as its header."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    write_file(path, text.getvalue().encode())
    return path


def write_yaml(path: Path, value: object, comment: str) -> Path:
    """Write YAML with a comment at its top."""
    body = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return write_text(path, f"{_comment(comment)}{body}")


def write_toml(
    path: Path,
    top: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    comment: str,
) -> Path:
    """Write TOML: top-level keys, then arrays of tables.

    Values are texts, numbers, booleans and arrays of them, which TOML writes as JSON does.
    """
    lines = _toml_lines(top)
    for name, entries in tables.items():
        for entry in entries:
            lines += ["", f"[[{name}]]", *_toml_lines(entry)]
    return write_text(path, _comment(comment) + "\n".join(lines))


def write_args(path: Path, options: Mapping[str, object], comment: str) -> Path:
    """Write command line options, one a line, for trainers that have no config file for data."""
    lines = [f"--{name} {value}" for name, value in options.items()]
    return write_text(path, _comment(comment) + "\n".join(lines))


def _toml_lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())
