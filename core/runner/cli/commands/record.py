"""`runner record`: run a workflow for real, and keep what its agents did as a cassette for tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.flowfile import Workflow, opened, parameters, refuse
from runner.errors import UsageError
from runner.project import shown

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner record ship everything -o workflows/cassettes/ship.json\n"
        "  runner record ship --param what=everything --worktree -o ship.json\n"
    ),
)
@click.argument("name", metavar="NAME|FILE", type=Workflow())
@click.argument("values", nargs=-1)
@click.option(
    "--param", "params", metavar="K=V", multiple=True, help="A parameter by name; values by position work too."
)
@click.option("-o", "--output", metavar="FILE", required=True, type=click.Path(dir_okay=False), help="The cassette.")
@click.option("--worktree", is_flag=True, help="In a git worktree of its own, on a branch, not in this folder.")
@click.pass_obj
def command(
    inv: Invocation, name: str, values: tuple[str, ...], params: tuple[str, ...], output: str, worktree: bool
) -> None:
    """Run a workflow here, and record its agents: `runner workflow test` plays the cassette, offline and for nothing.

    Of each attempt it keeps the prompt, the final message, the outcome, the cost and the change of the files (not of
    ignored ones), without secrets. Exit code as of `runner workflow run`; what ran is recorded in any case.
    """
    app, loaded, found = opened(inv, name)
    refuse(inv, found)
    from runner.cli.flowrun import carry_on  # here, and below: what a refused call need not load
    from runner.flowtests.cassette import write_cassette
    from runner.flowtests.recording import Recorder, repository
    from runner.inplace import prepare_here
    from runner.keeper import Redaction
    from runner.store import SubmitTasks
    from runner.workflows.payload import payload_of, values_of

    given = values_of(loaded, parameters(loaded, values, params))
    path = Path(os.path.abspath(output))
    if path.suffix != ".json":
        raise UsageError(f"-o {output}: a cassette is a .json file", f"write -o {output}.json")
    repository(Path.cwd())
    app.project.prepare()
    places = [
        (str(app.project.root), "{project}"),
        (str(app.project.state), "{state}"),
        (os.path.dirname(os.path.realpath(loaded.source.path)), "{workflow}"),
    ]
    recorder = Recorder(places)
    app.plugins.register(recorder, "recorder")
    asked = {"type": "workflow", "payload": payload_of(name, loaded, given), "attempts": 1, "cwd": os.getcwd()}
    task = prepare_here(app, asked, worktree=worktree)
    app.store.commit([SubmitTasks(tasks=(task,))])
    try:
        code = carry_on(inv, app, task.id)
    finally:
        flow = loaded.source.workflow.name
        hide = Redaction.of(os.environ, app.config.redact).text
        write_cassette(path, flow, {key: hide(value) for key, value in given.items()}, recorder.attempts)
        count = len(recorder.attempts)
        inv.talk(f"{count} attempt{'' if count == 1 else 's'} recorded: {shown(path)}")
    raise SystemExit(code)
