"""A person's word on a step of a run that waits: kept in the run's payload, where the run finds it when it goes on."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from runner.errors import UsageError, suggestion
from runner.statuses import DONE, FAILED, HELD, PENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Task
    from runner.store import ResolveTask


_NO_QUESTION: Final = frozenset(("budget", "rate_limited", "auth"))
"""Waits that an answer does not end."""


def waiting(task: Task) -> list[Mapping[str, Any]]:
    """The steps of a run that wait: `{"path", "kind", "question", "outcome", "options", "held"}` each.

    Of a run that goes on soon, those that nobody has decided about yet; of one in work nobody knows.
    """
    found = list((task.result or {}).get("waiting") or ())
    if task.status == PENDING:
        left = task.payload.get("_undecided") or ()
        return [one for one in found if one["path"] in left]
    return [] if task.status in HELD else found


def takes(one: Mapping[str, Any]) -> str:
    """What `runner resolve` is told of a step that waits; empty where only a limit or a budget is in its way."""
    if one.get("outcome") in _NO_QUESTION:
        return ""
    if one["kind"] != "gate" and one.get("held"):
        return "done | failed | pending"
    return "--answer " + ("|".join(shlex.quote(str(option)) for option in one.get("options") or ()) or "TEXT")


def offers(task: Task) -> list[tuple[Mapping[str, Any], str]]:
    """The steps of a run that wait for a person, each with the command that decides about it."""
    found = waiting(task)
    told = []
    for one in found:
        if one.get("outcome") in ("rate_limited", "auth"):
            continue
        step = f" --step {shlex.quote(str(one['path']))}" if len(found) > 1 else ""
        words = takes(one)
        command = f"runner resolve {task.id}{step} {words}" if words else f"runner workflow resume {task.id}"
        told.append((one, command))
    return told


def decided(
    task: Task, to: str, *, answer: str | None = None, notes: str = "", by: str = "", step: str | None = None
) -> tuple[dict[str, Any], str]:
    """The payload with the decision in it, and the path of the step that it is about (default: the first that waits).

    `to`: `pending` (again), `done` (its work is accepted) or `failed` (given up). UsageError for an answer that the
    step can't take.
    """
    found = waiting(task)
    known = [str(one["path"]) for one in found]
    if step is not None and step not in known:
        if task.status == PENDING and step in task.payload.get("_decisions", {}):
            raise UsageError(
                f"run {task.id}: step '{step}' is decided already", f"of these not yet: {', '.join(known)}"
            )
        raise UsageError(f"run {task.id}: step '{step}' does not wait", suggestion(step, known) if known else "")
    one = next(item for item in found if step is None or item["path"] == step)
    options = list(one.get("options") or ())
    if one["kind"] == "gate":
        to = _gate(task, one, options, to, answer)
    elif answer is not None and one.get("outcome") in _NO_QUESTION:
        raise UsageError(f"{one['path']} takes no answer: {one['question']}", f"runner workflow resume {task.id}")
    verdict = {"verdict": to, "answer": answer, "upto": task.attempt, "by": by, "notes": notes}
    decisions = {**task.payload.get("_decisions", {}), one["path"]: verdict}
    left = [path for path in known if path != one["path"]]
    return {**task.payload, "_decisions": decisions, "_undecided": left}, str(one["path"])


def decision(
    task: Task, to: str, *, answer: str | None = None, notes: str = "", by: str = "", step: str | None = None
) -> ResolveTask:
    """What puts `decided` into the store, unless somebody else decided something in the meantime."""
    from runner.store import ResolveTask  # here: who only reads needs no operations

    payload, path = decided(task, to, answer=answer, notes=notes, by=by, step=step)
    verdict = payload["_decisions"][path]["verdict"]
    return ResolveTask(
        task=task.id,
        to=PENDING,
        notes=notes,
        answer=answer,
        by=by,
        payload=payload,
        replaces=task.payload,
        about={"step": path, "verdict": verdict, "answer": answer},
    )


def _gate(task: Task, one: Mapping[str, Any], options: list[str], to: str, answer: str | None) -> str:
    """A gate takes an answer, and of its options one; it can also be given up."""
    if to == FAILED and answer is None:
        return FAILED
    if answer is None:
        step = f" --step {shlex.quote(str(one['path']))}" if len(waiting(task)) > 1 else ""
        raise UsageError(f"{one['path']} asks: {one['question']}", f"runner resolve {task.id}{step} {takes(one)}")
    if options and answer not in options:
        raise UsageError(f"'{answer}' is no answer to {one['path']}", suggestion(answer, options))
    return PENDING if to == DONE else to
