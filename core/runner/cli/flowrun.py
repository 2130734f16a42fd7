"""Carries a run on in this process until it ends or waits, told step by step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runner.cli.asking import answered
from runner.cli.runview import exit_code, print_run, run_json
from runner.cli.sofar import planned, so_far
from runner.cli.steplines import StepLines
from runner.cli.watched import can_watch
from runner.errors import Conflict, RunnerError
from runner.inplace import worker_for

if TYPE_CHECKING:
    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.cli.stepnodes import Tree
    from runner.model import Task


def carry_on(inv: Invocation, app: App, run: str, junit: str | None = None) -> int:
    """Work on this run → the exit code. What came of it is on stdout."""
    inv.talk(f"run {run}")
    while True:
        task = _worked(inv, app, run)
        if not answered(inv, app, task):
            break
    task = so_far(app, task)
    if junit:
        from runner.cli.runjunit import write_junit  # here: few want it

        write_junit(junit, task)
    inv.emit(run_json(task), lambda: print_run(inv, task))
    return exit_code(task)


def _worked(inv: Invocation, app: App, run: str) -> Task:
    """Work on the run until it ends or waits: seen as a tree where the terminal can, else told as lines."""
    tree = _tree(app, run) if can_watch(inv) else None
    if tree is None:
        worker_for(app, run, stepped=StepLines(inv), talk=inv.talk).run()
        return _ended(app, run)
    from runner.cli.steptree import StepTree  # here: a run without a terminal does not need it

    known = app.store.queue.get(run)
    with StepTree(sys.stderr, tree, known.result if known is not None else None) as view:
        work = worker_for(app, run, stepped=view.stepped, talk=inv.talk)
        view.watch(lambda: work.progress)
        work.run()
        task = _ended(app, run)
        view.over(task.result)
    return task


def _tree(app: App, run: str) -> Tree | None:
    """The run's steps as they are planned; None when its files can't be read, of which the run itself will tell."""
    task = app.store.queue.get(run)
    if task is None:
        return None
    from runner.cli.stepnodes import Tree

    root = planned(app, task)
    return None if root is None else Tree(root, app.config.defaults.agent)


def _ended(app: App, run: str) -> Task:
    """The run as it is now that nothing here works on it any more."""
    task = app.store.queue.get(run)
    if task is None:
        raise RunnerError(f"run {run} is gone from the store")
    if task.holder is not None:
        raise Conflict(f"run {run} is held by {task.holder.worker}", f"wait for it, or: runner cancel {run}")
    return task
