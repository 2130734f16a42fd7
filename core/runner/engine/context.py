"""What a running step may use: its workspace, environment, processes, artifacts; the public `Context`, made real."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner import artifacts
from runner.errors import Cancelled, LostClaim, RunnerError
from runner.model import Artifact
from runner.store import REFUSED, AppendEvent, PutArtifact
from runner.transfer import WatchedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from runner.app import App
    from runner.artifacts import ArtifactStore
    from runner.engine.desk import Desk
    from runner.keeper import Keeper, Redaction
    from runner.model import Agent, Attempt, Claim, ProcessResult, Step, Task
    from runner.progress import Progress


class NeedsHuman(RunnerError):
    """A step asked a question that nobody has answered yet."""

    code = "needs_human"


class Stop:
    """Why a running task must end: set from any thread, seen by its processes at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.reason = ""
        self.pausing = False
        """Whether no further step of a workflow is to begin; what runs is finished."""
        self._keepers: list[Keeper] = []

    def watch(self, keeper: Keeper) -> None:
        """End this keeper's tree too when the stop comes."""
        self._keepers = [*self._keepers, keeper]
        if self.event.is_set():
            keeper.end()

    def now(self, reason: str, *, kill: bool = False) -> None:
        """End the task: `cancelled`, `released` or `lost_claim`; the first reason counts."""
        if not self.event.is_set():
            self.reason = reason
            self.event.set()
        for keeper in self._keepers:
            (keeper.kill if kill else keeper.end)()

    def pause(self) -> None:
        """Begin nothing more: a workflow is handed back to the queue between two steps."""
        self.pausing = True

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until something is to end or to pause."""
        end = time.monotonic() + seconds
        while not self.pausing and (left := end - time.monotonic()) > 0:
            if self.event.wait(min(left, 0.5)):
                return

    def check(self) -> None:
        """Raise when the task must end."""
        if self.event.is_set():
            raise (Cancelled if self.reason == "cancelled" else LostClaim)(f"the task was ended: {self.reason}")


class TaskContext:
    """The `runner.model.Context` of one attempt."""

    def __init__(
        self,
        *,
        app: App,
        desk: Desk,
        keeper: Keeper,
        redaction: Redaction,
        stop: Stop,
        claim: Claim,
        task: Task,
        step: str,
        workspace: Path,
        folder: Path,
        env: Mapping[str, str],
        attempt: int,
        previous: Sequence[Attempt],
        base: str | None,
        timeout: float | None,
        silence: float | None,
        progress: Progress,
        workflow: Mapping[str, Any] | None = None,
    ) -> None:
        self.workspace = workspace
        self.folder = folder
        self.env = env
        self.claim = claim
        self.task = task
        self.step = step
        self.workflow = workflow
        self.attempt = attempt
        self.previous = tuple(previous)
        self.base = base
        self.present: str | None = None
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.cancelled = stop.event
        self.between_processes = threading.RLock()
        """Held where a handler must not be interrupted: a keeper's conversation, a commit."""
        self._silence = silence
        self._app = app
        self._desk = desk
        self._keeper = keeper
        self._redaction = redaction
        self._stop = stop
        self._progress = progress

    def check(self) -> None:
        """Raise Cancelled or LostClaim when the task must end."""
        self._stop.check()

    def log(self, line: str) -> None:
        """One line for people in the attempt's log."""
        stamp = time.strftime("%H:%M:%S")
        with open(self.folder / "log.txt", "a", encoding="utf-8") as file:
            file.write(f"{stamp} {self.redact(line)}\n")

    def process(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float | None = None,
        silence: float | None = None,
        first_output: float | None = None,
        max_output: int | None = None,
        name: str = "",
        on_output: Callable[[bytes], None] | None = None,
    ) -> ProcessResult:
        """As `runner.model.Context.process`."""
        self._stop.check()
        prefix = f"{name}-" if name else ""
        stdout, stderr = self.folder / f"{prefix}stdout.log", self.folder / f"{prefix}stderr.log"
        with self.between_processes:
            if on_output is None:
                self._progress.follow((stdout, stderr))
            result = self._keeper.run(
                argv,
                cwd=cwd or self.workspace,
                env=self.env if env is None else env,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                timeout=self._left(timeout),
                silence=self._silence if silence is None else silence,
                first_output=first_output,
                max_output=max_output,
                on_output=on_output,
                cancelled=self._stop.event,
            )
        if result.limit == "untrusted":
            self._stop.now("lost_claim")
        self._stop.check()
        return result

    def _left(self, timeout: float | None) -> float | None:
        """Seconds that a process may take: its own limit, within what the step has left."""
        if self.deadline is None:
            return timeout
        left = max(0.01, self.deadline - time.monotonic())
        return left if timeout is None else min(timeout, left)

    def end(self) -> None:
        """End what `process` runs now."""
        self._keeper.end()

    def agent(self, name: str | None = None) -> Agent:
        """The agent of that name, or the configured default."""
        from runner.errors import UsageError, suggestion

        wanted = name or self.task.agent or self._app.config.defaults.agent
        known = self._app.agents
        if wanted not in known:
            raise UsageError(f"no agent is called '{wanted}'", suggestion(wanted, known))
        return known[wanted]

    def enrich(self, step: Step, prompt: str) -> str:
        """The prompt with what plugins append."""
        added = self._app.hook.enrich_prompt(step=step, prompt=prompt, context=self)
        return "\n\n".join([prompt, *(text for text in reversed(added) if text)])

    def redact(self, text: str) -> str:
        """The text without known secrets."""
        return self._redaction.text(text)

    def progress(self, line: str | None = None, *, cost_usd: float | None = None, tokens: int | None = None) -> None:
        """As `runner.model.Context.progress`."""
        self._progress.told(line, cost_usd=cost_usd, tokens=tokens)

    def artifact(self, path: Path, name: str | None = None, type: str | None = None) -> Artifact:
        """Store a file as an artifact of this task, under its claim."""
        stored = self.upload(path, name or os.path.relpath(path, self.workspace), type)
        self.commit([PutArtifact(fence=self.claim, artifact=stored)])
        return stored

    def upload(self, path: Path, name: str, type: str | None = None) -> Artifact:
        """Put the bytes into the artifact store; whoever calls this commits the metadata."""
        draft = Artifact(
            name=artifacts.check_name(name),
            type=type or artifacts.media_type(name),
            project=self.task.project,
            unit=self.task.unit,
            task=self.task.id,
            step=self.step,
            attempt=self.attempt,
            epoch=self.claim.epoch,
        )
        stored: Artifact | None = self._app.hook.upload_artifact(
            artifact=draft, source=path, store=self._watched(path, name), context=self
        )
        if stored is None:
            raise RunnerError(f"no plugin stores the artifact '{name}'", "see: runner plugins")
        return replace(stored, by=stored.by or f"task:{self.task.id}")

    def _watched(self, path: Path, name: str) -> ArtifactStore:
        """The artifact store; how far it is with this file is told."""
        store: ArtifactStore = self._app.artifact_store
        try:
            total = max(1, os.path.getsize(path))
        except OSError:
            return store  # whoever opens it will say why it can't
        return WatchedStore(store, lambda count: self._progress.told(f"{name}: {min(100, count * 100 // total)} %"))

    def event(self, kind: str, **data: Any) -> None:
        """A line of the audit log, under the claim."""
        self.commit([AppendEvent(fence=self.claim, kind=kind, data=data)])

    def commit(self, ops: Sequence[Any]) -> list[Any]:
        """Commit under the claim; LostClaim when it is not ours any more."""
        with self.between_processes:
            results = self._desk.commit(ops)
        if REFUSED in results:
            self._stop.now("lost_claim", kill=True)
            raise LostClaim(f"task {self.task.id} is not ours any more")
        return results

    def ask(self, question: str) -> str:
        """The person's answer, or the end of the attempt."""
        if self.task.answer is not None:
            return self.task.answer
        raise NeedsHuman(question)
