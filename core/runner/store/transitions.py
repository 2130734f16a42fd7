"""What each outcome makes of a task: the one table that every store and the engine follow."""

from __future__ import annotations

from dataclasses import dataclass

from runner.statuses import CANCELLED, DONE, FAILED, FREE, NEEDS_HUMAN, PENDING, SCHEDULED


@dataclass(frozen=True, slots=True)
class Next:
    """The task's next status, and the attempts it has spent then."""

    status: str
    attempts: int


_HUMAN = frozenset({"budget", "awaiting_permission", "needs_human"})
_AGAIN = {"no_op": FAILED, "timeout": NEEDS_HUMAN, "stalled": NEEDS_HUMAN, "crashed": NEEDS_HUMAN}
"""Outcomes that queue the task again, and what it becomes when its attempts are spent."""


def settled(outcome: str, attempts: int, attempts_max: int, repairable: bool) -> Next:
    """Where `outcome` leads a task that has spent `attempts` of `attempts_max` before it.

    `repairable`: whether anything might have repaired a red check (then a person is asked).
    ValueError for an outcome that no holder may report.
    """
    spent = attempts if outcome in FREE else attempts + 1
    if outcome == "ok":
        return Next(DONE, spent)
    if outcome in _AGAIN:
        return Next(PENDING if spent < attempts_max else _AGAIN[outcome], spent)
    if outcome == "check_failed":
        return Next(NEEDS_HUMAN if repairable else FAILED, spent)
    if outcome in ("rate_limited", "auth"):
        return Next(SCHEDULED, spent)
    if outcome in _HUMAN:
        return Next(NEEDS_HUMAN, spent)
    if outcome == "cancelled":
        return Next(CANCELLED, spent)
    raise ValueError(outcome)


def interrupted(interruptions: int, interruptions_max: int, cancel_requested: bool) -> str:
    """The status of a task whose holder went away for the `interruptions`-th time."""
    if cancel_requested:
        return CANCELLED
    return PENDING if interruptions < interruptions_max else NEEDS_HUMAN
