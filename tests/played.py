"""A worker played by hand: claims, starts, finishes and settles through the store, so that tests need no process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runner import host
from runner.app import App
from runner.ids import new_id
from runner.model import Claim, NewTask, Worker
from runner.project import find_project
from runner.store import (
    ClaimTasks,
    FinishAttempt,
    Register,
    Release,
    Settle,
    StartAttempt,
    SubmitTasks,
    Tick,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Played:
    """A worker of the project in `folder`, alive as this test's process is."""

    def __init__(
        self,
        folder: Path,
        *,
        id: str = "played-1",
        machine: str = "box",
        types: Sequence[str] = ("hello",),
        capabilities: Sequence[str] = (),
        pid: int | None = None,
    ) -> None:
        pid = pid or os.getpid()
        self.app = App.open(folder)
        self.project = find_project(folder)
        self.store = self.app.store
        self.worker = Worker(
            id=id,
            machine=machine,
            names=(machine,),
            types=tuple(types),
            capabilities=tuple(capabilities),
            project=self.project.id,
            slots=1,
            host=host.host_id(),
            pid=pid,
            started=host.start_time(pid) or "",
        )
        self.register()

    def register(self) -> None:
        self.store.commit([Register(worker=self.worker)])

    def claim(self, limit: int = 1) -> list[Claim]:
        # As a worker does: what became due or free is promoted before the claim.
        claims: list[Claim] = self.store.commit([Tick(), ClaimTasks(worker=self.worker, limit=limit)])[1]
        return claims

    def start(self, claim: Claim, agent: str | None = None) -> int:
        n: int = self.store.commit([StartAttempt(fence=claim, agent=agent)])[0]
        return n

    def folder(self, task: str, n: int) -> Path:
        """The attempt's folder, made."""
        folder = self.project.state / "runs" / task / "steps" / "main" / str(n)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(self, claim: Claim, n: int, outcome: str, result: dict[str, Any]) -> None:
        self.store.commit([FinishAttempt(fence=claim, n=n, outcome=outcome, result=result)])

    def settle(self, claim: Claim, outcome: str = "ok", result: dict[str, Any] | None = None, **more: Any) -> str:
        status: str = self.store.commit([Settle(fence=claim, outcome=outcome, result=result or {}, **more)])[0]
        return status

    def release(self, claim: Claim) -> str:
        status: str = self.store.commit([Release(fence=claim)])[0]
        return status

    def run(self, outcome: str = "ok", result: dict[str, Any] | None = None, **more: Any) -> str:
        """Claim the next task, start an attempt and settle it → its id."""
        [claim] = self.claim()
        self.start(claim)
        self.settle(claim, outcome, result, **more)
        return claim.key

    def close(self) -> None:
        self.app.close()


def add(project: Path, *, count: int = 1, **values: object) -> list[str]:
    """Put tasks into the queue → their ids, oldest first."""
    with App.open(project) as app:
        given: dict[str, object] = {"type": "hello", "payload": {"prompt": "Say hello"}, **values}
        tasks = tuple(
            NewTask(**{"id": new_id(), "project": app.project_id, **given})  # type: ignore[arg-type]
            for _ in range(count)
        )
        app.store.commit([SubmitTasks(tasks=tasks)])
    return [task.id for task in tasks]
