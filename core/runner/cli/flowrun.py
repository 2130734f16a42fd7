"""Carries a run on in this process until it ends or waits, told step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cli.asking import answered
from runner.cli.inplace import work_on
from runner.cli.runview import exit_code, print_run, run_json
from runner.cli.steplines import StepLines
from runner.errors import Conflict, RunnerError

if TYPE_CHECKING:
    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.model import Task


def carry_on(inv: Invocation, app: App, run: str, junit: str | None = None) -> int:
    """Work on this run → the exit code. What came of it is on stdout."""
    inv.talk(f"run {run}")
    while True:
        work_on(inv, app, run, stepped=StepLines(inv), talk=inv.talk)
        task = _ended(app, run)
        if not answered(inv, app, task):
            break
    if junit:
        from runner.cli.runjunit import write_junit  # here: few want it

        write_junit(junit, task)
    inv.emit(run_json(task), lambda: print_run(inv, task))
    return exit_code(task)


def _ended(app: App, run: str) -> Task:
    """The run as it is now that nothing here works on it any more."""
    task = app.store.queue.get(run)
    if task is None:
        raise RunnerError(f"run {run} is gone from the store")
    if task.holder is not None:
        raise Conflict(f"run {run} is held by {task.holder.worker}", f"wait for it, or: runner cancel {run}")
    return task
