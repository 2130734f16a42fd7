"""A context to try handlers and checks in: real processes under a real keeper, no store and no worker."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runner.agents import bind_readers
from runner.artifacts import check_name, media_type
from runner.errors import RunnerError, UsageError, suggestion
from runner.ids import new_id
from runner.keeper import Keeper, Redaction
from runner.model import Artifact, Claim, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.model import Agent, Attempt, ProcessResult, Step


class Asked(RunnerError):
    """`StepContext.ask` was called and nobody has answered."""

    code = "needs_human"


class StepContext:
    """A `runner.model.Context` of one attempt. Use it with `with`: its keeper ends then.

    `workspace` is where the step works, `folder` where its logs go, `agents` those that `agent()` knows
    (the first is the default). What the step says is kept: `events`, `lines`, `artifacts`, `shown`.
    """

    def __init__(
        self,
        workspace: Path,
        folder: Path,
        *,
        agents: Sequence[Agent] = (),
        env: Mapping[str, str] | None = None,
        attempt: int = 1,
        previous: Sequence[Attempt] = (),
        base: str | None = None,
        answer: str | None = None,
        question: str | None = None,
        secrets: tuple[str, ...] = (),
        timeout: float | None = None,
        enrichment: str = "",
        grace: float = 1.0,
    ) -> None:
        self.workspace = workspace
        self.folder = folder
        self.env: Mapping[str, str] = {**os.environ, "RUNNER_ATTEMPT": str(attempt), **(env or {})}
        self.attempt = attempt
        self.previous = tuple(previous)
        self.base = base
        self.present: str | None = None
        self.workflow: Mapping[str, Any] | None = None
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.cancelled = threading.Event()
        self.task = replace(_TASK, question=question, answer=answer)
        self.claim = Claim(f"task:{self.task.id}", 1, task=self.task)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[str] = []
        self.artifacts: list[Artifact] = []
        self.shown: list[tuple[str | None, float | None, int | None]] = []
        self._agents = bind_readers({agent.name: agent for agent in agents})
        self._enrichment = enrichment
        self._redaction = Redaction(secrets, ())
        self._keeper = Keeper("test", self._redaction, grace)
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._keeper.close()

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
        if self.deadline is not None:
            left = max(0.01, self.deadline - time.monotonic())
            timeout = left if timeout is None else min(left, timeout)
        prefix = f"{name}-" if name else ""
        return self._keeper.run(
            argv,
            cwd=cwd or self.workspace,
            env=self.env if env is None else env,
            stdin=stdin,
            stdout=self.folder / f"{prefix}stdout.log",
            stderr=self.folder / f"{prefix}stderr.log",
            timeout=timeout,
            silence=silence,
            first_output=first_output,
            max_output=max_output,
            on_output=on_output,
        )

    def end(self) -> None:
        """End what runs now."""
        self._keeper.end()

    def agent(self, name: str | None = None) -> Agent:
        """The agent of that name, None: the first."""
        wanted = name or next(iter(self._agents), "")
        if wanted not in self._agents:
            raise UsageError(f"no agent is called '{wanted}'", suggestion(wanted, self._agents))
        return self._agents[wanted]

    def enrich(self, step: Step, prompt: str) -> str:
        """The prompt with the text that the test gave."""
        return f"{prompt}\n\n{self._enrichment}" if self._enrichment else prompt

    def redact(self, text: str) -> str:
        """The text without the secrets that the test gave."""
        return self._redaction.text(text)

    def progress(self, line: str | None = None, *, cost_usd: float | None = None, tokens: int | None = None) -> None:
        """Note what was told: `shown`."""
        self.shown.append((line, cost_usd, tokens))

    def artifact(self, path: Path, name: str | None = None, type: str | None = None) -> Artifact:
        """Note an artifact; nothing is stored."""
        label = check_name(name or os.path.relpath(path, self.workspace))
        self.artifacts.append(Artifact(label, type or media_type(label), Path(path).stat().st_size, ref=new_id()))
        return self.artifacts[-1]

    def event(self, kind: str, **data: Any) -> None:
        """Note an event."""
        self.events.append((kind, data))

    def ask(self, question: str) -> str:
        """The answer that the test gave, else Asked."""
        if self.task.answer is None:
            raise Asked(question)
        return self.task.answer

    def log(self, line: str) -> None:
        """Note a line."""
        self.lines.append(line)


_TASK = Task(
    id="testtask0000",
    type="test",
    status="in_progress",
    outcome=None,
    priority=0,
    payload={},
    project="",
    unit=None,
    spec={},
    machine=None,
    agent=None,
    account=None,
    requires=(),
    key=None,
    limit_key=None,
    epoch=1,
    attempt=1,
    attempts=0,
    attempts_max=3,
    interruptions=0,
    interruptions_max=10,
    not_before=None,
    blocked_by=None,
    cancel_requested=False,
    question=None,
    answer=None,
    result=None,
    publish=None,
    created_at=0.0,
    started_at=None,
    finished_at=None,
)
