"""What linters report: a finding each, whatever the tool's own JSON looks like."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a linter says: `file` relative to the workspace, `line` and `column` from 1 (0: not told)."""

    file: str
    line: int
    column: int
    rule: str
    message: str
    tool: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.rule} {self.message}"


def read_ruff(data: bytes, root: Path) -> list[Finding] | None:
    """`ruff check --output-format json`; None when this is something else."""
    found = _loaded(data)
    if not isinstance(found, list):
        return None
    return [
        Finding(
            _file(one.get("filename"), root),
            *_at(one.get("location"), "row"),
            str(one.get("code") or "syntax"),
            _line(one.get("message")),
            "ruff",
        )
        for one in _mappings(found)
    ]


def read_eslint(data: bytes, root: Path) -> list[Finding] | None:
    """`eslint --format json`."""
    found = _loaded(data)
    if not isinstance(found, list):
        return None
    return [
        Finding(
            _file(file.get("filePath"), root),
            *_at(one, "line"),
            str(one.get("ruleId") or "syntax"),
            _line(one.get("message")),
            "eslint",
        )
        for file in _mappings(found)
        for one in _mappings(file.get("messages"))
    ]


def read_ktlint(data: bytes, root: Path) -> list[Finding] | None:
    """`ktlint --reporter=json`."""
    found = _loaded(data)
    if not isinstance(found, list):
        return None
    return [
        Finding(
            _file(file.get("file"), root),
            *_at(one, "line"),
            str(one.get("rule") or "syntax"),
            _line(one.get("message")),
            "ktlint",
        )
        for file in _mappings(found)
        for one in _mappings(file.get("errors"))
    ]


def read_swiftlint(data: bytes, root: Path) -> list[Finding] | None:
    """`swiftlint lint --reporter json`."""
    found = _loaded(data)
    if not isinstance(found, list):
        return None
    return [
        Finding(
            _file(one.get("file"), root),
            *_at({"line": one.get("line"), "column": one.get("character")}, "line"),
            str(one.get("rule_id") or "syntax"),
            _line(one.get("reason")),
            "swiftlint",
        )
        for one in _mappings(found)
    ]


def _loaded(data: bytes) -> Any:
    """The JSON, which other output may stand before."""
    start = data.find(b"[")
    try:
        return json.loads(data[start:]) if start >= 0 else None
    except (ValueError, RecursionError):
        return None


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one


def _file(value: Any, root: Path) -> str:
    path = str(value or "?")
    return os.path.relpath(path, root) if os.path.isabs(path) else path


def _at(value: Any, line: str) -> tuple[int, int]:
    found = value if isinstance(value, dict) else {}
    numbers = (found.get(line), found.get("column"))
    row, column = (number if isinstance(number, int) else 0 for number in numbers)
    return row, column


def _line(value: Any) -> str:
    return " ".join(str(value or "").split())[:500]
