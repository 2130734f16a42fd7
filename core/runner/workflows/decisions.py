"""A person's word on a step of a run that waits: kept in the run's payload, where the run finds it when it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner.errors import UsageError, suggestion
from runner.statuses import DONE, FAILED, PENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Task


_NO_QUESTION: Final = frozenset(("budget", "rate_limited", "auth"))
"""Waits that an answer does not end."""


def waiting(task: Task) -> list[Mapping[str, Any]]:
    """The steps of a run that wait: `{"path", "kind", "question", "outcome", "options", "held"}` each."""
    return list((task.result or {}).get("waiting") or ())


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
        raise UsageError(f"run {task.id}: step '{step}' does not wait", suggestion(step, known) if known else "")
    one = next(item for item in found if step is None or item["path"] == step)
    options = list(one.get("options") or ())
    if one["kind"] == "gate":
        to = _gate(task, one, options, to, answer)
    elif answer is not None and one.get("outcome") in _NO_QUESTION:
        raise UsageError(f"{one['path']} takes no answer: {one['question']}", f"runner workflow resume {task.id}")
    verdict = {"verdict": to, "answer": answer, "upto": task.attempt, "by": by, "notes": notes}
    decisions = {**task.payload.get("_decisions", {}), one["path"]: verdict}
    return {**task.payload, "_decisions": decisions}, str(one["path"])


def _gate(task: Task, one: Mapping[str, Any], options: list[str], to: str, answer: str | None) -> str:
    """A gate takes an answer, and of its options one; it can also be given up."""
    if to == FAILED and answer is None:
        return FAILED
    if answer is None:
        example = options[0] if options else "TEXT"
        raise UsageError(f"{one['path']} asks: {one['question']}", f"runner resolve {task.id} --answer {example}")
    if options and answer not in options:
        raise UsageError(f"'{answer}' is no answer to {one['path']}", suggestion(answer, options))
    return PENDING if to == DONE else to
