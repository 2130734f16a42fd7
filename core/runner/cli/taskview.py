"""How a task is shown: its documented JSON, its row in a table, its title, its folder of logs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runner import statuses, times
from runner.cli.output import clean, hidden, write_text
from runner.history import files_of
from runner.why import summary_of, verdicts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from runner.cli.invocation import Invocation
    from runner.model import JSON, Artifact, Attempt, Task, Worker
    from runner.store.contract import Store, TaskFilter

_PAGE, _PAGE_MOST = 500, 20_000
"""Tasks read at once: few first, so that a short answer is quick, then more, so that a long one is too."""

COLUMNS: Final = ("ID", "STATUS", "TYPE", "MACHINE", "AGENT", "PRI", "AGE", "TASK / NOTES")


def task_json(task: Task, artifacts: Sequence[Artifact] = (), now: float | None = None) -> JSON:
    """The documented JSON form of a task. Times are ISO 8601 in UTC; `attempts` are those spent."""
    now = time.time() if now is None else now
    holder = task.holder
    return {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "outcome": task.outcome,
        "priority": task.priority,
        "payload": shown_payload(task),
        "project": task.project,
        "work_unit": task.unit,
        "machine": task.machine,
        "agent": task.agent,
        "account": task.account,
        "requires": list(task.requires),
        "key": task.key,
        "limit_key": task.limit_key,
        "attempts": task.attempts,
        "attempts_max": task.attempts_max,
        "interruptions": task.interruptions,
        "interruptions_max": task.interruptions_max,
        "attempt": task.attempt,
        "epoch": task.epoch,
        "claim": None
        if holder is None
        else {
            "worker": holder.worker,
            "machine": holder.machine,
            "epoch": holder.epoch,
            "lease_until": times.iso(now + holder.lease_left),
        },
        "checks": task.spec.get("checks", []),
        "policy": task.spec.get("policy", {}),
        "base": task.spec.get("base"),
        "cwd": task.spec.get("cwd"),
        "result": task.result,
        "artifacts": [artifact_json(artifact) for artifact in artifacts],
        "question": task.question,
        "answer": task.answer,
        "blocked_by": task.blocked_by,
        "cancel_requested": task.cancel_requested,
        "not_before": times.iso(task.not_before),
        "created_at": times.iso(task.created_at),
        "started_at": times.iso(task.started_at),
        "finished_at": times.iso(task.finished_at),
    }


def artifact_json(artifact: Artifact) -> JSON:
    """The documented JSON form of an artifact."""
    return {
        "ref": artifact.ref,
        "name": artifact.name,
        "type": artifact.type,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "project": artifact.project,
        "work_unit": artifact.unit,
        "task": artifact.task,
        "step": artifact.step,
        "attempt": artifact.attempt,
        "epoch": artifact.epoch,
        "by": artifact.by,
        "created_at": times.iso(artifact.created_at),
    }


def attempt_json(attempt: Attempt, folder: Path | None = None) -> JSON:
    """An attempt, with the folder of its logs when that is on this machine; `files` are those with anything in them."""
    ended = attempt.ended_at
    return {
        "n": attempt.n,
        "number": attempt.number,
        "step": attempt.step,
        "repair": attempt.repair,
        "epoch": attempt.epoch,
        "agent": attempt.agent,
        "worker": attempt.worker,
        "started_at": times.iso(attempt.started_at),
        "ended_at": times.iso(attempt.ended_at),
        "seconds": round(ended - attempt.started_at, 3) if ended is not None else None,
        "outcome": attempt.outcome,
        "usage": (attempt.result or {}).get("usage"),
        "result": attempt.result,
        "verdicts": verdicts_of(attempt.result),
        "late": attempt.late,
        "folder": str(folder) if folder is not None else None,
        "files": {name: str(folder / name) for name in files_of(folder)} if folder is not None else {},
    }


def worker_json(worker: Worker, live: bool) -> JSON:
    """A worker as `status` lists it; `heartbeat` is its age in seconds."""
    known = worker.heartbeat < 1e9
    return {
        "id": worker.id,
        "machine": worker.machine,
        "online": live,
        "slots": worker.slots,
        "pid": worker.pid,
        "types": list(worker.types),
        "capabilities": list(worker.capabilities),
        "heartbeat": round(worker.heartbeat, 3) if known else None,
        "version": worker.version,
    }


def find_all(store: Store, where: TaskFilter, limit: int | None) -> Iterator[list[Task]]:
    """The tasks of a filter in pages, at most `limit` in all."""
    offset, size = 0, _PAGE
    while limit is None or offset < limit:
        wanted = size if limit is None else min(size, limit - offset)
        page = store.queue.find(replace(where, limit=wanted, offset=offset))
        if page:
            yield page
        if len(page) < wanted:
            return
        offset += wanted
        size = min(size * 2, _PAGE_MOST)


def tasks_json(store: Store, tasks: Sequence[Task], now: float | None = None) -> list[JSON]:
    """The JSON of several tasks, each with its artifacts."""
    found: list[JSON] = []
    for task in tasks:
        # A task that never started has none of its own; people may still have attached one to a known id.
        artifacts = store.records.artifacts(task=task.id)
        found.append(task_json(task, artifacts, now))
    return found


def title(task: Task) -> str:
    """What a task is to do: the first line of its prompt or script, else its payload."""
    if task.type == "workflow":
        given = " ".join(f"{name}={value}" for name, value in (task.payload.get("params") or {}).items())
        return _one_line(f"{task.payload.get('workflow')} {given}")
    for name in ("prompt", "script", "command", "title", "repo_path"):
        value = task.payload.get(name)
        if isinstance(value, str) and value.strip():
            first, _, rest = value.strip().partition("\n")
            return _one_line(first) + (" …" if rest else "")
    return _one_line(", ".join(f"{name}={value}" for name, value in task.payload.items())) or f"({task.type})"


def note(task: Task) -> str:
    """What a person wants to read in a list: the question or the error, else the title."""
    if task.status == statuses.NEEDS_HUMAN:
        return _one_line(task.question or summary_of(task.result) or task.outcome or title(task))
    if task.status == statuses.FAILED:
        return _one_line(f"{task.outcome}: {summary_of(task.result)}" if summary_of(task.result) else title(task))
    if task.status == statuses.BLOCKED and task.blocked_by:
        folder = task.blocked_by == "key" and (task.limit_key or "").startswith("cwd:")
        waits = "its folder" if folder else _WAITS.get(task.blocked_by, task.blocked_by)
        return f"[waits: {waits}] {title(task)}"
    return title(task)


_WAITS: Final = {"deps": "other tasks", "unit": "its work unit", "key": "its limit key"}


def row(task: Task, now: float) -> tuple[str, ...]:
    """The task's cells for `COLUMNS`: the machine that has it or had it; one that is only asked for has an arrow."""
    if task.holder is not None:
        machine = task.holder.machine
    elif task.result and task.result.get("machine"):
        machine = str(task.result["machine"])
    else:
        machine = f"→{task.machine}" if task.machine else ""
    return (
        task.id,
        task.status,
        task.type,
        machine,
        task.agent or "",
        str(task.priority) if task.priority else "",
        times.ago(task.created_at, now),
        note(task),
    )


def attempt_folder(state: Path, attempt: Attempt) -> Path:
    """Where the logs of an attempt are, on the machine that ran it."""
    return state / "runs" / attempt.task / "steps" / attempt.step / str(attempt.number)


def shown_payload(task: Task) -> JSON:
    """The payload without what a run keeps there for itself: its files, and what people decided."""
    if task.type != "workflow":
        return dict(task.payload)
    return {name: value for name, value in task.payload.items() if not name.startswith("_")}


def matches(task: Task, words: Sequence[str]) -> bool:
    """Whether every word is somewhere in the task (any case)."""
    if not words:
        return True
    where: list[Any] = [task.id, task.type, task.status, task.outcome, task.unit, task.machine, task.agent, task.key]
    text = " ".join(str(part) for part in (*where, _flat(task.payload), note(task)) if part).lower()
    return all(word.lower() in text for word in words)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(_flat(item) for item in value.values())
    if isinstance(value, list):
        return " ".join(_flat(item) for item in value)
    return str(value)


def put(inv: Invocation, text: str) -> None:
    """A line of text on stdout that can't drive the terminal, whatever a payload or an agent wrote into it.

    On a terminal it goes on below where it began, and its first word has a colour if it is a verdict.
    """
    write_text(clean(text))


def _one_line(text: str) -> str:
    return " ".join(hidden(text).split())[:500]


def folders(state: Path, attempts: Sequence[Attempt]) -> Mapping[int, Path]:
    """The log folders that exist on this machine, by attempt."""
    found = {attempt.n: attempt_folder(state, attempt) for attempt in attempts}
    return {n: folder for n, folder in found.items() if folder.is_dir()}
