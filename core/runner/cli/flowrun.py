"""Carries a run on in this process until it ends or waits, told step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.cli.inplace import work_on
from runner.cli.runview import exit_code, print_run, run_json
from runner.cli.steplines import StepLines
from runner.errors import Conflict, RunnerError

if TYPE_CHECKING:
    from runner.app import App
    from runner.cli.invocation import Invocation


def carry_on(inv: Invocation, app: App, run: str, junit: str | None = None) -> int:
    """Work on this run → the exit code. What came of it is on stdout."""
    inv.talk(f"run {run}")
    work_on(inv, app, run, stepped=StepLines(inv), talk=inv.talk)
    task = app.store.queue.get(run)
    if task is None:
        raise RunnerError(f"run {run} is gone from the store")
    if task.holder is not None:
        raise Conflict(f"run {run} is held by {task.holder.worker}", f"wait for it, or: runner cancel {run}")
    if junit:
        from runner.cli.runjunit import write_junit  # here: few want it

        write_junit(junit, task)
    inv.emit(run_json(task), lambda: print_run(inv, task))
    return exit_code(task)
