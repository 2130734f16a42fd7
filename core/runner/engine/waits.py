"""Why a step of a run can't go on now, and what a person is asked about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wait:
    """`question` for a person; empty when only another step of the run has what it needs."""

    question: str = ""
    outcome: str = "needs_human"
    options: tuple[str, ...] = ()
    held: bool = False
    retry_at: float | None = None
    account: str | None = None
    deadline_at: float | None = None
    """Unix time at which `default` is the answer."""
    default: str | None = None
    fails: bool = False
    """Whether nobody is asked: the step fails, and that is tolerated."""

    def due(self, now: float) -> bool:
        """Whether nobody has answered in time, so that `default` is the answer."""
        return self.deadline_at is not None and self.default is not None and now >= self.deadline_at
