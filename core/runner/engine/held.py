"""What the holder of one claim works with: who it is, where its commits go, when it must end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import LostClaim
from runner.store import REFUSED, AppendEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.app import App
    from runner.engine.context import Stop
    from runner.engine.desk import Desk
    from runner.keeper import Redaction
    from runner.model import Claim, Task


def _nothing() -> None:
    """Nobody else could have the room."""


@dataclass(frozen=True, slots=True)
class Held:
    """A claim in work. `machine` is this machine's name, `env` what its children start from.

    `away` is told when the work only waits for tasks elsewhere, `back` before it goes on: it may wait for room.
    """

    app: App
    claim: Claim
    desk: Desk
    redaction: Redaction
    stop: Stop
    machine: str
    env: Mapping[str, str]
    away: Callable[[], None] = _nothing
    back: Callable[[], None] = _nothing

    @property
    def task(self) -> Task:
        """The task that is claimed."""
        assert self.claim.task is not None
        return self.claim.task

    def commit(self, ops: Sequence[Any]) -> list[Any]:
        """Commit under the claim; LostClaim when it is not ours any more."""
        self.stop.check()
        results = self.desk.commit(ops)
        if REFUSED in results:
            self.stop.now("lost_claim", kill=True)
            raise LostClaim(f"task {self.task.id} is not ours any more")
        return results

    def say(self, kind: str, **data: Any) -> None:
        """A line of the audit log, soon; nobody waits for it (any thread)."""
        self.desk.post([AppendEvent(fence=self.claim, kind=kind, data=data)])
