"""A cassette: what the agents of one run did, attempt by attempt, as a JSON file that a test can play."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from runner.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

VERSION: Final = 1
_NEEDED: Final = ("kind", "step", "agent", "prompt", "prompt_sha256", "message", "outcome")


def read_cassette(path: Path) -> dict[str, Any]:
    """The cassette in a file; ConfigError for one that is not there or none."""
    shown = os.path.relpath(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{shown}: {error.strerror}", f"record it: runner record WORKFLOW -o {shown}") from None
    except ValueError as error:
        raise ConfigError(f"{shown}: not a cassette: {error}", "record it again") from None
    if not isinstance(data, dict) or data.get("cassette") != VERSION:
        raise ConfigError(f"{shown}: not a cassette of version {VERSION}", "record it again")
    attempts = data.get("attempts")
    if not isinstance(attempts, list) or not all(_whole(one) for one in attempts):
        raise ConfigError(f"{shown}: a cassette with a damaged attempt", "record it again")
    return data


def _whole(attempt: Any) -> bool:
    return isinstance(attempt, dict) and all(isinstance(attempt.get(name), str) for name in _NEEDED)


def write_cassette(path: Path, workflow: str, params: Mapping[str, str], attempts: Sequence[Mapping[str, Any]]) -> None:
    """Write a cassette, whole or not at all; UsageError where that can't be."""
    data = {"cassette": VERSION, "workflow": workflow, "params": dict(params), "attempts": list(attempts)}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"can't write {path}: {error.strerror}") from None
