"""Fences: is the claim that an op carries still the holder's? Asked once for each fence of a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.statuses import HELD

if TYPE_CHECKING:
    from runner.model import Claim
    from runner_plugins.sql.tx import Tx

TASK = """SELECT t.seq, t.id, t.epoch, t.status, t.project, t.unit, t.limit_key, t.type, t.account, t.attempts,
    t.attempts_max, t.interruptions, t.interruptions_max, t.cancel, t.children, t.attempt, c.worker, c.machine
    FROM tasks t JOIN claims c ON c.id = :name
    WHERE t.id = :id AND t.epoch = :epoch{lock_t}"""
UNIT = "SELECT epoch FROM claims WHERE id = :name AND epoch = :epoch{lock}"


@dataclass(slots=True)
class Held:
    """The row behind a valid fence: a held task (of a unit claim only `id` and `epoch` mean something)."""

    seq: int
    id: str
    epoch: int
    status: str = ""
    project: str = ""
    unit: str | None = None
    limit_key: str | None = None
    type: str = ""
    account: str | None = None
    attempts: int = 0
    attempts_max: int = 0
    interruptions: int = 0
    interruptions_max: int = 0
    cancel: int = 0
    children: int = 0
    attempt: int = 0
    worker: str = ""
    machine: str = ""
    ended: bool = False
    """Set by what ends the claim: in the same commit it may still be spoken of, but not ended again."""


def held(tx: Tx, fence: Claim) -> Held | None:
    """The locked row behind `fence`, or None when the claim is not its holder's any more."""
    if fence.id.startswith("unit:"):
        row = tx.one(UNIT, name=fence.id, epoch=fence.epoch)
        return None if row is None else Held(0, fence.key, fence.epoch)
    row = tx.one(TASK, name=fence.id, id=fence.key, epoch=fence.epoch)
    return Held(*row) if row is not None and row[3] in HELD else None
