"""Runs one task in this process: submitted, claimed and settled like any other, but here and at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.statuses import PENDING
from runner.takers import HERE_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.app import App
    from runner.model import Claim, NewTask
    from runner.worker.work import Work


def prepare_here(app: App, asked: Mapping[str, Any], *, worktree: bool = False) -> NewTask:
    """The task of a request, of a kind that no worker offers to take: in the folder itself, or in a worktree."""
    from runner.submission import Submission
    from runner.taskrequest import request

    task = Submission(app, Path.cwd()).prepare([request(dict(asked))])[0].task
    spec = task.spec if worktree else {**task.spec, "base": None}
    return replace(task, spec=spec, limit_key=None, requires=(*task.requires, HERE_ONLY))


def worker_for(
    app: App,
    task_id: str,
    *,
    began: Callable[[Claim], None] | None = None,
    stepped: Callable[[Claim, Mapping[str, Any]], None] | None = None,
    talk: Callable[[str], None] | None = None,
) -> Work:
    """A worker for this one task; `run` it. `began`, `stepped` and `talk` as those of `Work`, else nobody hears."""
    from runner.offers import machine_name
    from runner.worker.work import Work

    return Work(
        app,
        mode="once",
        machine=machine_name(app, None),
        types=(),
        slots=1,
        talk=talk or (lambda text: None),
        began=began or (lambda claim: None),
        ended=lambda ended: None,
        only=(task_id,),
        stepped=stepped,
    )


def give_up(app: App, task_id: str, reason: str) -> None:
    """Nobody else takes this task: interrupted before its end, it is over."""
    from runner.store import CancelTask

    task = app.store.queue.get(task_id)
    if task is not None and task.status == PENDING:
        app.store.commit([CancelTask(task=task_id, reason=reason)])
