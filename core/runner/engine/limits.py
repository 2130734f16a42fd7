"""What a run, and the containers in it, may take and spend: their ends as clock times, their budgets as sums."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runner.engine.budget import Spending, usage_of
from runner.engine.journal import within
from runner.engine.waits import Wait
from runner.workflows.items import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.engine.journal import Journal
    from runner.model import Attempt, Usage
    from runner.workflows.items import Item


class Limits:
    """Those of one run. `timeout` is in seconds, of which `used` went by before this execution."""

    def __init__(
        self,
        budget: Mapping[str, Any] | None,
        timeout: float | None,
        used: float,
        previous: Sequence[Attempt],
        journal: Journal,
    ) -> None:
        self.spending = Spending(budget, (usage_of(row.result) for row in previous))
        self._began = time.monotonic()
        self._used = used
        self.timeout = timeout
        self.deadline = None if timeout is None else self._began + max(0.0, timeout - used)
        """The run's own end, as `time.monotonic()`."""
        self._journal = journal
        self._opened: dict[str, tuple[Item, float]] = {}
        """Containers with a time limit in which something has begun, and their ends."""
        self._spent: dict[str, Spending] = {}

    @property
    def late(self) -> bool:
        """Whether the run's own time is over."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def active(self) -> float:
        """Seconds that the run has been worked on."""
        return self._used + time.monotonic() - self._began

    def deadline_of(self, item: Item) -> float | None:
        """When a step has to have ended: by the run's time, and by that of each container around it."""
        found = [] if self.deadline is None else [self.deadline]
        for owner in _around(item):
            limit = owner.node.definition.get("timeout")
            if limit is not None:
                end = time.monotonic() + float(limit)
                found.append(self._opened.setdefault(owner.path, (owner, end))[1])
        return min(found, default=None)

    def expired(self) -> list[tuple[Item, str]]:
        """Containers that have not ended although their time is over, with what is told of each."""
        now = time.monotonic()
        found = []
        for path, (owner, end) in list(self._opened.items()):
            if owner.state in ENDED:
                del self._opened[path]
            elif now >= end and not owner.expired:
                found.append((owner, f"it took longer than its time limit of {owner.node.definition['timeout']:g} s"))
        return found

    def over(self, item: Item, *, tolerated: bool) -> Wait | None:
        """What an agent step waits for when no more may be spent; where its failure is `tolerated` it fails."""
        over = self.spending.over()
        if over:
            return Wait(f"the budget is spent ({over}); raise it, then resume", "budget")
        for path, spent in self._spendings(item):
            over = spent.over()
            if over:
                said = f"the budget of '{path}' is spent ({over})"
                return Wait(said if tolerated else f"{said}; raise it, then resume", "budget", fails=tolerated)
        return None

    def left(self, item: Item, own: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """What the attempts of a step may spend: its `own` budget, within what is left around it; None is any."""
        found = {name: most for name, most in (own or {}).items() if most is not None}
        for spending in (self.spending, *(spent for _, spent in self._spendings(item))):
            for name, most in spending.left().items():
                found[name] = min(found.get(name, most), most)
        return found or None

    def add(self, item: Item, usages: Sequence[Usage | None]) -> None:
        """What the attempts of a step cost that have just been made."""
        for spending in (self.spending, *(spent for _, spent in self._spendings(item))):
            for usage in usages:
                spending.add(usage)

    def _spendings(self, item: Item) -> list[tuple[str, Spending]]:
        """What was spent in the containers around a step that have a budget, with their paths."""
        found = []
        for owner in _around(item):
            given = owner.node.definition.get("budget")
            if given is not None and owner.path not in self._spent:
                rows = [row for path, rows in self._journal.rows.items() if within(path, owner.path) for row in rows]
                self._spent[owner.path] = Spending(given, (usage_of(row.result) for row in rows))
            if given is not None:
                found.append((owner.path, self._spent[owner.path]))
        return found


def _around(item: Item) -> Iterator[Item]:
    """The containers that a step stands in, the innermost first."""
    owner = item.frame.owner
    while owner is not None:
        yield owner
        owner = owner.frame.owner
