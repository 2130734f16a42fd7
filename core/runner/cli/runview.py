"""A run as the commands show it: its JSON, its table of steps, its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner import times
from runner.cli.sofar import workflow_of
from runner.cli.steplines import took
from runner.statuses import DONE, EXIT_FAILED, EXIT_HUMAN, EXIT_INTERRUPTED, EXIT_OK, NEEDS_HUMAN, PENDING, SCHEDULED
from runner.workflows.decisions import offers, takes, waiting

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.model import Task


def run_json(task: Task) -> dict[str, Any]:
    """`{"run", "workflow", "status", "outcome", "summary", "question", "steps": […], "outputs", "usage", …}`"""
    result = dict(task.result or {})
    return {
        "run": task.id,
        "workflow": workflow_of(task),
        "status": task.status,
        "outcome": task.outcome,
        "summary": result.get("summary", ""),
        "question": task.question,
        "params": dict(task.payload.get("params") or {}),
        "steps": list(result.get("steps") or ()),
        "waiting": waits_json(task),
        **{key: result.get(key) for key in ("unknown", "warnings", "outputs", "usage", "branch", "commit")},
    }


def waits_json(task: Task) -> list[dict[str, Any]]:
    """What the run waits for, with the command that decides about it where a person does."""
    commands = {str(one["path"]): command for one, command in offers(task)}
    return [{**one, "command": commands.get(str(one["path"]))} for one in waiting(task)]


def exit_code(task: Task) -> int:
    """0 done, 1 failed or cancelled, 3 it waits for a person, 130 it was interrupted."""
    if task.status == DONE:
        return EXIT_OK
    if task.status in (NEEDS_HUMAN, SCHEDULED):
        return EXIT_HUMAN
    return EXIT_INTERRUPTED if task.status == PENDING else EXIT_FAILED


def print_run(inv: Invocation, task: Task) -> None:
    """What came of a run, and how to go on."""
    result = task.result or {}
    inv.line(f"run {task.id} {task.status}: {result.get('summary') or task.outcome or ''}".rstrip(": "))
    for name, value in (result.get("outputs") or {}).items():
        inv.line(f"  {name}: {value}")
    usage = result.get("usage") or {}
    if usage.get("cost_usd"):
        inv.talk(f"cost: ${usage['cost_usd']:.2f}, {usage.get('tokens', 0)} tokens")
    if task.status == NEEDS_HUMAN:
        _decide(inv, task)
    elif task.status != DONE:
        inv.talk(f"go on: runner workflow resume {task.id}; why: runner why {task.id}")


def _decide(inv: Invocation, task: Task) -> None:
    """What a person can do about each step that waits, and what after it, or by when."""
    for one in waiting(task):
        if one.get("deadline_at") is not None:
            inv.talk(f"{one['path']}: without an answer by {times.clock(one['deadline_at'])} it is: {one['default']}")
    asked, on = offers(task), f"runner workflow resume {task.id}"
    if not asked:  # the run could not be begun
        inv.talk(f"decide: runner resolve {task.id} done | failed | pending; then: {on}")
    elif len(asked) == 1:
        one, command = asked[0]
        inv.talk(f"decide: {command}; then: {on}" if takes(one) else f"decide: raise it, then: {on}")
    else:
        for one, command in asked:
            inv.talk(f"decide: {command}   # {' '.join(str(one['question']).split())}")
        inv.talk(f"then: {on}")


def print_steps(inv: Invocation, task: Task) -> None:
    """The table of a run's steps."""
    rows = []
    for step in (task.result or {}).get("steps") or ():
        seconds = step.get("duration_s")
        cost = (step.get("usage") or {}).get("cost_usd")
        rows.append(
            (
                step["path"],
                step["kind"],
                step["status"],
                step.get("attempts") or "",
                took(seconds) if seconds is not None else "",
                f"${cost:.2f}" if cost else "",
                " ".join(str(step.get("summary") or "").split())[:80],
            )
        )
    inv.table(("step", "kind", "status", "attempts", "time", "cost", "what"), rows)
