"""The states of a task, the outcomes of an attempt, and the exit codes of the program."""

from __future__ import annotations

from typing import Final

PLANNING: Final = "planning"
BLOCKED: Final = "blocked"
SCHEDULED: Final = "scheduled"
PENDING: Final = "pending"
CLAIMED: Final = "claimed"
IN_PROGRESS: Final = "in_progress"
NEEDS_HUMAN: Final = "needs_human"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

STATUSES: Final = (
    PLANNING,
    BLOCKED,
    SCHEDULED,
    PENDING,
    CLAIMED,
    IN_PROGRESS,
    NEEDS_HUMAN,
    DONE,
    FAILED,
    CANCELLED,
)
"""Every status, in the order of a task's life."""

ALIASES: Final = {
    "backlog": PLANNING,
    "todo": PENDING,
    "completed": DONE,
    "blocked_on_human": NEEDS_HUMAN,
}
"""Names that other tools use for our statuses; accepted wherever a status is read."""

TERMINAL: Final = frozenset({DONE, FAILED, CANCELLED})
"""Nothing happens to a task in one of these unless a person asks for it."""

HELD: Final = frozenset({CLAIMED, IN_PROGRESS})
"""The task has a holder: a claim row with an epoch and a lease."""

OUTCOMES: Final = (
    "ok",
    "no_op",
    "check_failed",
    "timeout",
    "stalled",
    "crashed",
    "rate_limited",
    "auth",
    "budget",
    "awaiting_permission",
    "needs_human",
    "cancelled",
    "lost_claim",
)
"""What an attempt came to. What each becomes is decided by the store when the claim is settled."""

FREE: Final = frozenset({"rate_limited", "auth", "lost_claim", "cancelled"})
"""Outcomes that spend none of the task's attempts."""

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_HUMAN: Final = 3
EXIT_STORE: Final = 4
EXIT_LIMIT: Final = 5
EXIT_INTERRUPTED: Final = 130


def parse_status(word: str) -> str:
    """The status that `word` names, aliases resolved; ValueError when there is none."""
    name = ALIASES.get(word, word)
    if name not in STATUSES:
        raise ValueError(word)
    return name
