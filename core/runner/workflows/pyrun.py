"""Runs a workflow that was built in Python, by the same path as `runner workflow run`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError, RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from runner.model import Claim, Task
    from runner.workflows.builder import Builder


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What came of one step: `status` is done, failed, skipped, not_run, waiting or cancelled."""

    path: str
    kind: str
    status: str
    outcome: str | None = None
    summary: str = ""
    output: str = ""
    attempts: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run: `run` is its id, `status` done, failed, needs_human, cancelled or pending (interrupted)."""

    run: str
    status: str
    summary: str
    question: str | None = None
    steps: Mapping[str, StepOutcome] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    cost_usd: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it came to its end as it should."""
        return self.status == "done"


def run(
    builder: Builder,
    cwd: Path,
    params: Mapping[str, str],
    on_event: Callable[[Mapping[str, Any]], None] | None,
    *,
    worktree: bool,
) -> RunResult:
    """As `Builder.run`."""
    from runner.app import App
    from runner.inplace import prepare_here, worker_for
    from runner.store import SubmitTasks
    from runner.workflows.payload import library, payload_of, values_of
    from runner.workflows.problems import problems

    app = App.open(start=cwd, code=True)
    try:
        loaded = builder.loaded(library(app, cwd).folders)
        errors = [one for one in problems(app, loaded) if not one.warning]
        if errors:
            raise ConfigError(f"{errors[0].place}: {errors[0].message}", errors[0].hint)
        payload = payload_of(loaded.source.workflow.name, loaded, values_of(loaded, params))
        asked = {"type": "workflow", "payload": payload, "attempts": 1, "cwd": os.fspath(cwd)}
        task = prepare_here(app, asked, worktree=worktree)
        app.store.commit([SubmitTasks(tasks=(task,))])

        def stepped(claim: Claim, told: Mapping[str, Any]) -> None:
            if on_event is not None and told["path"]:
                on_event({"run": claim.key, **told})

        worker_for(app, task.id, stepped=stepped).run()
        ended = app.store.queue.get(task.id)
        if ended is None:
            raise RunnerError(f"run {task.id} is gone from the store")
        return _result(ended)
    finally:
        app.close()


def _result(task: Task) -> RunResult:
    result = task.result or {}
    steps = {str(one["path"]): _step(one) for one in result.get("steps") or () if one["path"]}
    return RunResult(
        task.id,
        task.status,
        str(result.get("summary") or task.outcome or ""),
        task.question,
        steps,
        dict(result.get("outputs") or {}),
        float((result.get("usage") or {}).get("cost_usd") or 0.0),
    )


def _step(one: Mapping[str, Any]) -> StepOutcome:
    return StepOutcome(
        str(one["path"]),
        str(one["kind"]),
        str(one["status"]),
        one.get("outcome"),
        str(one.get("summary") or ""),
        str(one.get("output") or ""),
        int(one.get("attempts") or 0),
        one.get("duration_s"),
    )
