"""`runner run AGENT PROMPT`: an agent here and now, by the same path as a queued task."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.taskview import task_json
from runner.cli.watched import watched
from runner.errors import RunnerError
from runner.statuses import DONE, EXIT_FAILED, EXIT_HUMAN, NEEDS_HUMAN, PENDING
from runner.takers import HERE_ONLY

if TYPE_CHECKING:
    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.model import NewTask, Task


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        '  runner run script "[[say: hello]]"\n'
        "  runner run claude explain the retry logic in src/queue.py"
    ),
)
@click.argument("agent")
@click.argument("prompt", nargs=-1, required=True)
@click.option("--model", metavar="M", help="The agent's model.")
@click.option("--timeout", metavar="T", help="Wall clock: seconds, 30m, 2h.")
@click.pass_obj
def command(inv: Invocation, agent: str, prompt: tuple[str, ...], model: str | None, timeout: str | None) -> None:
    """Run an agent on a prompt in the current folder, and print its answer.

    It is a task like any other (`runner show`, `runner logs` know it), but works in this folder itself and
    starts at once.
    """
    from runner.offers import machine_name
    from runner.store import SubmitTasks
    from runner.submission import Submission
    from runner.taskrequest import request
    from runner.worker.work import Work

    app = inv.app(code=True)
    asked = {"prompt": " ".join(prompt), "agent": agent, "model": model, "timeout": timeout, "cwd": os.getcwd()}
    wanted = request({"type": "agent_run", "expects": "answer", "attempts": 1, **asked})
    task = _here(Submission(app, Path.cwd()).prepare([wanted])[0].task)
    app.store.commit([SubmitTasks(tasks=(task,))])
    try:
        with watched(inv, None) as view:
            work = Work(
                app,
                mode="once",
                machine=machine_name(app, None),
                types=(),
                slots=1,
                talk=inv.talk if inv.verbose else lambda text: None,
                began=view.began if view is not None else None,
                ended=lambda ended: None,
                only=(task.id,),
            )
            if view is not None:
                view.follow(work.progress)
            work.run()
    finally:
        _give_up(app, task.id)
    raise SystemExit(_answer(inv, app, task.id))


def _give_up(app: App, task_id: str) -> None:
    """Nobody else takes this task: interrupted before its end, it is over."""
    from runner.store import CancelTask

    task = app.store.queue.get(task_id)
    if task is not None and task.status == PENDING:
        app.store.commit([CancelTask(task=task_id, reason="its `runner run` was ended")])


def _here(task: NewTask) -> NewTask:
    """The same task, in the current folder itself, and of a kind that no worker offers to take."""
    spec = {**task.spec, "base": None}
    return replace(task, spec=spec, limit_key=None, requires=(*task.requires, HERE_ONLY))


def _answer(inv: Invocation, app: App, task_id: str) -> int:
    task = app.store.queue.get(task_id)
    if task is None:
        raise RunnerError(f"task {task_id} is gone from the store")
    inv.emit(task_json(task), lambda: _print(inv, task))
    if task.status == DONE:
        return 0
    return EXIT_HUMAN if task.status == NEEDS_HUMAN else EXIT_FAILED


def _print(inv: Invocation, task: Task) -> None:
    result = task.result or {}
    if result.get("output"):
        inv.line(str(result["output"]))
    if task.status != DONE:
        inv.talk(f"task {task.id} is {task.status}: {result.get('summary', task.outcome)}")
