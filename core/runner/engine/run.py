"""The one executor: a claimed task from its workspace to its settlement, whether it is one step or a workflow.

workspace ─▶ machine: what is next? ─▶ attempts written down ─▶ steps run, each in a lane ─▶ machine ─▶ …
                                                                                   │ nothing left, or only people
                                      branch ◀─ settle (fenced) ◀─ artifacts ◀─ snapshot
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.engine import step
from runner.engine.ending import Close, close_lone, close_run
from runner.engine.graph import Lone, graph_of
from runner.engine.lanes import Lanes
from runner.engine.leaf import Assignment, LeafRun
from runner.engine.travel import Travel
from runner.engine.tried import LeafEnd
from runner.engine.workplace import Workplace, WorkspaceUnavailable
from runner.errors import Cancelled, LostClaim, RunnerError, StoreError, UsageError
from runner.model import StepResult
from runner.store import (
    REFUSED,
    FinishAttempt,
    LateEvidence,
    Published,
    PutArtifact,
    Release,
    Settle,
    StartAttempt,
    SubmitTasks,
)
from runner.workflows.items import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.engine.flow import Flow
    from runner.engine.held import Held
    from runner.engine.lanes import Keepers
    from runner.engine.tried import Tried
    from runner.engine.waits import Wait
    from runner.keeper import Keeper
    from runner.model import Artifact, Task
    from runner.progress import Progress
    from runner.workflows.items import Effect


@dataclass(frozen=True, slots=True)
class Ended:
    """How a claimed task ended for its worker: the task's new `status` ("" when the claim was lost)."""

    task: Task
    status: str
    outcome: str
    summary: str
    seconds: float


@dataclass(slots=True)
class Job:
    """An effect that is being run."""

    effect: Effect
    leaf: LeafRun | None
    assignment: Assignment
    n: int = 0


class Run:
    """Runs one claimed task; `changed` hears of every step whose state changes (in this thread)."""

    def __init__(
        self,
        held: Held,
        keeper: Keeper,
        keepers: Keepers,
        progress: Progress,
        changed: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.task: Task = held.task
        self._held = held
        self._keeper = keeper
        self._progress = progress
        self._changed = changed
        self._place: Workplace | None = None
        self._lanes: Lanes[Job, LeafEnd] = Lanes(keepers, self._leaf)
        self._pending: list[Any] = []
        """Ops of what has ended, for the next commit."""
        self._kept: list[Artifact] = []
        self._last: Tried | None = None
        self._waiting: list[tuple[Effect, Wait]] = []
        self._began = time.monotonic()
        self._here = 0
        """Steps that run on this machine."""

    def run(self) -> Ended:
        """Run to the end. StoreError passes (the worker decides); a lost claim is kept as late evidence."""
        try:
            return self._settle(self._work())
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
            text = _trouble(error)
            return self._settle_quietly(StepResult("needs_human", evidence={"error": text}), text)
        except RunnerError as error:
            return self._settle_quietly(StepResult("crashed", evidence={"error": str(error)}), str(error))
        except Exception as error:
            sentence = step.sentence(error)
            return self._settle_quietly(StepResult("crashed", evidence={"error": sentence}), sentence)
        finally:
            self._lanes.close()
            if self._place is not None:
                self._place.close()

    # The work

    def _work(self) -> Close:
        """Steps until none is left, or all that are left wait for a person."""
        held = self._held
        previous = held.app.store.queue.attempts(self.task.id) if self.task.attempt else []
        graph = graph_of(held, previous)
        self._place = Workplace.open(held.app, held.claim, graph.workplace, previous, graph.resume_from)
        graph.begin()
        try:
            return self._drive(graph)
        finally:
            graph.close()

    def _drive(self, graph: Lone | Flow) -> Close:
        held, machine = self._held, graph.machine
        ended: LeafEnd | None = None
        while True:
            if held.stop.pausing and not isinstance(graph, Lone) and not self._lanes.busy:
                held.stop.now("released")
                held.stop.check()
            self._look_at_the_clock(graph)
            jobs = self._next(graph)
            self._tell(graph)
            if machine.over:
                break
            if jobs or (self._pending and self._lanes.busy):
                self._start(jobs)
            if not jobs and not self._lanes.busy:
                break  # what is left waits
            for job, end in self._ends(jobs):
                if isinstance(end, BaseException):
                    self._abandon(end)
                else:
                    ended = end
                    self._take(graph, job, end)
        if isinstance(graph, Lone):
            assert ended is not None
            return close_lone(held, ended)
        if machine.stopping and not machine.over:
            machine.give_up()
            self._tell(graph)
        return close_run(held, graph, self._waiting, self._last)

    def _look_at_the_clock(self, graph: Lone | Flow) -> None:
        """What may take no longer, and gates whose time to be answered is over."""
        graph.expire()
        machine, now = graph.machine, time.time()
        self._waiting = [one for one in self._waiting if machine.awaits(one[0])]
        for effect, wait in [one for one in self._waiting if one[1].due(now)]:
            self._waiting.remove((effect, wait))
            machine.again(effect)

    def _until_due(self) -> float | None:
        """Seconds to the first deadline of a gate that waits; None when there is none."""
        due = [
            wait.deadline_at for _, wait in self._waiting if wait.deadline_at is not None and wait.default is not None
        ]
        return max(0.0, min(due) - time.time()) if due else None

    def _ends(self, jobs: list[Job]) -> list[tuple[Job, LeafEnd | BaseException]]:
        """Start what is to start → what has ended next. Who only waits for other machines needs no slot for that."""
        self._here += sum(not job.assignment.travels for job in jobs)
        waits = self._here == 0
        if waits:
            self._held.away()
        ends: list[tuple[Job, LeafEnd | BaseException]]
        try:
            if len(jobs) == 1 and not self._lanes.busy and self._until_due() is None:
                ends = [(jobs[0], self._leaf(jobs[0], self._keeper, self._progress))]
            else:
                for job in jobs:
                    self._lanes.start(job)
                ends = self._lanes.next(self._until_due())
        finally:
            if waits:
                self._held.back()
        self._here -= sum(not job.assignment.travels for job, _ in ends)
        return ends

    def _next(self, graph: Lone | Flow) -> list[Job]:
        """What starts now: as many as may run at once. What is known already is answered."""
        machine = graph.machine
        jobs: list[Job] = []
        later: list[Effect] = []
        if self._held.stop.pausing and not isinstance(graph, Lone):
            return jobs
        while self._lanes.busy + len(jobs) < graph.concurrency:
            effect = machine.take()
            if effect is None:
                break
            known = graph.answer(effect)
            if known is not None:
                machine.answer(effect, known)
                continue
            wait = graph.waits(effect)
            if wait is not None and wait.fails:
                machine.answer(effect, Result(wait.outcome, "", {"summary": wait.question}))
                continue
            if wait is not None:
                if wait.question and graph.account is not None:
                    graph.account.asks(effect, wait.question)
                machine.wait(effect)
                if wait.question:
                    self._waiting.append((effect, wait))
                else:
                    later.append(effect)
                continue
            given = graph.assignment(effect)
            if isinstance(given, Result):
                machine.answer(effect, given)
                continue
            jobs.append(Job(effect, None, given))
        for effect in later:
            machine.again(effect)
        return jobs

    def _start(self, jobs: list[Job]) -> None:
        """Write the attempts down, in one commit with what has ended before."""
        assert self._place is not None
        held = self._held
        home = held.machine if self._place.stays else None
        starts = [
            StartAttempt(
                fence=held.claim,
                step=job.assignment.step.id,
                agent=job.assignment.step.payload.get("agent") or job.assignment.task.agent,
                repair=False,
                home=home,
            )
            for job in jobs
        ]
        results = held.commit([*self._pending, *starts])
        for job, n in zip(jobs, results[len(self._pending) :], strict=True):
            job.n = int(n)
        self._pending = []

    def _leaf(self, job: Job, keeper: Keeper, progress: Progress) -> LeafEnd:
        """Run a step; in a workflow what it can't do is its own failure, and no other's."""
        assert self._place is not None
        if job.assignment.isolated:
            return self._apart(job, keeper, progress)
        return self._in_place(job, LeafRun(self._held, self._place, keeper, progress, job.assignment, job.n))

    def _apart(self, job: Job, keeper: Keeper, progress: Progress) -> LeafEnd:
        """Run a step in a worktree of its own; what it did is merged into the run's when its checks are green."""
        main, given = self._place, job.assignment
        assert main is not None
        try:
            place = main.apart(self._held.claim, given.step.id, lost=bool(given.previous))
        except RunnerError as error:
            job.leaf = LeafRun(self._held, main, keeper, progress, given, job.n)
            return _crashed(job, str(error))
        try:
            return self._in_place(job, LeafRun(self._held, place, keeper, progress, given, job.n, main))
        finally:
            place.close()

    def _in_place(self, job: Job, leaf: LeafRun) -> LeafEnd:
        job.leaf = leaf
        if job.assignment.lone:
            try:
                return leaf.run()
            finally:
                self._last, self._kept = leaf.tried, leaf.kept
        try:
            if job.assignment.travels:
                assert self._place is not None
                return Travel(self._held, self._place, self._progress, leaf).run()
            return leaf.run()
        except (Cancelled, LostClaim, StoreError):
            raise
        except OSError as error:
            return _crashed(job, _trouble(error))
        except RunnerError as error:
            return _crashed(job, str(error))
        except Exception as error:
            return _crashed(job, step.sentence(error))

    def _take(self, graph: Lone | Flow, job: Job, end: LeafEnd) -> None:
        """A step has ended: the machine is told, its attempt closed with the next commit."""
        self._last = end.tried
        if isinstance(graph, Lone):
            graph.machine.answer(job.effect, graph.result(job.effect, end, {}))
            return
        held = self._held
        end.tolerated = not graph.machine.counts(graph.machine.item(job.effect))
        body = {
            **end.tried.to_json(held.redaction, held.machine),
            **(job.assignment.data or {}),
            **graph.kept(job.effect, end),
        }
        result = graph.result(job.effect, end, body)
        graph.expire()
        fence = held.claim
        self._pending += [PutArtifact(fence=fence, artifact=one) for one in end.kept]
        self._pending.append(
            FinishAttempt(fence=fence, step=job.assignment.step.id, n=end.tried.n, outcome=end.outcome, result=body)
        )
        if end.waits:
            wait = end.wait()
            graph.account.asks(job.effect, wait.question)
            graph.machine.wait(job.effect)
            self._waiting.append((job.effect, wait))
        else:
            graph.machine.answer(job.effect, result)

    def _tell(self, graph: Lone | Flow) -> None:
        """Whoever watches hears of the steps that changed."""
        changed, graph.machine.changed = graph.machine.changed, []
        if graph.account is None:
            return
        for item in dict.fromkeys(changed):
            told = graph.account.saw(item)
            if self._changed is not None:
                self._changed(dict(told))

    def _abandon(self, error: BaseException) -> None:
        """A lane ended with what ends the run: the others end too, then it is raised."""
        if not self._held.stop.event.is_set():
            self._held.stop.now("lost_claim", kill=True)
        while self._lanes.busy:
            self._lanes.next()
        raise error

    # The end

    def _settle(self, close: Close) -> Ended:
        """Snapshot, artifacts, and one fenced commit of everything; then the branch."""
        place, held = self._place, self._held
        assert place is not None
        self._progress.enter("storing")
        if close.tried is not None:
            close.result.update(place.snapshot(close.tried.n, self._no_snapshot))
        publish = place.publication()
        close.result.update(place.summary())
        ops: list[Any] = [*self._pending, *(PutArtifact(fence=held.claim, artifact=one) for one in close.kept)]
        settle = Settle(
            fence=held.claim,
            outcome=close.outcome,
            result=close.result,
            question=close.question,
            retry_at=close.retry_at,
            account=close.account,
            repairable=close.repairable,
            publish=publish,
            home=held.machine if place.stays else None,
        )
        if close.after:
            ops.append(SubmitTasks(tasks=close.after))
        status = held.commit([*ops, settle])[-1]
        moved = place.move_branch()
        if moved is not None:
            held.desk.post([Published(task=self.task.id, epoch=held.claim.epoch, error=moved)])
        return self._ended(str(status), close.outcome, str(close.result["summary"]))

    def _settle_quietly(self, result: StepResult, summary: str) -> Ended:
        """Settle what ended outside the usual path (cancelled, a workspace that can't be made)."""
        held = self._held
        kept: dict[str, Any] = {}
        if self._place is not None and self._last is not None:
            kept = self._place.snapshot(self._last.n, self._no_snapshot)
        body = {"summary": summary, **dict(result.evidence), **kept}
        question = summary if result.outcome == "needs_human" else None
        settle = Settle(fence=held.claim, outcome=result.outcome, result=body, question=question)
        answer = held.desk.commit([*self._pending, settle])[-1]
        if answer == REFUSED:
            return self._let_go()
        return self._ended(str(answer), result.outcome, summary)

    def _let_go(self) -> Ended:
        """Hand the claim back where it is still ours (a second signal, the store was away).

        Where it is not, what was seen is kept as late evidence: with the attempt of then, never with the task.
        """
        held = self._held
        reason = held.stop.reason or "lost_claim"
        ops: list[Any] = [*self._pending, Release(fence=held.claim, reason=reason)]
        if self._last is not None:
            ops.insert(0, LateEvidence(task=self.task.id, epoch=held.claim.epoch, data=self._late(reason)))
        status = held.desk.commit(ops)[-1]
        if status == REFUSED:
            return self._ended("", "lost_claim", "the claim was lost; what was done is kept as late evidence")
        why = "the worker was told to end" if reason == "released" else "the store was out of reach for too long"
        return self._ended(str(status), "lost_claim", f"handed back to the queue: {why}")

    def _late(self, reason: str) -> dict[str, Any]:
        tried = self._last
        assert tried is not None
        data: dict[str, Any] = {"attempt": tried.n, "reason": reason, "outcome": tried.result.outcome}
        if self._place is not None:
            data.update(self._place.snapshot(tried.n, self._no_snapshot))
        data["folder"] = str(tried.context.folder)
        return data

    def _no_snapshot(self, reason: str) -> None:
        """Work that a crash would lose from now on: people must be able to see that."""
        if self._last is not None:
            self._last.context.log(f"snapshot: {reason}")
        self._held.say("snapshot.failed", reason=reason)

    def _ended(self, status: str, outcome: str, summary: str) -> Ended:
        return Ended(self.task, status, outcome, summary, time.monotonic() - self._began)


def _crashed(job: Job, sentence: str) -> LeafEnd:
    """The end of a step that could not be run as it is."""
    leaf = job.leaf
    assert leaf is not None
    result = StepResult("crashed", evidence={"error": sentence})
    tried = leaf.tried or leaf.told(result)
    tried.outcome, tried.result = "crashed", result
    return LeafEnd(tried, kept=leaf.kept, usages=leaf.usages)


def _trouble(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"this machine can't run it: {error.strerror or error}{where}"
