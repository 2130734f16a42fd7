"""One step from its first attempt to its last: run, judge, repair, try again; the same for a lone task and in a run.

attempt written down ─▶ run_step ─▶ commit what was left ─▶ expects, seal, checks ─▶ ok
          ▲                                                                │
          ├──── repair: an agent, with the evidence ◀── red ───────────────┤
          └──── retry: crashed, timeout, stalled, no_op ◀──────────────────┘
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner import artifacts
from runner.engine import completion, evidence, folders, prints, step, verify
from runner.engine.budget import Spending, usage_of
from runner.engine.context import TaskContext
from runner.engine.guard import Guard
from runner.engine.plan import contract_env
from runner.engine.sealing import Sealing
from runner.engine.travel import changes_of
from runner.engine.tried import PARKS, LeafEnd, Tried
from runner.errors import CheckHeld, RunnerError, UsageError
from runner.model import Repair, StepResult, Verdict
from runner.store import FinishAttempt, StartAttempt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.engine.held import Held
    from runner.engine.workplace import Mark, Workplace
    from runner.keeper import Keeper
    from runner.model import Artifact, Attempt, Expects, Step, Task, Usage
    from runner.progress import Progress

RETRIED: Final = frozenset(("crashed", "timeout", "stalled", "no_op"))
"""What is worth another try; a red check is repaired, never tried again."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A step to be run in a run: what `Leaf` says of it, and what the run knows besides.

    `previous` are its earlier attempts, `repaired` the repairs of them that count, `tried` the retries.
    A retry comes after `delay` seconds, on the tree as the step found it (`clean`), or in the session of the
    one before (`resume`). `deadline` is the run's own end as `time.monotonic()`, `task` the task as the step
    sees it. `about` is what plugins see of the run, `data` what the journal keeps with every attempt,
    `repairer` what the payload of the policy's repairing agent begins with (its model, its permission).
    `verify_first`: an attempt that nobody knows the end of is judged by the checks before another one is made;
    `decided`: a person's word, instead of an attempt; `isolated`: in a worktree of its own, merged at its end;
    `travels`: as a task for another `machine`, whose changes come back when it `returns` them; `rejoin`: the number
    of the attempt whose task may still run; `touches`: only what changes there is its work; `beside`: what those
    edit that run at the same time; `budget`: what all attempts may spend.
    `lone`: the task is this step alone, and the queue retries it.
    """

    step: Step
    task: Task
    previous: tuple[Attempt, ...] = ()
    repaired: int = 0
    tried: int = 0
    retries: int = 0
    delay: float = 0.0
    resume: bool = False
    clean: bool = False
    deadline: float | None = None
    workdir: str | None = None
    env: Mapping[str, str] | None = None
    lone: bool = False
    about: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    repairer: Mapping[str, Any] | None = None
    verify_first: bool = False
    decided: StepResult | None = None
    isolated: bool = False
    travels: bool = False
    machine: str | None = None
    returns: bool = False
    rejoin: int | None = None
    touches: tuple[str, ...] = ()
    beside: Sequence[str] = ()
    budget: Mapping[str, Any] | None = None


class LeafRun:
    """Runs one assignment with one keeper, in whatever thread calls `run`."""

    def __init__(
        self,
        held: Held,
        place: Workplace,
        keeper: Keeper,
        progress: Progress,
        assignment: Assignment,
        n: int,
        into: Workplace | None = None,
    ) -> None:
        """`place` is where the step works; `into` the run's own, when that is another one."""
        self.assignment = assignment
        self.tried: Tried | None = None
        self._held = held
        self._app = held.app
        self._place = place
        self._keeper = keeper
        self._progress = progress
        self._into = into
        self._n = n
        self._number = max((row.number for row in assignment.previous), default=0)
        """Of this step's attempts, the last; `n` counts those of the whole task."""
        self._sealing: Sealing | None = None
        self._mark: Mark | None = None
        self.kept: list[Artifact] = []
        self.usages: list[Usage | None] = []
        """What each attempt cost that was made here."""

    @property
    def path(self) -> str:
        """The step's path in its run."""
        return self.assignment.step.id

    def run(self) -> LeafEnd:
        """To the last attempt. Cancelled, LostClaim and StoreError pass; what a workspace can't do, too."""
        given, node = self.assignment, self.assignment.step
        seen = any("git" in check.type or "diff" in check.type for check in node.checks)
        if given.clean or seen or self._expects(node) == "changes":
            self._mark = self._place.mark(
                self._file("mark", ".json"),
                fresh=not given.previous,
                lone=given.lone,
                attempt=self._n,
                snapshot=given.clean,
                tree=seen,
            )
        sealing = self._sealing = Sealing(
            node, self._place.root, self._cwd, self._file("seal", ".json"), given.previous, given.beside
        )
        todo, repairs, last, tries = node, 0, None, given.tried
        previous = list(given.previous)
        if given.decided is not None:
            return self._ended(self.told(given.decided))
        # An exit code that nobody saw can't be asked for.
        seen_checks = [check for check in node.checks if check.type != "exit_code"]
        if given.verify_first and seen_checks:
            last = self.told(StepResult())
            last.outcome = self._judge(replace(node, checks=tuple(seen_checks)), last, looked=True)
            if last.outcome == "ok":
                return self._ended(last)
        while True:
            tried = self._attempt(todo, previous, last, repairs)
            outcome = tried.outcome = self._judge(node, tried)
            if self._goes_on(node, outcome, tries, repairs) and self._over_budget(tried):
                return self._ended(tried)
            if outcome in RETRIED and tries < given.retries:
                self._rest()
                if self._held.stop.pausing and not given.lone:
                    return LeafEnd(tried, paused=True, kept=self.kept, usages=self.usages)
                tries += 1
                last, previous = tried, [*previous, *self._now(tried)]
                todo = self._once_more(node, tried)
                continue
            if outcome != "check_failed" or tried.given_up:
                return self._ended(tried)
            decision = self._repair(node, tried, given.repaired + repairs)
            if decision.action not in ("agent", "rerun"):
                held = decision.action != "fail" and (given.lone or self._repairable(node, tried))
                if held or given.lone:
                    self._block(node, tried)
                return self._ended(tried, held=held)
            previous = [*previous, *self._now(tried)]
            repairs, last = repairs + 1, tried
            sealing.for_repair()
            todo = self._repairing(node, decision.step or node)
            if todo.type != node.type:
                # Somebody else mends what this step found wrong; then the step itself runs again.
                gate = sealing.of_program(tried)
                mended = self._mend(todo, previous, last, repairs)
                if mended.outcome in PARKS:
                    return self._ended(mended)
                edited = sealing.edited(gate)
                if edited is not None:
                    self._told_red(mended, edited)
                    self._block(node, mended)
                    return self._ended(mended, held=True)
                previous = [*previous, *self._now(mended)]
                last, todo = mended, node

    def told(self, result: StepResult) -> Tried:
        """An attempt in which nothing runs: what came of it is known, or is to be found out."""
        self._number += 1
        context = self._context(self.assignment.step, self.assignment.previous, self._place.cwd)
        self.tried = Tried(self._n, context, result, outcome=result.outcome)
        return self.tried

    def _goes_on(self, node: Step, outcome: str, tries: int, repairs: int) -> bool:
        """Whether an agent would have to work once more."""
        given = self.assignment
        if outcome == "check_failed":
            return given.repaired + repairs < node.policy.repairs
        return outcome in RETRIED and node.type == "agent_run" and (given.lone or tries < given.retries)

    def _over_budget(self, tried: Tried) -> bool:
        """Whether the step may spend no more: then a person is asked instead of another attempt."""
        given = self.assignment
        before = [usage_of(row.result) for row in given.previous] if given.lone else []
        over = Spending(given.budget, [*before, *self.usages]).over()
        if over:
            tried.outcome = "budget"
            tried.result = replace(
                tried.result, evidence={**tried.result.evidence, "error": f"its budget is spent ({over})"}
            )
        return bool(over)

    def _ended(self, tried: Tried, *, held: bool = False) -> LeafEnd:
        """The end of the step: what it declares to keep is stored."""
        self._progress.enter("storing")
        kept = artifacts.collect(self.assignment.step.policy.artifacts, self._cwd)
        for file in kept.files:
            self.upload(tried, file.path, file.name)
        for sentence in kept.refused:
            tried.context.log(sentence)
        if self.assignment.lone and self.assignment.task.spec.get("returns") == "changes":
            sent = changes_of(self._place, tried.context.folder)
            if sent is not None:
                self.upload(tried, *sent)
        return LeafEnd(tried, held, kept=self.kept, usages=self.usages)

    def _rest(self) -> None:
        """The pause before another try."""
        self._held.stop.wait(self.assignment.delay)
        self._held.stop.check()

    def _once_more(self, node: Step, tried: Tried) -> Step:
        """The step for another try: in the old session, or on a clean tree, where that is wanted."""
        given = self.assignment
        if given.clean and self._mark is not None and self._mark.snapshot is not None:
            self._place.rewind(self._mark.snapshot)
        if given.resume and tried.result.session:
            return replace(node, payload={**node.payload, "session": tried.result.session})
        # What went wrong may be in the session's own words: the retry's prompt tells it to a new one.
        own = {name: value for name, value in node.payload.items() if name not in ("session", "_session_before")}
        return replace(node, payload=own) if len(own) < len(node.payload) else node

    def _repairable(self, node: Step, tried: Tried) -> bool:
        """Whether anything might have repaired it, so that a person is asked: an edited gate, or repairs used up."""
        return node.policy.repairs > 0 or any(verdict.evidence.get("sealed") for verdict in tried.red)

    def _repairing(self, node: Step, given: Step) -> Step:
        """The step that repairs, with what the run says of its agent."""
        todo = replace(given, policy=node.policy, key=node.key, checks=node.checks)
        repairer = self.assignment.repairer
        if repairer and todo.payload.get("agent") == node.policy.repair_agent:
            todo = replace(todo, payload={**repairer, **todo.payload})
        return todo

    def _file(self, kind: str, suffix: str) -> Path:
        """A file of the run's folder that is about this step."""
        name = self.path.replace("/", "%2f") + suffix
        return self._app.project.state / "runs" / self._held.task.id / f"{kind}s" / name

    def _told_red(self, mended: Tried, verdict: Verdict) -> None:
        """Who mended edited the gate: the verdict is what came of the attempt."""
        mended.outcome, mended.verdicts = "check_failed", [verdict]
        folders.write_json(mended.context.folder / "verdicts.json", verify.as_json(mended.verdicts))

    # Attempts

    def _mend(self, todo: Step, previous: Sequence[Attempt], last: Tried, repairs: int) -> Tried:
        """An attempt of another type within this step: what it leaves is committed, its own end decides nothing.

        Only that its agent can't be used now does: then the task waits for that, and nothing is spent.
        """
        tried = self._attempt(todo, previous, last, repairs)
        tried.outcome = tried.result.outcome
        if tried.outcome == "ok":
            self._place.commit_leftovers(self._message(f"repair {repairs}"))
        return tried

    def _message(self, what: str) -> str:
        task = self._held.task
        where = "" if self.assignment.lone else f"{self.path}, "
        return f"{task.type}: task {task.id}, {where}{what}"

    def _attempt(self, todo: Step, previous: Sequence[Attempt], last: Tried | None, repairs: int) -> Tried:
        """Write the attempt down, then run it."""
        agent = todo.payload.get("agent") or self.assignment.task.agent
        n = self._n if last is None else self._start(agent, last, repairs)
        self._number += 1
        context = self._context(todo, previous)
        tried = self.tried = Tried(n, context, StepResult("lost_claim"), account=self._account(agent))
        tried.seal = self._sealing.digest if self._sealing is not None else None
        step_path = "" if self.assignment.lone else self.path
        self._progress.attempt(self._number, repair=repairs > 0, step=step_path)
        self._place.begin(n, self.no_snapshot)
        try:
            with prints.into(context.log), Guard(context, self._held.stop):
                tried.result = step.run(self._app, todo, context)
        finally:
            tried.kept.update(self._place.end(n, self.no_snapshot))
        self.usages.append(tried.result.usage)
        self._progress.spent(tried.result.usage)
        self._held.stop.check()
        return tried

    def _start(self, agent: str | None, last: Tried, repairs: int) -> int:
        """The next attempt; the one before ends in the same commit."""
        claim = self._held.claim
        finish = FinishAttempt(fence=claim, step=self.path, n=last.n, outcome=last.outcome, result=self.journal(last))
        home = self._held.machine if self._place.stays else None
        start = StartAttempt(fence=claim, step=self.path, agent=agent, repair=repairs > 0, home=home)
        return int(self._held.commit([finish, start])[-1])

    def journal(self, tried: Tried) -> dict[str, Any]:
        """What is kept of an attempt."""
        return {**tried.to_json(self._held.redaction, self._held.machine), **(self.assignment.data or {})}

    def _context(self, todo: Step, previous: Sequence[Attempt], cwd: Path | None = None) -> TaskContext:
        held, given = self._held, self.assignment
        timeout = todo.policy.timeout
        if given.deadline is not None:
            left = max(0.01, given.deadline - time.monotonic())
            timeout = left if timeout is None else min(timeout, left)
        env = {**held.env, **contract_env(self._app, held.claim, self._number, todo, held.machine), **(given.env or {})}
        return TaskContext(
            app=self._app,
            desk=held.desk,
            keeper=self._keeper,
            redaction=held.redaction,
            stop=held.stop,
            claim=held.claim,
            task=given.task,
            step=self.path,
            workspace=cwd or self._cwd,
            folder=folders.attempt_folder(self._app.project.state, held.task.id, self.path, self._number),
            env=env,
            attempt=self._number,
            previous=previous,
            base=self._place.base if given.lone or self._mark is None else self._mark.tree or self._mark.head or None,
            timeout=timeout,
            silence=todo.policy.silence,
            progress=self._progress,
            workflow=given.about,
        )

    @property
    def _cwd(self) -> Path:
        """Where the step works."""
        workdir = self.assignment.workdir
        if workdir is None:
            return self._place.cwd
        path = self._place.cwd / Path(workdir).expanduser()
        if not path.is_dir():
            raise UsageError(f"step '{self.path}': its workdir {path} is not a directory", "make it in a step before")
        return path

    def _account(self, agent: str | None) -> str | None:
        """Whose limits an attempt runs into, when its agent is not the task's own."""
        known = self._app.agents.get(agent) if agent and agent != self._held.task.agent else None
        return None if known is None else known.account or known.name

    # The verdict

    def _expects(self, node: Step) -> Expects:
        reads_only = node.payload.get("permission") == "read-only"
        return evidence.default_expects(
            self._app.types[node.type],
            node.policy,
            permission="read-only" if reads_only else None,
            in_repository=self._place.in_repository,
        )

    def _judge(self, node: Step, tried: Tried, *, looked: bool = False) -> str:
        """The outcome: `expects` first, then the seal and the checks; the agent's word is not asked.

        `looked`: nothing was run just now, so that `expects` can't be asked.
        """
        place, result = self._place, tried.result
        if result.outcome != "ok":
            return result.outcome
        self._progress.enter("checking")
        place.commit_leftovers(self._message(f"attempt {tried.context.attempt}"))
        found = artifacts.collect(node.policy.artifacts, self._cwd)
        expects = self._expects(node)
        changed = expects == "changes" and self._mark is not None and place.changed(self._mark, self.assignment.touches)
        if not looked and not evidence.met(
            expects,
            changed=changed,
            artifacts=len(found.files),
            output=result.output,
            submitted=False,
        ):
            if expects == "changes" and self.assignment.touches:
                told = f"nothing that it touches ({', '.join(self.assignment.touches)}) was changed"
                tried.result = replace(result, evidence={"error": told, **result.evidence})
            return evidence.unmet(result)
        tried.verdicts = self._sealing.verdicts() if self._sealing is not None else []
        if not tried.red:
            # Checks of an edited gate would only say what the editor wanted.
            tried.context.present = place.present() if self._mark is not None and self._mark.tree else None
            try:
                tried.verdicts += verify.verify(self._app, node.checks, node, result, tried.context)
            except CheckHeld as held:
                said = {**result.evidence, "error": held.message}
                tried.result = replace(result, outcome=held.outcome, evidence=said, retry_at=held.retry_at)
                tried.account = held.account
                return held.outcome
        tried.verdicts += [_missing(name) for name in found.missing if not _is_glob(name)]
        word = "ok" if tried.red or looked else completion.outcome(tried)
        if self._into is not None and word == "ok" and not tried.red:
            tried.verdicts.append(self._into.merge(place, self._message("merged")))
        # A shell step's exit code is in its result; of thousands of them nobody needs a file each.
        plain = not self.assignment.lone and [v.evidence.get("check") for v in tried.verdicts] == ["exit_code"]
        if tried.verdicts and (tried.red or not plain):
            folders.write_json(tried.context.folder / "verdicts.json", verify.as_json(tried.verdicts))
        if tried.red or word != "ok":
            return "check_failed" if tried.red else word
        if node.type == "agent_run":
            by = completion.completed_by(tried, self.path)
            tried.result = replace(result, evidence={**result.evidence, "completed_by": by})
        return "ok"

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
        path = tried.context.folder / f"BLOCKED-{node.id.replace('/', '-')}.md"
        folders.write_text(path, self._held.redaction.text(report))
        self.upload(tried, path, path.name)

    def _now(self, tried: Tried) -> list[Attempt]:
        """The attempt as the journal will have it: its end is written down with the beginning of the next one."""
        rows = self._app.store.queue.attempts(self._held.task.id)
        body = self.journal(tried)
        return [replace(row, outcome=tried.outcome, result=body) for row in rows if row.n == tried.n]

    def upload(self, tried: Tried, path: Path, name: str) -> None:
        """Store a file; the commit that ends the attempt writes it down."""
        try:
            self.kept.append(tried.context.upload(path, name))
        except RunnerError as error:
            tried.context.log(f"artifact {name}: {error}")
            raise

    def no_snapshot(self, reason: str) -> None:
        """Work that a crash would lose from now on: people must be able to see that (any thread)."""
        if self.tried is not None:
            self.tried.context.log(f"snapshot: {reason}")
        self._held.say("snapshot.failed", reason=reason)


def _is_glob(name: str) -> bool:
    return any(char in name for char in "*?[")


def _missing(name: str) -> Verdict:
    return Verdict(False, f"the declared artifact '{name}' is not there", {"check": "artifact", "value": name})
