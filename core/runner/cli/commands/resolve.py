"""`runner resolve`: a person's decision on a task that waits for one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from runner.cli.decide import decide, queued
from runner.errors import Conflict, UsageError, suggestion
from runner.statuses import ALIASES, DONE, FAILED, HELD, NEEDS_HUMAN, PENDING
from runner.store import ResolveTask, TaskFilter
from runner.takers import HERE_ONLY
from runner.tasknames import find_task
from runner.who import submitter
from runner.workflows.decisions import decision, offers, waiting

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.model import Task


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        '  runner resolve 3fk2m9x8w1qd --answer "yes, use the new API"\n'
        '  runner resolve 3fk2 done --notes "fixed by hand"\n'
        "  runner resolve all pending --yes\n"
    ),
)
@click.argument("id", metavar="ID|all")
@click.argument("status", metavar="[pending|done|failed]", required=False)
@click.option("--notes", metavar="TEXT", default="", help="Why you decided so; kept in the history.")
@click.option("--answer", metavar="TEXT", help="The answer to the task's question; it runs again with it.")
@click.option("--step", metavar="PATH", help="Which step of a run (default: the first that waits).")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.pass_obj
def command(
    inv: Invocation, id: str, status: str | None, notes: str, answer: str | None, step: str | None, yes: bool
) -> None:
    """Decide about a task: pending runs it again, done accepts it as it is, failed gives it up.

    Without a status, an --answer means pending and nothing means done. `all` are the tasks that need a human.
    Of a workflow's run it is about the step that waits, and the run goes on.
    """
    to = _status(status, answer)
    store, project = inv.store(), inv.app().project_id
    single = id != "all"
    if single:
        tasks = [find_task(store, id, project)]
    else:
        tasks = store.queue.find(TaskFilter(statuses=(NEEDS_HUMAN,), project=project))
        if tasks and not yes and sys.stdin is not None and sys.stdin.isatty():
            click.confirm(f"{_WORDS[to]} all {len(tasks)} tasks that need a human?", abort=True, err=True)
    if not tasks:
        inv.emit_list([], lambda: inv.talk("Nothing waits for you."))
        return

    def op(task: Task) -> ResolveTask:
        if waiting(task):
            made = decision(task, to, answer=answer, notes=notes, by=submitter(), step=step)
            about[task.id] = str(made.about["step"])
            return made
        if task.type == "workflow" and task.status in HELD:
            raise Conflict(f"run {task.id} is {task.status}: it goes on already", "wait until it asks again")
        if task.status == PENDING and task.payload.get("_decisions"):
            raise Conflict(f"nothing is left to decide about run {task.id}", _on(task))
        if step is not None:
            raise UsageError(f"no step of task {task.id} waits", "leave --step out")
        return ResolveTask(task=task.id, to=to, notes=notes, answer=answer, by=submitter())

    def said(task: Task, after: str) -> str:
        if task.id in about:
            return _follows(task, about[task.id])
        return f"Task {task.id} {after}" if after in (DONE, FAILED) else queued(task, after)

    about: dict[str, str] = {}
    decide(inv, tasks, op, said, single=single)


def _follows(task: Task, step: str) -> str:
    """What comes after the decision about a step of a run."""
    left = [command for one, command in offers(task) if one["path"] != step]
    if not left:
        return f"Decided; {_on(task)}"
    return "\n".join(["Decided; still to be decided:", *(f"  {command}" for command in left), f"then {_on(task)}"])


def _on(task: Task) -> str:
    here = HERE_ONLY in task.requires
    return f"go on with: runner workflow resume {task.id}" if here else f"a worker goes on with run {task.id}"


_WORDS = {PENDING: "Run again", DONE: "Accept", FAILED: "Give up"}


def _status(word: str | None, answer: str | None) -> str:
    to = ALIASES.get(word, word) if word else (PENDING if answer is not None else DONE)
    if to not in _WORDS:
        raise UsageError(f"'{word}' is not a decision", suggestion(str(word), _WORDS))
    if answer is not None and to != PENDING:
        raise UsageError(f"an --answer is for running again, not for '{to}'", "use --notes to say why")
    return to
