"""The steps of a running workflow as lines: one when a step begins, one when it ends; JSON lines for programs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from runner.workflows.nodes import CONTAINERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.cli.invocation import Invocation
    from runner.model import Claim

_WORDS: Final = {"done": "done", "failed": "FAILED", "skipped": "skipped", "not_run": "not run", "waiting": "waits"}


class StepLines:
    """Hears of every step that changes (from the run's thread) and prints it."""

    def __init__(self, inv: Invocation) -> None:
        self._inv = inv
        self._began: dict[str, float] = {}
        self._gone = False

    def __call__(self, claim: Claim, told: Mapping[str, Any]) -> None:
        """A step has another state."""
        inv, path, status = self._inv, str(told["path"]), str(told["status"])
        if not path:
            return  # the workflow itself
        if inv.format == "jsonl":
            self._line({"run": claim.key, **told})
            return
        if inv.format == "json" or inv.quiet or told["kind"] in CONTAINERS:
            return
        if status == "running":
            self._began[path] = time.monotonic()
            inv.talk(f"{path} …")
        elif status in _WORDS:
            inv.talk(f"{path} {_WORDS[status]}{self._how(path, told)}")

    def _line(self, value: Mapping[str, Any]) -> None:
        """For who reads along; one who has read enough (`| head -1`) does not end the run."""
        if self._gone:
            return
        try:
            self._inv.emit(value, lambda: None)
        except BrokenPipeError:
            self._gone = True

    def _how(self, path: str, told: Mapping[str, Any]) -> str:
        words = []
        if told.get("kept"):
            words.append("before")
        elif path in self._began:
            words.append(took(time.monotonic() - self._began[path]))
        cost = (told.get("usage") or {}).get("cost_usd")
        if cost is not None:
            words.append(f"${cost:.2f}")
        tail = f" ({', '.join(words)})" if words else ""
        summary = told.get("summary")
        return f"{tail}: {summary}" if summary and told["status"] != "done" else tail


def took(seconds: float) -> str:
    """`0.8 s`, `12 s`, `3 min 5 s`"""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
