"""An attempt told to people: how it went, what each check said, where its logs are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runner import history, times, why
from runner.cli.taskview import put

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.cli.invocation import Invocation
    from runner.model import Attempt


def tell_attempt(inv: Invocation, attempt: Attempt, folder: Path | None, now: float) -> None:
    """One attempt: how it went, what each check said, where its logs are."""
    step = f" of {attempt.step}" if attempt.step != "main" else ""
    word = history.word_of(attempt.result)
    if word:
        put(inv, f"  {times.clock(attempt.started_at, now)}  attempt {attempt.number}{step}: {word}")
        return
    who = step + (" (repair)" if attempt.repair else "") + (f" by {attempt.agent}" if attempt.agent else "")
    took = times.span((attempt.ended_at or now) - attempt.started_at)
    came = f"{attempt.outcome} after {took}" if attempt.ended_at is not None else f"running for {took}"
    cost = history.cost_text(*history.cost_of(attempt.result))
    came += f", {cost}" if cost else ""
    summary = why.summary_of(attempt.result)
    put(
        inv,
        f"  {times.clock(attempt.started_at, now)}  attempt {attempt.number}{who} on {attempt.worker}: {came}"
        + (f": {summary}" if summary else ""),
    )
    for verdict in why.verdicts_of(attempt.result):
        put(inv, f"              {'ok ' if verdict['ok'] else 'RED'} {why.told(verdict)}")
        if not verdict["ok"] and (shown := _evidence(verdict, folder)):
            put(inv, f"                  see {', '.join(shown)}")
    if attempt.late:
        put(inv, "              late evidence is kept: the claim was lost before it ended")
    put(inv, f"              logs: {folder}" if folder else f"              logs: on {attempt.worker}")
    files = history.files_of(folder)
    if files:
        put(inv, f"              with {', '.join(files)}")


def _evidence(verdict: Mapping[str, Any], folder: Path | None) -> list[str]:
    """The files that show a verdict, those in the attempt's folder by their names; empty ones show nothing."""
    found = []
    for name in ("stdout", "stderr", "path", "diff", "log"):
        path = verdict["evidence"].get(name)
        if isinstance(path, str) and os.path.isabs(path) and not _empty(path):
            inside = folder is not None and os.path.dirname(path) == str(folder)
            found.append(os.path.basename(path) if inside else path)
    return found


def _empty(path: str) -> bool:
    try:
        return os.path.getsize(path) == 0
    except OSError:
        return False
