"""`runner why`: the whole story of a task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from runner import history, times, why
from runner.cli import taskview, whystep
from runner.cli.attempttext import tell_attempt
from runner.cli.output import size
from runner.cli.taskview import put
from runner.live import is_live
from runner.statuses import PENDING, TERMINAL
from runner.takers import Here
from runner.tasknames import find_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.model import Attempt, Event, Task


@click.command(
    epilog=("Examples:\n\n\b\n  runner why 3fk2m9x8w1qd\n  runner why 3fk2 implement\n"),
)
@click.argument("id", metavar="ID")
@click.argument("step", metavar="[STEP]", required=False)
@click.pass_obj
def command(inv: Invocation, id: str, step: str | None) -> None:
    """Tell what a task waits for, who holds it, or how it came to its end, and what you can do about it.

    Of a workflow's run, with a STEP: how that step came to what it is.
    """
    store, project = inv.store(), inv.project()
    task = find_task(store, id, inv.app().project_id)
    attempts = store.queue.attempts(task.id)
    if step is not None:
        whystep.tell(inv, task, step, attempts, taskview.folders(project.state, attempts))
        return
    folders = taskview.folders(project.state, attempts)
    workers = [worker for worker in store.queue.workers() if is_live(worker)]
    facts = store.queue.facts(task.id)
    here = this_machine(inv.app()) if task.status == PENDING else None
    parked = _parked(inv, task) if facts.parked_until is not None else ""
    story = why.explain(task, facts, workers, attempts, now=time.time(), here=here, parked=parked)
    events = history.events_of(store, task.id)
    kept = history.kept_of(task, [taskview.artifact_json(one) for one in store.records.artifacts(task=task.id)])
    value = {
        "id": task.id,
        "status": task.status,
        "outcome": task.outcome,
        "summary": story.summary,
        "reasons": [{"kind": r.kind, "text": r.text, **r.data} for r in story.reasons],
        "commands": [command.partition("   #")[0] for command in story.commands],
        "claim": taskview.task_json(task)["claim"],
        "claims": history.claims_of(events),
        "attempts": [taskview.attempt_json(attempt, folders.get(attempt.n)) for attempt in attempts],
        "cost_usd": history.total_cost(attempts),
        "decisions": history.decisions_of(task, events),
        "kept": kept,
        "events": [_event_json(event) for event in events],
    }

    def text() -> None:
        _text(inv, task, story, attempts, folders, events)
        _kept(inv, task, kept)
        _commands(inv, story)

    inv.emit(value, text)


def this_machine(app: App) -> Here:
    """What a worker started on this machine would be, as far as that is known without the project's own code."""
    from runner.offers import capabilities_of, installed, machine_name  # here: only for a task that is pending

    name = machine_name(app, None)
    settings = app.config.machines.get(name)
    absent = {agent.name: agent.program for agent in app.agents.values() if not installed(agent)}
    return Here((name, *(settings.aliases if settings else ())), capabilities_of(app, name), absent)


def _parked(inv: Invocation, task: Task) -> str:
    """The outcome that parked the task's account."""
    accounts = inv.store().records.find("account", task.project)
    return next((str(one.get("reason", "")) for one in accounts if one["id"] == task.account), "")


def _event_json(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": times.iso(event.at),
        "kind": event.kind,
        "epoch": event.epoch,
        "by": event.by,
        "data": event.data,
    }


def _text(
    inv: Invocation,
    task: Task,
    story: why.Story,
    attempts: Sequence[Attempt],
    folders: Mapping[int, Path],
    events: Sequence[Event],
) -> None:
    now = time.time()
    ended = task.status in TERMINAL
    put(inv, f"{task.id} {story.summary}" if ended else f"{task.id} is {task.status}: {story.summary}")
    for reason in story.reasons:
        if reason.text not in story.summary:
            put(inv, f"  - {reason.text}")
    inv.line("\nHistory")
    told = {attempt.n for attempt in attempts}
    by_number = {attempt.n: attempt for attempt in attempts}
    for event in _worth_telling(events):
        n = event.data.get("n")
        if event.kind == "attempt.started" and n in told:
            tell_attempt(inv, by_number[n], folders.get(n), now)
            told.discard(n)
        else:
            put(inv, f"  {times.clock(event.at, now)}  {sentence(event)}")
    for n in sorted(told):
        tell_attempt(inv, by_number[n], folders.get(n), now)
    if task.answer is not None and task.type != "workflow":
        put(inv, f"            answered: {task.answer}")
    cost = history.total_cost(attempts)
    if cost is not None and len(attempts) > 1:
        put(inv, f"            all attempts together cost ${cost:.2f}")


def _kept(inv: Invocation, task: Task, kept: Mapping[str, Any]) -> None:
    """What there is of its work, and how to get it."""
    lines: list[tuple[str, str]] = []
    if kept["branch"]:
        lines.append(("branch", f"{kept['branch']} at {str(kept['commit'])[:12]}"))
    lines += [("artifact", f"{a['name']} ({size(a['size'])}): {a['ref']}") for a in kept["artifacts"]]
    if kept["snapshot"]:
        lines.append(("snapshot", f"{kept['snapshot']}; its files: runner rescue {task.unit or task.id} --into DIR"))
    if kept["snapshot_error"]:
        lines.append(("snapshot", f"there is none: {kept['snapshot_error']}"))
    lines += [("left out", f"{one.get('path')}: {one.get('reason')}") for one in kept["left_out"]]
    if lines:
        inv.line("\nKept")
    for name, text in lines:
        put(inv, f"  {name:<8}  {text}")


def _commands(inv: Invocation, story: why.Story) -> None:
    if story.commands:
        inv.line("\nWhat you can do")
        for command in story.commands:
            put(inv, f"  {command}")


def _worth_telling(events: Sequence[Event]) -> list[Event]:
    """Without the ends of attempts (told with their beginnings) and promotions that follow at once."""
    kept: list[Event] = []
    last = 0.0
    for event in events:
        at_once = event.kind == "task.promoted" and event.at - last < 0.5
        if event.kind != "attempt.finished" and not at_once:
            kept.append(event)
        last = event.at
    return kept


def sentence(event: Event) -> str:
    """An event in the words of people."""
    data = event.data
    worker = data.get("worker") or event.by or "?"
    told = {
        "task.submitted": "submitted",
        "task.promoted": "nothing is in its way any more: it is pending",
        "task.claimed": f"claimed by {worker}{_on(str(worker), data.get('machine'))} (epoch {event.epoch})",
        "task.released": f"handed back by {worker}: {data.get('reason', '')}",
        "task.reclaimed": f"taken back from {worker}: {data.get('reason') or data.get('why', '')}",
        "task.settled": _settled(data),
        "task.cancel_requested": "asked to end",
        "task.cancelled": "cancelled",
        "task.retried": f"queued again: {data.get('status')}",
        "task.resolved": history.decision_text(event),
        "task.published": f"branch not moved: {data['error']}" if data.get("error") else "branch moved",
        "artifact.stored": f"artifact {data.get('name')} kept ({data.get('ref')})",
        "attempt.late": f"late evidence of attempt {data.get('n')} kept",
    }
    text = told.get(event.kind)
    if text is None:
        details = ", ".join(f"{name}={value}" for name, value in data.items())
        text = f"{event.kind}" + (f": {details}" if details else "")
    people = ("task.submitted", "task.cancel_requested", "task.cancelled", "task.retried")
    reason = f": {data['reason']}" if event.kind.startswith("task.cancel") and data.get("reason") else ""
    return text + (f" by {event.by}" if event.by and event.kind in people else "") + reason


def _on(worker: str, machine: Any) -> str:
    # Workers are called after their machine, unless they were given another name.
    return f" on {machine}" if machine and not worker.startswith(f"{machine}-") else ""


def _settled(data: Mapping[str, Any]) -> str:
    outcome, status = data.get("outcome"), data.get("status")
    return f"it became {status}" if outcome == status else f"{outcome}, so it became {status}"
