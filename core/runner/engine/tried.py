"""One attempt while it is judged, and what the journal keeps of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runner.engine import verify
from runner.engine.waits import Wait
from runner.history import word_of

if TYPE_CHECKING:
    from runner.engine.context import TaskContext
    from runner.keeper import Redaction
    from runner.model import Artifact, StepResult, Usage, Verdict

PARKS: Final = frozenset(("rate_limited", "auth", "needs_human", "awaiting_permission", "budget"))
"""What a step may come to that it has to wait for."""
OUTPUT: Final = 4000
"""Characters of an output that `runner show` prints; the whole is in the attempt's folder."""


@dataclass(slots=True)
class Tried:
    """One attempt: its number, context, result and verdicts."""

    n: int
    context: TaskContext
    result: StepResult
    verdicts: list[Verdict] = field(default_factory=list)
    outcome: str = ""
    account: str | None = None
    """Whose limit or log-in it waits for, when it is not the task's own agent's."""
    seal: str | None = None
    """The digest of the gate that it is held to."""
    given_up: bool = False
    """Whether who did it says that it can't be done: nothing is repaired then."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What else the journal keeps: the snapshot after it."""

    @property
    def red(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if not verdict.ok]

    def summary(self) -> str:
        """One sentence: what came of it."""
        result = self.result
        error = result.evidence.get("error") or result.evidence.get("question") or word_of(result.evidence)
        if error:
            return str(error)
        if self.red:
            return "; ".join(verdict.summary for verdict in self.red)
        if self.outcome == "no_op":
            return "nothing was changed and no declared artifact was made, so nothing was done"
        first = result.output.strip().splitlines()
        return first[-1][:200] if self.outcome == "ok" and first else self.outcome

    def question(self) -> str | None:
        """What a person is asked when it waits for one."""
        if self.outcome == "needs_human":
            return str(self.result.evidence.get("question") or "the step asks for a person")
        if self.outcome == "check_failed" and self.red:
            return "; ".join(verdict.summary for verdict in self.red)
        if self.outcome in ("awaiting_permission", "budget"):
            return self.summary()
        return None

    def to_json(self, redaction: Redaction, machine: str) -> dict[str, Any]:
        """What `runner show` prints of it."""
        result = self.result
        body: dict[str, Any] = {
            "summary": self.summary(),
            "output": redaction.text(result.output[:OUTPUT]),
            "exit_code": result.exit_code,
            "machine": machine,
            "folder": str(self.context.folder),
            "verdicts": verify.as_json(self.verdicts),
            "seal": self.seal,
            **dict(result.evidence),
            **self.kept,
        }
        if len(result.output) > OUTPUT:
            body["output_truncated"] = True
        if result.usage is not None:
            body["usage"] = asdict(result.usage)
        if result.session is not None:
            body["session"] = result.session
        return body


@dataclass(slots=True)
class LeafEnd:
    """How a leaf ended: its last attempt, whether it waits for a person's word on red checks (`held`), or for
    the run to go on (`paused`), whether its failure is `tolerated`; what it kept."""

    tried: Tried
    held: bool = False
    paused: bool = False
    tolerated: bool = False
    kept: list[Artifact] = field(default_factory=list)
    usages: list[Usage | None] = field(default_factory=list)
    """What each attempt cost that was made now."""

    @property
    def outcome(self) -> str:
        return self.tried.outcome

    @property
    def waits(self) -> bool:
        """Whether it is no end yet: for a person, or until a limit is over."""
        if self.tolerated and (self.held or self.tried.outcome == "budget"):
            return self.paused
        return self.held or self.paused or self.tried.outcome in PARKS

    def wait(self) -> Wait:
        """What it waits for."""
        tried = self.tried
        options = tried.result.evidence.get("options") or ()
        return Wait(
            tried.question() or tried.summary(),
            tried.outcome,
            tuple(options),
            self.held,
            tried.result.retry_at,
            tried.account,
            tried.result.evidence.get("deadline_at"),
            tried.result.evidence.get("default"),
        )
