"""`runner run AGENT PROMPT`: an agent here and now, by the same path as a queued task."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from runner.cli.inplace import work_on
from runner.cli.taskview import task_json
from runner.cli.watched import watched
from runner.errors import RunnerError
from runner.inplace import give_up, prepare_here
from runner.statuses import DONE, EXIT_FAILED, EXIT_HUMAN, NEEDS_HUMAN

if TYPE_CHECKING:
    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.model import Task


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
    from runner.store import SubmitTasks

    app = inv.app(code=True)
    asked = {"prompt": " ".join(prompt), "agent": agent, "model": model, "timeout": timeout, "cwd": os.getcwd()}
    task = prepare_here(app, {"type": "agent_run", "expects": "answer", "attempts": 1, **asked})
    app.store.commit([SubmitTasks(tasks=(task,))])
    try:
        with watched(inv, None) as view:
            work_on(inv, app, task.id, view=view)
    finally:
        give_up(app, task.id, "its `runner run` was ended")
    raise SystemExit(_answer(inv, app, task.id))


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
