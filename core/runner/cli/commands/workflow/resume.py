"""`runner workflow resume`: go on with a run where it stopped."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from runner.cli.flowfile import refuse
from runner.cli.flowrun import carry_on
from runner.cli.runview import run_json
from runner.errors import Conflict, UsageError
from runner.statuses import CANCELLED, DONE, HELD, STATUSES
from runner.store import RetryTask, TaskFilter
from runner.tasknames import find_task
from runner.who import submitter

if TYPE_CHECKING:
    from typing import Any

    from runner.cli.invocation import Invocation
    from runner.cli.resuming import Resumption
    from runner.model import Task

_DYING: Final = 8.0
"""Seconds to wait for the keepers of a process that is gone: what they own is ended first."""


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner workflow resume 3fk2m9x8w1qd\n"
        "  runner workflow resume 3fk2 --from implement --workspace keep\n"
        "  runner workflow resume 3fk2 --dry-run\n"
    ),
)
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--from", "start", metavar="STEP", help="Run this step again, and what depends on it.")
@click.option("--until", metavar="STEP", help="Run this step and what it needs, and nothing else.")
@click.option(
    "--workspace",
    type=click.Choice(("rewind", "keep")),
    help="The files: as they were before the earliest step that runs again, or as they are.",
)
@click.option("--frozen", is_flag=True, help="With the workflow as it was when the run began, not as the file is now.")
@click.option("--dry-run", is_flag=True, help="Show what stays and what runs again, and why; run nothing.")
@click.option(
    "--junit", metavar="FILE", type=click.Path(dir_okay=False), help="Write what the steps came to as JUnit XML."
)
@click.pass_obj
def resume(
    inv: Invocation,
    run_id: str | None,
    start: str | None,
    until: str | None,
    workspace: str | None,
    frozen: bool,
    dry_run: bool,
    junit: str | None,
) -> None:
    """Go on with a run (default: the newest that is not done): steps with a result that holds stay, the others run.

    The file is read again. A step runs again when it failed, when its definition changed, or when something
    it needs came to another result.
    """
    if junit is not None:
        from runner.cli.junit import writable  # here: few want it

        writable(junit)
    app = inv.app(code=True)
    task = _run(inv, run_id or _newest(inv))
    from runner.cli.resuming import plan_resume, rewound  # here: pydantic
    from runner.workflows.problems import problems

    going = plan_resume(app, task, frozen=frozen, start=start, until=until)
    refuse(inv, problems(app, going.loaded))
    payload = going.payload
    if not going.preview.again and task.status == DONE:
        inv.emit(run_json(task), lambda: inv.line(f"run {task.id} {task.status}: nothing is left to do"))
        return
    choice = _workspace(inv, task, going, workspace, dry_run=dry_run)
    if choice == "rewind":
        payload = rewound(payload, going.preview)
        from runner.engine.preview import preview

        going = type(going)(payload, preview(app, task, payload), going.loaded)
    if dry_run:
        seen = going.preview
        value = {"run": task.id, "kept": list(seen.kept), "again": [{"path": p, "why": why} for p, why in seen.again]}
        inv.emit(value, lambda: _tell(inv, going, inv.line))
        return
    _tell(inv, going, inv.talk)
    app.store.commit([RetryTask(task=task.id, by=submitter(), payload=payload)])
    raise SystemExit(carry_on(inv, app, task.id, junit))


def _newest(inv: Invocation) -> str:
    """The newest run of this project that did not come to its end."""
    left = tuple(status for status in STATUSES if status not in (DONE, CANCELLED))
    found = inv.store().queue.find(
        TaskFilter(statuses=left, type="workflow", project=inv.app().project_id, limit=1, newest=True)
    )
    if not found:
        raise UsageError("no run is left to go on with", "runner runs lists them all")
    return found[0].id


def _run(inv: Invocation, word: str) -> Task:
    task = find_task(inv.store(), word, inv.app().project_id)
    if task.type != "workflow":
        raise UsageError(f"task {task.id} is a {task.type}, not a workflow", f"runner retry {task.id}")
    if task.status in HELD:
        task = _taken_back(inv, task)
    if task.status in HELD:
        held = task.holder.worker if task.holder is not None else "a worker"
        raise Conflict(f"run {task.id} is {task.status} ({held} has it)", f"wait, or: runner cancel {task.id}")
    return task


def _taken_back(inv: Invocation, task: Task) -> Task:
    """The run, taken back from a process that is gone: nobody has to wait for the end of its lease."""
    from runner.store import Tick
    from runner.worker.neighbours import Neighbours

    store = inv.store()
    neighbours = Neighbours(store)
    end = time.monotonic() + _DYING
    while True:
        dead = neighbours.dead()
        if task.holder is not None and task.holder.worker in dead:
            store.commit([Tick(dead=dead)])
            return store.queue.get(task.id) or task
        if not neighbours.dying or time.monotonic() > end:
            return task
        time.sleep(0.1)


def _workspace(inv: Invocation, task: Task, going: Resumption, wanted: str | None, *, dry_run: bool) -> str:
    """Whether the files go back; asked where a step that had ended well runs again."""
    if wanted == "rewind" and not task.spec.get("base"):
        raise UsageError("this run works in your own folder, which is never rewound", "use --workspace keep")
    if wanted is not None or not going.preview.changed or not task.spec.get("base"):
        return wanted or "keep"
    if dry_run:
        return "keep"
    if sys.stdin is None or not sys.stdin.isatty():
        steps = ", ".join(going.preview.changed[:5])
        raise UsageError(f"{steps} had ended and would run again", "say --workspace rewind, or --workspace keep")
    _tell(inv, going, inv.talk)
    return str(click.prompt("the files", type=click.Choice(("rewind", "keep")), default="keep", err=True))


def _tell(inv: Invocation, going: Resumption, say: Any) -> None:
    seen = going.preview
    say(f"{len(seen.kept)} result{'' if len(seen.kept) == 1 else 's'} stay{'s' if len(seen.kept) == 1 else ''}")
    for path, why in seen.again:
        say(f"  runs: {path} ({why})")
