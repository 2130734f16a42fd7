"""A claimed task from workspace to settlement: the one executor's path for a lone task.

workspace ─▶ seal ─▶ attempt written down ─▶ run_step ─▶ commit what was left ─▶ seal again, checks
    ▲                                                                              │
    └────────────── repair: the same agent, with the evidence ◀── red ─────────────┤
                                                                                   ▼
                                   snapshot ─▶ artifacts ─▶ settle (fenced) ─▶ branch
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runner import artifacts
from runner.engine import evidence, folders, prints, step, verify
from runner.engine.context import Stop, TaskContext
from runner.engine.guard import Guard
from runner.engine.plan import MAIN, contract_env, repairs_spent, step_of
from runner.engine.seal import Seal, digest, step_seal, take_seal
from runner.engine.seal import verdict as seal_verdict
from runner.engine.workplace import Workplace, WorkspaceUnavailable
from runner.errors import Cancelled, CheckHeld, LostClaim, RunnerError, StoreError, UsageError
from runner.model import Check, Repair, StepResult, Verdict
from runner.store import (
    REFUSED,
    AppendEvent,
    FinishAttempt,
    LateEvidence,
    Published,
    PutArtifact,
    Release,
    Settle,
    StartAttempt,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.app import App
    from runner.engine.desk import Desk
    from runner.keeper import Keeper, Redaction
    from runner.model import Artifact, Attempt, Claim, Step, Task
    from runner.progress import Progress

_PARKS = ("rate_limited", "auth", "needs_human", "awaiting_permission", "budget")
"""What an agent that repairs may come to that the task has to wait for."""

_OUTPUT = 4000
"""Characters of an output that the result keeps; the whole is in the attempt's folder."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a claimed task ended for its worker: the task's new `status` ("" when the claim was lost)."""

    task: Task
    status: str
    outcome: str
    summary: str
    seconds: float


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

    @property
    def red(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if not verdict.ok]


class TaskRun:
    """Runs one claimed task in the slot's thread."""

    def __init__(
        self,
        *,
        app: App,
        claim: Claim,
        desk: Desk,
        keeper: Keeper,
        redaction: Redaction,
        stop: Stop,
        machine: str,
        env: Mapping[str, str],
        progress: Progress,
    ) -> None:
        assert claim.task is not None
        self.task: Task = claim.task
        self._app = app
        self._claim = claim
        self._desk = desk
        self._keeper = keeper
        self._redaction = redaction
        self._stop = stop
        self._machine = machine
        self._env = env
        self._progress = progress
        self._place: Workplace | None = None
        self._seals: list[Seal] = []
        self._tried: Tried | None = None
        self._kept: list[Artifact] = []
        self._began = time.monotonic()

    def run(self) -> Ended:
        """Run to the end. StoreError passes (the worker decides); a lost claim is kept as late evidence."""
        try:
            return self._settle(*self._work())
        except LostClaim:
            return self._let_go()
        except Cancelled:
            return self._settle_quietly(StepResult("cancelled"), "cancelled")
        except StoreError:
            raise
        except (UsageError, WorkspaceUnavailable) as error:
            # Trying again would bring the same: a person has to see to it first.
            return self._settle_quietly(StepResult("needs_human", evidence={"error": str(error)}), str(error))
        except OSError as error:
            # A step's own trouble is its outcome already; this is the machine's (a read-only or missing folder).
            where = f" ({error.filename})" if error.filename else ""
            text = f"this machine can't run it: {error.strerror or error}{where}"
            return self._settle_quietly(StepResult("needs_human", evidence={"error": text}), text)
        except RunnerError as error:
            return self._settle_quietly(StepResult("crashed", evidence={"error": str(error)}), str(error))
        except Exception as error:
            sentence = step.sentence(error)
            return self._settle_quietly(StepResult("crashed", evidence={"error": sentence}), sentence)
        finally:
            if self._place is not None:
                self._place.close()

    # The work

    def _work(self) -> tuple[Tried, str]:
        """Attempts until the checks are green or nothing may repair → the last one, and its outcome."""
        node = step_of(self._app, self.task)
        previous = self._app.store.queue.attempts(self.task.id) if self.task.attempt else []
        self._place = Workplace.open(self._app, self._claim, self._app.types[self.task.type].workplace, previous)
        self._seals = [self._step_seal(node, previous)]
        todo, repairs, last = node, 0, None
        spent = repairs_spent(previous, self.task.attempts)
        while True:
            tried = self._attempt(todo, previous, last, repairs)
            outcome = tried.outcome = self._judge(node, tried)
            if outcome != "check_failed":
                return tried, outcome
            decision = self._repair(node, tried, spent + repairs)
            if decision.action not in ("agent", "rerun"):
                self._block(node, tried)
                return tried, "check_failed" if decision.action == "fail" else "held"
            previous = [*previous, *self._now(tried)]
            repairs, last = repairs + 1, tried
            # What the step itself may edit, its repair may not: it is held to the gate as it is now.
            self._seals = [self._seals[0], self._repair_seal(node)]
            todo = replace(decision.step or node, policy=node.policy, key=node.key, checks=node.checks)
            if todo.type != node.type:
                # Somebody else mends what this step found wrong; then the step itself runs again.
                gate = self._script_seal(node, tried)
                mended = self._mend(todo, previous, last, repairs)
                if mended.outcome in _PARKS:
                    return mended, mended.outcome
                if self._edited(gate, mended):
                    self._block(node, mended)
                    return mended, "held"
                previous = [*previous, *self._now(mended)]
                last, todo = mended, node

    def _script_seal(self, node: Step, tried: Tried) -> Seal:
        """The seal of what a step without an agent runs: its own end is the gate of who mends what it found wrong."""
        place = self._place
        assert place is not None
        words = (node.payload.get("script"), tried.result.evidence.get("framework"))
        gate = [Check("command", word) for word in words if isinstance(word, str)]
        return take_seal(place.root, gate, replace(node.policy, may_edit=()), cwd=place.cwd)

    def _edited(self, gate: Seal, mended: Tried) -> bool:
        """Whether who mended edited the gate; the verdict is then what came of the attempt."""
        assert self._place is not None
        verdict = seal_verdict(gate, self._place.root)
        if verdict.ok:
            return False
        mended.outcome, mended.verdicts = "check_failed", [verdict]
        folders.write_json(mended.context.folder / "verdicts.json", verify.as_json(mended.verdicts))
        return True

    def _mend(self, todo: Step, previous: Sequence[Attempt], last: Tried, repairs: int) -> Tried:
        """An attempt of another type within this step: what it leaves is committed, its own end decides nothing.

        Only that its agent can't be used now does: then the task waits for that, and nothing is spent.
        """
        place = self._place
        assert place is not None
        tried = self._attempt(todo, previous, last, repairs)
        tried.outcome = tried.result.outcome
        if tried.outcome == "ok":
            place.commit_leftovers(f"{self.task.type}: task {self.task.id}, repair {repairs}")
        return tried

    def _step_seal(self, node: Step, previous: Sequence[Attempt]) -> Seal:
        """The seal of the first attempt, whoever made it: one of our own would bless what was edited since."""
        place = self._place
        assert place is not None
        path = self._app.project.state / "runs" / self.task.id / "seals" / f"{MAIN}.json"
        known = [str(a.result["seal"]) for a in previous if a.result and a.result.get("seal")]
        return step_seal(path, place.root, node.checks, node.policy, cwd=place.cwd, known=known[0] if known else None)

    def _repair_seal(self, node: Step) -> Seal:
        place = self._place
        assert place is not None
        return take_seal(place.root, node.checks, replace(node.policy, may_edit=()), cwd=place.cwd)

    def _attempt(self, todo: Step, previous: Sequence[Attempt], last: Tried | None, repairs: int) -> Tried:
        """Write the attempt down, then run it."""
        place = self._place
        assert place is not None
        ops: list[Any] = []
        if last is not None:
            ops.append(
                FinishAttempt(
                    fence=self._claim, n=last.n, outcome=last.outcome, result=self._result(last, last.outcome)
                )
            )
        home = self._machine if place.stays else None
        agent = todo.payload.get("agent") or self.task.agent
        ops.append(StartAttempt(fence=self._claim, step=MAIN, agent=agent, repair=repairs > 0, home=home))
        n = int(self._commit(ops)[-1])
        folder = folders.attempt_folder(self._app.project.state, self.task.id, MAIN, n)
        context = TaskContext(
            app=self._app,
            desk=self._desk,
            keeper=self._keeper,
            redaction=self._redaction,
            stop=self._stop,
            claim=self._claim,
            workspace=place.cwd,
            folder=folder,
            env={**self._env, **contract_env(self._app, self._claim, n, todo, self._machine)},
            attempt=n,
            previous=previous,
            base=place.base,
            timeout=todo.policy.timeout,
            silence=todo.policy.silence,
            progress=self._progress,
        )
        tried = self._tried = Tried(n, context, StepResult("lost_claim"), account=self._account(agent))
        self._progress.attempt(n, repair=repairs > 0)
        place.begin(n, self._no_snapshot)
        try:
            with prints.into(context.log), Guard(context, self._stop):
                tried.result = step.run(self._app, todo, context)
        finally:
            place.end(n, self._no_snapshot)
        self._progress.spent(tried.result.usage)
        self._stop.check()
        return tried

    def _account(self, agent: str | None) -> str | None:
        """Whose limits an attempt runs into, when its agent is not the task's own."""
        known = self._app.agents.get(agent) if agent and agent != self.task.agent else None
        return None if known is None else known.account or known.name

    def _judge(self, node: Step, tried: Tried) -> str:
        """The outcome: `expects` first, then the seal and the checks; the agent's word is not asked."""
        place, result = self._place, tried.result
        assert place is not None
        if result.outcome != "ok":
            return result.outcome
        self._progress.enter("checking")
        place.commit_leftovers(f"{self.task.type}: task {self.task.id}, attempt {tried.n}")
        found = artifacts.collect(node.policy.artifacts, place.cwd)
        kind = self._app.types[node.type]
        reads_only = node.payload.get("permission") == "read-only"
        expects = evidence.default_expects(
            kind, node.policy, permission="read-only" if reads_only else None, in_repository=place.stays
        )
        if not evidence.met(
            expects, changed=place.changed(), artifacts=len(found.files), output=result.output, submitted=False
        ):
            return evidence.unmet(result)
        gates = [seal_verdict(seal, place.root) for seal in self._seals if seal.guarded]
        tried.verdicts = [one for one in gates if not one.ok][:1] or gates[:1]
        if not tried.red:
            # Checks of an edited gate would only say what the editor wanted.
            try:
                tried.verdicts += verify.verify(self._app, node.checks, node, result, tried.context)
            except CheckHeld as held:
                said = {**result.evidence, "error": held.message}
                tried.result = replace(result, outcome=held.outcome, evidence=said, retry_at=held.retry_at)
                tried.account = held.account
                return held.outcome
        tried.verdicts += [_missing(name) for name in found.missing if not _is_glob(name)]
        folders.write_json(tried.context.folder / "verdicts.json", verify.as_json(tried.verdicts))
        return "check_failed" if tried.red else "ok"

    def _repair(self, node: Step, tried: Tried, used: int) -> Repair:
        result = replace(tried.result, evidence={**tried.result.evidence, "repairs_used": used})
        try:
            answer = self._app.hook.repair(step=node, result=result, verdicts=tried.verdicts, context=tried.context)
        except Exception as error:
            tried.context.log(f"repair: {step.sentence(error)}")
            return Repair("hold", reason=step.sentence(error))
        return answer if isinstance(answer, Repair) else Repair("hold")

    def _block(self, node: Step, tried: Tried) -> None:
        """What a person needs to go on, as a file that travels with the task."""
        report = evidence.blocked_report(node, tried.result, tried.verdicts)
        path = tried.context.folder / f"BLOCKED-{node.id}.md"
        folders.write_text(path, self._redaction.text(report))
        self._upload(tried, path, path.name)

    def _now(self, tried: Tried) -> list[Attempt]:
        return [a for a in self._app.store.queue.attempts(self.task.id) if a.n == tried.n]

    # The end

    def _settle(self, tried: Tried, outcome: str) -> Ended:
        """Snapshot, artifacts, and one fenced commit of everything; then the branch."""
        place = self._place
        assert place is not None
        self._progress.enter("storing")
        held = outcome == "held"
        outcome = "check_failed" if held else outcome
        snapshot = place.snapshot(tried.n, self._no_snapshot)
        kept = artifacts.collect(tried.context.task.spec.get("policy", {}).get("artifacts", ()), place.cwd)
        for file in kept.files:
            self._upload(tried, file.path, file.name)
        for sentence in kept.refused:
            tried.context.log(sentence)
        publish = place.publication()
        result = {**self._result(tried, outcome), **snapshot, **place.summary()}
        question = _question(tried, outcome)
        ops = [PutArtifact(fence=self._claim, artifact=one) for one in self._kept]
        status = self._commit(
            [
                *ops,
                Settle(
                    fence=self._claim,
                    outcome=outcome,
                    result=result,
                    question=question,
                    retry_at=tried.result.retry_at,
                    account=tried.account,
                    repairable=held,
                    publish=publish,
                    home=self._machine if place.stays else None,
                ),
            ]
        )[-1]
        moved = place.move_branch()
        if moved is not None:
            self._desk.post([Published(task=self.task.id, epoch=self._claim.epoch, error=moved)])
        return self._ended(str(status), outcome, str(result["summary"]))

    def _settle_quietly(self, result: StepResult, summary: str) -> Ended:
        """Settle what ended outside the usual path (cancelled, a workspace that can't be made)."""
        kept: dict[str, Any] = {}
        if self._place is not None and self._tried is not None:
            kept = self._place.snapshot(self._tried.n, self._no_snapshot)
        body = {"summary": summary, **dict(result.evidence), **kept}
        question = summary if result.outcome == "needs_human" else None
        settle = Settle(fence=self._claim, outcome=result.outcome, result=body, question=question)
        answer = self._desk.commit([settle])[0]
        if answer == REFUSED:
            return self._let_go()
        return self._ended(str(answer), result.outcome, summary)

    def _let_go(self) -> Ended:
        """Hand the claim back where it is still ours (a second signal, the store was away).

        Where it is not, what was seen is kept as late evidence: with the attempt of then, never with the task.
        """
        reason = self._stop.reason or "lost_claim"
        release = Release(fence=self._claim, reason=reason)
        ops: list[Any] = [release]
        if self._tried is not None:
            ops.insert(0, LateEvidence(task=self.task.id, epoch=self._claim.epoch, data=self._late(reason)))
        status = self._desk.commit(ops)[-1]
        if status == REFUSED:
            return self._ended("", "lost_claim", "the claim was lost; what was done is kept as late evidence")
        why = "the worker was told to end" if reason == "released" else "the store was out of reach for too long"
        return self._ended(str(status), "lost_claim", f"handed back to the queue: {why}")

    def _late(self, reason: str) -> dict[str, Any]:
        tried = self._tried
        assert tried is not None
        data: dict[str, Any] = {"attempt": tried.n, "reason": reason, "outcome": tried.result.outcome}
        if self._place is not None:
            data.update(self._place.snapshot(tried.n, self._no_snapshot))
        data["folder"] = str(tried.context.folder)
        return data

    def _no_snapshot(self, reason: str) -> None:
        """Work that a crash would lose from now on: people must be able to see that (any thread)."""
        if self._tried is not None:
            self._tried.context.log(f"snapshot: {reason}")
        self._desk.post([AppendEvent(fence=self._claim, kind="snapshot.failed", data={"reason": reason})])

    def _upload(self, tried: Tried, path: Any, name: str) -> None:
        try:
            self._kept.append(tried.context.upload(path, name))
        except RunnerError as error:
            tried.context.log(f"artifact {name}: {error}")
            raise

    def _commit(self, ops: Sequence[Any]) -> list[Any]:
        self._stop.check()
        results = self._desk.commit(ops)
        if REFUSED in results:
            self._stop.now("lost_claim", kill=True)
            raise LostClaim(f"task {self.task.id} is not ours any more")
        return results

    def _result(self, tried: Tried, outcome: str) -> dict[str, Any]:
        """What `runner show` prints of an attempt."""
        result = tried.result
        body: dict[str, Any] = {
            "summary": _summary(tried, outcome),
            "output": self._redaction.text(result.output[:_OUTPUT]),
            "exit_code": result.exit_code,
            "machine": self._machine,
            "folder": str(tried.context.folder),
            "verdicts": verify.as_json(tried.verdicts),
            "seal": digest(self._seals[0]) if self._seals and self._seals[0].guarded else None,
            **dict(result.evidence),
        }
        if len(result.output) > _OUTPUT:
            body["output_truncated"] = True
        if result.usage is not None:
            body["usage"] = asdict(result.usage)
        if result.session is not None:
            body["session"] = result.session
        return body

    def _ended(self, status: str, outcome: str, summary: str) -> Ended:
        return Ended(self.task, status, outcome, summary, time.monotonic() - self._began)


def _is_glob(name: str) -> bool:
    return any(char in name for char in "*?[")


def _missing(name: str) -> Verdict:
    return Verdict(False, f"the declared artifact '{name}' is not there", {"check": "artifact", "value": name})


def _summary(tried: Tried, outcome: str) -> str:
    """One sentence: what came of it."""
    result = tried.result
    error = result.evidence.get("error") or result.evidence.get("question")
    if error:
        return str(error)
    if tried.red:
        return "; ".join(verdict.summary for verdict in tried.red)
    if outcome == "no_op":
        return "nothing was changed and no declared artifact was made, so nothing was done"
    first = result.output.strip().splitlines()
    return first[-1][:200] if outcome == "ok" and first else outcome


def _question(tried: Tried, outcome: str) -> str | None:
    """What a person is asked when the task waits for one."""
    if outcome == "needs_human":
        return str(tried.result.evidence.get("question") or "the step asks for a person")
    if outcome == "check_failed" and tried.red:
        return "; ".join(verdict.summary for verdict in tried.red)
    if outcome in ("awaiting_permission", "budget"):
        return _summary(tried, outcome)
    return None
