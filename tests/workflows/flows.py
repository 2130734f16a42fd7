"""Runs workflows in the test's process: a real project, store, keeper and git; text in, what came of it out."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.app import App
from runner.cli.resuming import plan_resume, rewound
from runner.inplace import prepare_here, worker_for
from runner.model import Attempt, Task
from runner.statuses import PENDING
from runner.store import ResolveTask, RetryTask, SubmitTasks
from runner.workflows.check import Problem
from runner.workflows.decisions import decided
from runner.workflows.payload import library, payload_of, values_of
from runner.workflows.problems import problems


@dataclass
class Ran:
    """A run as it is now: `told` the changes of its steps, `order` the paths in the order in which they began."""

    task: Task
    told: list[dict[str, Any]]
    attempts: list[Attempt]

    @property
    def status(self) -> str:
        return self.task.status

    @property
    def result(self) -> Mapping[str, Any]:
        return self.task.result or {}

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return {one["path"]: one for one in self.result["steps"] if one["path"]}

    @property
    def states(self) -> dict[str, str]:
        return {path: one["status"] for path, one in self.steps.items()}

    @property
    def outputs(self) -> dict[str, str]:
        return {path: one.get("output", "") for path, one in self.steps.items()}

    @property
    def order(self) -> list[str]:
        return [attempt.step for attempt in self.attempts]

    def tries(self, path: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.step == path]

    def summary(self, path: str) -> str:
        return str(self.steps[path].get("summary"))


class Flows:
    """`run(text)`, `resume(ran)`, `resolve(ran, …)` in the project `root`."""

    def __init__(self, root: Path, *, worktree: bool = False) -> None:
        self.root = root
        self.worktree = worktree
        (root / "workflows").mkdir(exist_ok=True)

    def write(self, text: str, name: str = "flow") -> Path:
        path = self.root / "workflows" / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def problems(self, text: str, name: str = "flow") -> list[Problem]:
        self.write(text, name)
        app = App.open(start=self.root, code=True)
        try:
            return problems(app, library(app, self.root).load(name))
        finally:
            app.close()

    def run(self, text: str, params: Mapping[str, str] | None = None, name: str = "flow", **payload: Any) -> Ran:
        self.write(text, name)
        app = App.open(start=self.root, code=True)
        try:
            loaded = library(app, self.root).load(name)
            wrong = [str(one) for one in problems(app, loaded) if not one.warning]
            assert not wrong, wrong
            made = {**payload_of(name, loaded, values_of(loaded, params or {})), **payload}
            asked = {"type": "workflow", "payload": made, "attempts": 1, "cwd": str(self.root)}
            task = prepare_here(app, asked, worktree=self.worktree)
            app.store.commit([SubmitTasks(tasks=(task,))])
            return self._work(app, task.id)
        finally:
            app.close()

    def resume(
        self, ran: Ran, text: str | None = None, *, rewind: bool = False, name: str = "flow", **options: Any
    ) -> Ran:
        if text is not None:
            self.write(text, name)
        app = App.open(start=self.root, code=True)
        try:
            task = app.store.queue.get(ran.task.id)
            assert task is not None
            going = plan_resume(app, task, **options)
            payload = rewound(going.payload, going.preview) if rewind else going.payload
            app.store.commit([RetryTask(task=task.id, payload=payload)])
            return self._work(app, task.id)
        finally:
            app.close()

    def preview(self, ran: Ran, text: str | None = None, **options: Any) -> tuple[list[str], dict[str, str]]:
        """What would stay, and what would run, and why."""
        if text is not None:
            self.write(text)
        app = App.open(start=self.root, code=True)
        try:
            task = app.store.queue.get(ran.task.id)
            assert task is not None
            seen = plan_resume(app, task, **options).preview
            return list(seen.kept), dict(seen.again)
        finally:
            app.close()

    def resolve(
        self, ran: Ran, to: str = PENDING, *, answer: str | None = None, step: str | None = None, notes: str = ""
    ) -> Ran:
        """A person's word, and on with it."""
        app = App.open(start=self.root, code=True)
        try:
            task = app.store.queue.get(ran.task.id)
            assert task is not None
            payload, _ = decided(task, to, answer=answer, notes=notes, by="ann", step=step)
            app.store.commit([ResolveTask(task=task.id, to=PENDING, answer=answer, payload=payload)])
            return self._work(app, task.id)
        finally:
            app.close()

    def _work(self, app: App, id: str) -> Ran:
        told: list[dict[str, Any]] = []
        worker_for(app, id, stepped=lambda claim, one: told.append(dict(one))).run()
        task = app.store.queue.get(id)
        assert task is not None
        return Ran(task, told, app.store.queue.attempts(id))


def git(root: Path, *words: str) -> str:
    """git's answer in that folder."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def lines(path: Path) -> list[str]:
    """The lines of a file; none when it is not there."""
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
