"""The view of a run on disk: its workflow, its plan, its events; for people and their tools, never read back."""

from __future__ import annotations

import json
import time
from typing import IO, TYPE_CHECKING, Any

from runner.engine.folders import write_json, write_text
from runner.workflows.plan import plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.keeper import Redaction
    from runner.workflows.load import Loaded


class RunFolder:
    """`runs/<run>/{workflow.yaml,plan.json,events.jsonl}`; one execution after the other adds its events."""

    def __init__(self, folder: Path, loaded: Loaded, redaction: Redaction) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text(folder / "workflow.yaml", loaded.source.text)
        write_json(folder / "plan.json", plan(loaded.root))
        self._redaction = redaction
        self._file: IO[str] = open(folder / "events.jsonl", "a", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115

    def event(self, told: Mapping[str, Any]) -> None:
        """A step has another state."""
        line = json.dumps({"at": round(time.time(), 3), **told}, ensure_ascii=False, default=str)
        self._file.write(self._redaction.text(line) + "\n")

    def close(self) -> None:
        """Nothing more comes in this execution."""
        self._file.close()
