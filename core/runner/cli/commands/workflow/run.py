"""`runner workflow run`: a workflow here and now, by the same path as a queued task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.flowfile import Workflow, opened, parameters, refuse
from runner.cli.flowrun import carry_on
from runner.errors import UsageError
from runner.inplace import prepare_here

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.model import NewTask


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner workflow run ship everything\n"
        "  runner workflow run workflows/ship.yaml --param what=everything --worktree\n"
        "  runner workflow run ship everything --dry-run\n"
    ),
)
@click.argument("name", metavar="NAME|FILE", type=Workflow())
@click.argument("values", nargs=-1)
@click.option(
    "--param", "params", metavar="K=V", multiple=True, help="A parameter by name; values by position work too."
)
@click.option("--dry-run", is_flag=True, help="Show what would run, and what experience advises against; run nothing.")
@click.option("--from", "start", metavar="STEP", help="Begin at this step, with what the last run came to before it.")
@click.option("--start-from", metavar="STEP", help="As --from, with the run of --previous-run-id.")
@click.option("--previous-run-id", metavar="RUN", help="The run whose results stand for the steps before.")
@click.option("--until", metavar="STEP", help="Run this step and what it needs, and nothing else.")
@click.option("--session", metavar="ID", help="The agent session that the first `session: resume` goes on in.")
@click.option("--worktree", is_flag=True, help="In a git worktree of its own, on a branch, not in this folder.")
@click.option("--queue", is_flag=True, help="Put the run in the queue for a worker instead (in a worktree).")
@click.option("--machine", metavar="NAME", help="With --queue: the machine whose workers may take it.")
@click.option(
    "--junit", metavar="FILE", type=click.Path(dir_okay=False), help="Write what the steps came to as JUnit XML."
)
@click.pass_obj
def run(
    inv: Invocation,
    name: str,
    values: tuple[str, ...],
    params: tuple[str, ...],
    dry_run: bool,
    start: str | None,
    start_from: str | None,
    previous_run_id: str | None,
    until: str | None,
    session: str | None,
    worktree: bool,
    queue: bool,
    machine: str | None,
    junit: str | None,
) -> None:
    """Run a workflow in this folder and wait for its end.

    Each step that ends is written down: after a crash, a red check or an answer, `runner workflow resume` goes on
    where it was. Exit code: 0 done, 1 failed, 3 it waits for a person.
    """
    _report(junit, queue=queue)
    app, loaded, found = opened(inv, name)
    refuse(inv, found)
    from runner.workflows.payload import values_of  # here, these: pydantic

    given = values_of(loaded, parameters(loaded, values, params))
    if start and start_from:
        raise UsageError("--from and --start-from say the same", "give one of them")
    if previous_run_id and not (start or start_from):
        raise UsageError("--previous-run-id needs --start-from", "name the step to begin with")
    if machine and not queue:
        raise UsageError("--machine needs --queue", "without it the run is here")
    if dry_run:
        _dry(inv, loaded)
        return
    from runner.workflows.payload import payload_of
    from runner.workflows.select import only_until
    from runner.workflows.startfrom import seeds

    only_until(loaded.root, until)
    payload: dict[str, Any] = payload_of(name, loaded, given)
    if session:
        payload["_session"] = session
    if until:
        payload["_until"] = until
    if start or start_from:
        payload["_seed"] = seeds(app, loaded, str(start or start_from), previous_run_id)
    asked = {"type": "workflow", "payload": payload, "attempts": 1, "cwd": os.getcwd()}
    if machine:
        asked["machine"] = machine
    task = _submitted(inv, asked, worktree=worktree, queue=queue)
    if queue:
        inv.emit({"run": task.id, "status": "pending"}, lambda: inv.line(task.id))
        return
    raise SystemExit(carry_on(inv, app, task.id, junit))


def _report(junit: str | None, *, queue: bool) -> None:
    """UsageError, before anything runs, where the report of it could not be written."""
    if junit is None:
        return
    if queue:
        raise UsageError("--junit is for a run that ends here", "leave --queue out")
    from runner.cli.junit import writable  # here: few want it

    writable(junit)


def _submitted(inv: Invocation, asked: dict[str, Any], *, worktree: bool, queue: bool) -> NewTask:
    from dataclasses import replace

    from runner.store import SubmitTasks
    from runner.takers import HERE_ONLY

    app = inv.app(code=True)
    task = prepare_here(app, asked, worktree=worktree or queue)
    base = task.spec.get("base")
    if worktree and not base:
        raise UsageError("--worktree needs a git repository with a commit, and there is none here", "run it in place")
    if base:
        from runner.workspace import dirty

        if dirty(Path(base["repo"])):
            inv.talk("changes that are not committed are not in it: it begins at HEAD")
    if queue:
        task = replace(task, requires=tuple(one for one in task.requires if one != HERE_ONLY))
    app.store.commit([SubmitTasks(tasks=(task,))])
    return task


def _dry(inv: Invocation, loaded: Any) -> None:
    from runner.cli.commands.workflow.plan import print_plan
    from runner.workflows.authoring import advice
    from runner.workflows.plan import plan

    planned = {"workflow": loaded.source.workflow.name, **plan(loaded.root)}
    told = [str(one) for one in advice(loaded)]

    def text() -> None:
        print_plan(inv, planned)
        for sentence in told:
            inv.warn(sentence)

    inv.emit({**planned, "advice": told}, text)
