"""A step that runs on another machine: its commit travels there as a bundle, a task runs it, what it did comes back.

The task's id follows from the run, the step and the attempt, so that a run which is taken up again finds it.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.engine import folders
from runner.engine.budget import total, usage_of
from runner.engine.tried import LeafEnd, Tried
from runner.errors import Cancelled, LostClaim, RunnerError
from runner.model import SECONDS_A_POINT, StepResult
from runner.statuses import CANCELLED, DONE, FAILED, NEEDS_HUMAN
from runner.store import CancelTask, PutArtifact, SubmitTasks
from runner.taskrequest import PRIORITY_MOST
from runner.workspace import fetched, has_commit, make_bundle

if TYPE_CHECKING:
    from runner.app import App
    from runner.engine.held import Held
    from runner.engine.leaf import LeafRun
    from runner.engine.workplace import Workplace
    from runner.model import NewTask, Task
    from runner.progress import Progress

CHANGES: Final = "changes.bundle"
"""The artifact in which a travelled step's commits come back."""
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LOOK: Final = (0.2, 2.0)
"""Seconds between looks at the task: at first, and at most."""


class Travel:
    """Sends one step away and waits for it. `leaf` has the attempt that is written down already."""

    def __init__(self, held: Held, place: Workplace, progress: Progress, leaf: LeafRun) -> None:
        self._held = held
        self._place = place
        self._progress = progress
        self._leaf = leaf
        self._given = leaf.assignment
        self._late = False
        """Whether it was ended because the time of what is around the step was over."""

    def run(self) -> LeafEnd:
        """To the task's end. Cancelled and LostClaim pass on, after the task was told to end."""
        tried = self._leaf.told(StepResult())
        store = self._held.app.store
        child = self._child(tried)
        present = store.queue.get(child)
        if present is None:
            store.commit([SubmitTasks(tasks=(self._new(child, tried),))])
        tried.context.log(f"task {child} on {self._given.machine or 'whichever machine can'}")
        try:
            ended = self._wait(child)
        except (Cancelled, LostClaim):
            self._cancel(child)
            raise
        return self._end(tried, ended)

    def _child(self, tried: Tried) -> str:
        """The task's id: that of the attempt nobody knows the end of, if there is one, else this attempt's."""
        number = self._given.rejoin or tried.context.attempt
        seed = f"{self._held.task.id}/{self._given.step.id}#{number}".encode()
        bits = int.from_bytes(hashlib.sha256(seed).digest()[:8], "big")
        return "".join(_ALPHABET[(bits >> (5 * i)) & 31] for i in range(12))

    # There

    def _new(self, id: str, tried: Tried) -> NewTask:
        from runner.submission import Submission
        from runner.taskrequest import request

        step, given, app = self._given.step, self._given, self._held.app
        policy = step.policy
        asked: dict[str, Any] = {
            "type": step.type,
            "payload": {name: value for name, value in step.payload.items() if name != "agent"},
            "agent": step.payload.get("agent"),
            "machine": given.machine,
            "checks": [{one.type: one.value} for one in step.checks],
            "expects": policy.expects,
            "artifacts": list(policy.artifacts),
            "may_edit": list(policy.may_edit),
            "protect": list(policy.protect),
            "timeout": policy.timeout,
            "attempts": 1 + given.retries,
            "repairs": policy.repairs,
            "cwd": str(self._place.cwd),
            "default_checks": False,
            "priority": self._priority(),
        }
        wanted = request({name: value for name, value in asked.items() if value not in (None, [])})
        task = Submission(app, Path(os.getcwd())).prepare([wanted])[0].task
        spec = {**task.spec, "base": self._base(tried), "root": str(app.project.root), "parent": self._held.task.id}
        if given.returns:
            spec["returns"] = "changes"
        if given.budget:
            spec["budget"] = dict(given.budget)
        return replace(task, id=id, spec=spec, by=f"run:{self._held.task.id}", limit_key=None)

    def _priority(self) -> int:
        """Before all that came after its run: where every slot is a run's that waits for others, none would end."""
        task = self._held.task
        waited = max(0.0, time.time() - task.created_at)
        return min(PRIORITY_MOST, task.priority + math.ceil(waited / SECONDS_A_POINT) + 1)

    def _base(self, tried: Tried) -> dict[str, Any] | None:
        """The commit that it starts from, with the bundle that brings it there."""
        base = self._place.commit_to_send(
            f"{self._held.task.type}: task {self._held.task.id}, before {self._leaf.path}"
        )
        if base is None:
            return None
        file = tried.context.folder / "work.bundle"
        make_bundle(base.repo, base.commit, file)
        stored = tried.context.upload(file, f"{self._leaf.path}.bundle")
        self._held.commit([PutArtifact(fence=self._held.claim, artifact=stored)])
        file.unlink()
        sent = {"sha256": stored.sha256, "artifact": stored.ref}
        return {"repo": str(base.repo), "commit": base.commit, "subdir": base.subdir, "bundle": sent}

    def _wait(self, id: str) -> Task:
        """The task as it is when it has ended, or waits for a person."""
        stop, pause = self._held.stop, _LOOK[0]
        while True:
            stop.check()
            task = self._held.app.store.queue.get(id)
            if task is None:
                raise RunnerError(f"task {id}, which runs step '{self._leaf.path}', is gone from the store")
            self._progress.told(f"task {id} is {task.status}")
            if task.status in (DONE, FAILED, CANCELLED, NEEDS_HUMAN):
                return task
            if self._given.deadline is not None and time.monotonic() > self._given.deadline:
                self._late = True
                self._cancel(id)
            stop.event.wait(pause)
            pause = min(pause * 1.5, _LOOK[1])

    def _cancel(self, id: str) -> None:
        try:
            self._held.app.store.commit([CancelTask(task=id, by=f"run:{self._held.task.id}", reason="its run ended")])
        except RunnerError:
            pass  # it has ended by itself

    # Back

    def _end(self, tried: Tried, task: Task) -> LeafEnd:
        body = dict(task.result or {})
        evidence = {"task": task.id, "machine": body.get("machine")}
        outcome = "ok" if task.status == DONE else str(task.outcome or "crashed")
        if task.status == NEEDS_HUMAN:
            outcome = "needs_human"
            evidence["question"] = f"task {task.id} waits for a person: {task.question or body.get('summary')}"
        elif self._late and task.status == CANCELLED:
            outcome, evidence["error"] = "timeout", f"task {task.id} was cancelled: the time for it was over"
        elif outcome != "ok":
            evidence["error"] = f"task {task.id} {task.status}: {body.get('summary') or task.outcome}"
        tried.result = StepResult(
            outcome,
            str(body.get("output") or ""),
            body.get("exit_code"),
            evidence,
            total(usage_of(row.result) for row in self._held.app.store.queue.attempts(task.id)),
            session=body.get("session"),
        )
        tried.outcome = outcome
        if outcome == "ok" and self._given.returns:
            self._take_back(tried, task)
        return LeafEnd(tried, usages=[tried.result.usage])

    def _take_back(self, tried: Tried, task: Task) -> None:
        """The commits of the task come into the run's tree; a conflict is a red verdict."""
        commit = (task.result or {}).get("commit")
        store = self._held.app
        found = [one for one in store.store.records.artifacts(task=task.id) if one.name == CHANGES]
        if commit is None or not found:
            return  # it changed nothing
        file = tried.context.folder / CHANGES
        fetch(store, found[-1].sha256, file)
        with fetched(self._place.repository, file, str(commit)):
            file.unlink()
            sent = (task.spec.get("base") or {}).get("commit")
            known = sent if sent and has_commit(self._place.repository, sent) else None
            verdict = self._place.merge_commit(str(commit), f"task {task.id} of step {self._leaf.path}", known)
        tried.verdicts.append(verdict)
        folders.write_json(tried.context.folder / "verdicts.json", [{"ok": verdict.ok, "summary": verdict.summary}])
        if not verdict.ok:
            tried.outcome = "check_failed"


def fetch(app: App, sha256: str, file: Path) -> None:
    """An artifact's bytes into a file, whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    with app.artifact_store.get(sha256) as source, open(part, "wb") as target:
        while data := source.read(1 << 20):
            target.write(data)
    os.replace(part, file)


def changes_of(place: Workplace, folder: Path) -> tuple[Path, str] | None:
    """The bundle of what a task committed, for the run that sent it; None when it committed nothing."""
    head = place.head_since_base()
    if head is None:
        return None
    file = folder / CHANGES
    make_bundle(place.repository, head, file, (place.base,) if place.base else ())
    return file, CHANGES
