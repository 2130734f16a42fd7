"""The view of a run on disk: `runs/<run>/steps/<path>/<n>/`, a file written only when it has content."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def attempt_folder(state: Path, run: str, step: str, n: int) -> Path:
    """The folder of attempt `n` of a step, made when it is missing."""
    folder = state / "runs" / run / "steps" / step / str(n)
    try:
        os.mkdir(folder.parent)  # in the usual order of things: the first attempt of a step
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(folder.parent, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    return folder


def write_text(path: Path, text: str) -> None:
    """Write `text` whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(text.encode("utf-8", "surrogateescape"))
    os.replace(part, path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")
