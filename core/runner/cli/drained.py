"""What `runner work` keeps of a drain for its reports: JUnit XML and the slowest tasks, written however it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cli import durations, junit

if TYPE_CHECKING:
    from types import TracebackType

    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.cli.selection import Selection
    from runner.engine.run import Ended


class Reports:
    """Use it with `with` around the work: the reports are made when that ends, by an error or Ctrl-C too."""

    def __init__(
        self, inv: Invocation, app: App, selection: Selection, junit_file: str | None, most: int | None
    ) -> None:
        self._inv = inv
        self._app = app
        self._selection = selection
        self._junit = junit.Report.at(junit_file) if junit_file is not None else None
        self._most = most
        self._ended: list[Ended] = []

    def ended(self, ended: Ended) -> None:
        """One task ended (called from its slot's thread)."""
        if self._junit is not None or self._most is not None:
            self._ended.append(ended)

    def __enter__(self) -> Reports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._junit is not None:
            try:
                self._fill(self._junit)
            finally:
                self._junit.write()
        if self._most is not None:
            durations.show(self._inv, self._ended, self._most)

    def _fill(self, report: junit.Report) -> None:
        """Every task that ran, as it is now, then those that were left: waiting for something, or cancelled."""
        spent: dict[str, float] = {}
        for one in self._ended:
            spent[one.task.id] = spent.get(one.task.id, 0.0) + one.seconds
        known = {one.task.id: one.task for one in self._ended}
        for id, seconds in spent.items():
            report.add(self._app.store.queue.get(id) or known[id], seconds)
        for task in self._selection.waiting():
            if task.id not in spent:
                report.add(task, 0.0)
