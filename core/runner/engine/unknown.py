"""Attempts that began and have no result: whoever ran them is gone, and nobody knows what they did."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.engine.held import Held
    from runner.engine.journal import Journal
    from runner.workflows.items import Effect


class Unknown:
    """Those of one run: what becomes of them is the step's `on_unknown`."""

    def __init__(self, held: Held, journal: Journal) -> None:
        self._held = held
        self._journal = journal
        self.told: list[dict[str, Any]] = []
        """Each that was met: `{"path", "attempt", "then"}`."""

    def note(self, effect: Effect) -> None:
        """One was met, and its step runs again."""
        row = self._journal.unknown(effect.address)
        assert row is not None
        then = self.rule(effect)
        self.told.append({"path": effect.address, "attempt": row.n, "then": then})
        self._held.say("attempt.unknown", step=effect.address, n=row.n, then=then)

    def rule(self, effect: Effect) -> str:
        """`retry`, `resume`, `verify` or `hold`; by default an agent goes on in its session, where it had one."""
        said = effect.node.definition.get("on_unknown")
        if said:
            return str(said)
        return "resume" if effect.node.kind == "agent" and self.session(effect.address) else "retry"

    def session(self, address: str) -> str | None:
        """The session that the attempt had: its call was written down before."""
        row = self._journal.unknown(address)
        if row is None:
            return None
        folder = self._held.app.project.state / "runs" / self._held.task.id / "steps" / address / str(row.number)
        for name in ("session.json", "argv.json"):
            try:
                session = json.loads((folder / name).read_text(encoding="utf-8")).get("session")
            except (OSError, ValueError):
                continue
            if session:
                return str(session)
        return None

    def rejoin(self, address: str) -> int | None:
        """The number of the first of the last attempts that nobody knows the end of: its task may still run."""
        found = None
        for row in reversed(self._journal.attempts(address)):
            if row.outcome not in (None, "lost_claim"):
                break
            found = row.number
        return found
