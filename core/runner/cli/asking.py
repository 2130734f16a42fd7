"""Asks the person at the terminal what a run waits for; elsewhere nobody is asked, and the run waits."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from runner.errors import UsageError
from runner.statuses import NEEDS_HUMAN, PENDING
from runner.store import RetryTask
from runner.who import submitter
from runner.workflows.decisions import decision, waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.model import Task


def answered(inv: Invocation, app: App, task: Task) -> bool:
    """Whether the gate that the run waits for has its answer, the person's or after its deadline: it can go on."""
    gates = [one for one in waiting(task) if one["kind"] == "gate"]
    if task.status != NEEDS_HUMAN or not gates or inv.json or not _at_terminal():
        return False
    gate = gates[0]
    options = [str(one) for one in gate["options"]]
    choices = f" [{', '.join(options)}]" if options else ""
    while True:
        try:
            answer = click.prompt(f"{gate['path']}: {gate['question']}{choices} (empty: later)", default="", err=True)
        except click.Abort:
            answer = ""
        if not answer:
            return _late(inv, app, task, gate)
        try:
            op = decision(task, PENDING, answer=str(answer), by=submitter(), step=str(gate["path"]))
        except UsageError as error:
            inv.talk(str(error))
            continue
        app.store.commit([op])
        return True


def _late(inv: Invocation, app: App, task: Task, gate: Mapping[str, Any]) -> bool:
    """Whether the time to answer is over by now: then the run goes on with the gate's default."""
    deadline = gate.get("deadline_at")
    if deadline is None or time.time() < deadline:
        return False
    inv.talk(f"{gate['path']}: nobody answered in time: {gate['default']}")
    app.store.commit([RetryTask(task=task.id, by="deadline", payload=dict(task.payload))])
    return True


def _at_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
