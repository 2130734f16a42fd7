"""`runner show`: everything about one task."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from runner import times
from runner.cli import taskview
from runner.cli.runview import print_steps
from runner.cli.sofar import so_far
from runner.cli.taskview import put
from runner.history import word_of
from runner.tasknames import find_task
from runner.why import summary_of, told, verdicts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.invocation import Invocation
    from runner.model import Artifact, Attempt, Task


@click.command(
    epilog=("Examples:\n\n\b\n  runner show 3fk2m9x8w1qd\n  runner show 3fk2 --format json\n"),
)
@click.argument("id", metavar="ID")
@click.pass_obj
def command(inv: Invocation, id: str) -> None:
    """Show a task: payload, route, checks, attempts, verdicts, result, artifacts."""
    store, project = inv.store(), inv.project()
    task = find_task(store, id, inv.app().project_id)
    attempts = store.queue.attempts(task.id)
    artifacts = store.records.artifacts(task=task.id)
    folders = taskview.folders(project.state, attempts)
    value = taskview.task_json(task, artifacts)
    value["after"] = list(task.after)
    value["history"] = [taskview.attempt_json(attempt, folders.get(attempt.n)) for attempt in attempts]
    inv.emit(value, lambda: _text(inv, so_far(inv.app(), task, attempts), attempts, artifacts))


def _text(inv: Invocation, task: Task, attempts: Sequence[Attempt], artifacts: Sequence[Artifact]) -> None:
    now = time.time()
    outcome = f" ({task.outcome})" if task.outcome and task.outcome != "ok" else ""
    put(inv, f"{task.id}  {task.status}{outcome}  {task.type}")
    for name, value in _fields(task, attempts, now):
        if value:
            put(inv, f"  {name:<11} {value}")
    if task.type == "workflow" and (task.result or {}).get("steps"):
        inv.line("\nSteps")
        print_steps(inv, task)
    if attempts:
        inv.line("\nAttempts")
        columns = ("N", "OUTCOME", "AGENT", "WORKER", "STARTED", "TOOK", "SUMMARY")
        if any(attempt.step != "main" for attempt in attempts):
            rows = [(a.step, *_row(a, now)) for a in attempts]
            inv.table(("STEP", *columns), rows)
        else:
            inv.table(columns, [_row(a, now) for a in attempts])
    verdicts = verdicts_of(task.result)
    if verdicts:
        inv.line("\nChecks")
        for verdict in verdicts:
            put(inv, f"  {'ok ' if verdict['ok'] else 'RED'} {told(verdict)}")
    if artifacts:
        inv.line("\nArtifacts")
        inv.table(("REF", "NAME", "SIZE", "SHA256"), [(a.ref, a.name, str(a.size), a.sha256) for a in artifacts])


def _fields(task: Task, attempts: Sequence[Attempt], now: float) -> list[tuple[str, str]]:
    """What a person wants to know, in reading order; empty values are left out by the caller."""
    base = task.spec.get("base") or {}
    policy = task.spec.get("policy") or {}
    checks = [
        check["type"] if check.get("value") is None else f"{check['type']}: {_plain(check['value'])}"
        for check in task.spec.get("checks", [])
    ]
    result = task.result or {}
    return [
        *((name, _plain(value)) for name, value in taskview.shown_payload(task).items() if value != {}),
        ("agent", task.agent or ""),
        ("machine", task.holder.machine if task.holder else task.machine or ""),
        ("requires", ", ".join(task.requires)),
        ("priority", str(task.priority) if task.priority else ""),
        ("key", task.key or ""),
        ("limit key", "" if (task.limit_key or "").startswith("cwd:") else task.limit_key or ""),
        ("work unit", task.unit or ""),
        ("after", ", ".join(task.after)),
        ("checks", "; ".join(checks)),
        ("expects", str(policy.get("expects") or "")),
        ("artifacts", ", ".join(policy.get("artifacts", []))),
        ("base", f"{base['repo']} at {base['commit'][:12]}" if base else ""),
        ("in", "" if base else str(task.spec.get("cwd") or "")),
        ("attempts", _spent(task, attempts)),
        ("interrupted", f"{task.interruptions} of {task.interruptions_max}" if task.interruptions else ""),
        ("not before", times.clock(task.not_before, now) if task.not_before else ""),
        ("created", times.clock(task.created_at, now)),
        ("started", times.clock(task.started_at, now) if task.started_at else ""),
        ("finished", times.clock(task.finished_at, now) if task.finished_at else ""),
        ("question", task.question or ""),
        ("answer", task.answer or ""),
        ("branch", str(result.get("branch") or "")),
        ("result", summary_of(result)),
    ]


def _spent(task: Task, attempts: Sequence[Attempt]) -> str:
    if not task.attempt:
        return ""
    repairs = sum(attempt.repair for attempt in attempts)
    more = f", and {repairs} repair{'' if repairs == 1 else 's'}" if repairs else ""
    return f"{task.attempts} of {task.attempts_max}{more}"


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    lines = text.strip().split("\n")
    return lines[0] + (f" … ({len(lines)} lines)" if len(lines) > 1 else "")


def _row(attempt: Attempt, now: float) -> tuple[str, ...]:
    ended = attempt.ended_at
    return (
        f"{attempt.number} (repair)" if attempt.repair else str(attempt.number),
        attempt.outcome or "running",
        "" if word_of(attempt.result) else attempt.agent or "",
        attempt.worker,
        times.clock(attempt.started_at, now),
        times.span((now if ended is None else ended) - attempt.started_at),
        summary_of(attempt.result) + (" [late evidence]" if attempt.late else ""),
    )
