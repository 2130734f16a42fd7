"""A task that is a workflow: its steps from the file, their results from the journal, their sessions, their budget."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.engine.account import Account
from runner.engine.budget import total, usage_of
from runner.engine.journal import Again, Decision, Journal, result_of
from runner.engine.leaf import Assignment
from runner.engine.limits import Limits
from runner.engine.plan import completed
from runner.engine.runfolder import RunFolder
from runner.engine.sessions import Sessions
from runner.engine.tried import OUTPUT
from runner.engine.unknown import Unknown
from runner.engine.waits import Wait
from runner.errors import UsageError
from runner.model import Check, Step, StepResult
from runner.offers import capabilities_of
from runner.templates import TemplateError, parse, render
from runner.templates.syntax import text_of, value_of
from runner.workflows.items import Result
from runner.workflows.leaves import Filling, Leaf, definition_digest, digest_of
from runner.workflows.machine import Machine
from runner.workflows.payload import library, values_of
from runner.workflows.select import only_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.engine.held import Held
    from runner.engine.tried import LeafEnd
    from runner.model import Attempt, Task, Usage
    from runner.templates import Scope
    from runner.workflows.items import Effect, Item
    from runner.workflows.load import Loaded


_HOW = ("new", "resume", "inherit")
"""What `session` can say besides a name."""


_OUTPUTS: Final = {"shell": "stdout.log", "script": "stdout.log", "agent": "output.txt"}
"""The file of an attempt's folder that holds a step's output."""


class Flow:
    """The steps of one claimed workflow."""

    def __init__(self, held: Held, previous: Sequence[Attempt]) -> None:
        self._held = held
        self.payload = held.task.payload
        cwd = Path(held.task.spec.get("cwd") or held.app.project.root)
        self.loaded: Loaded = library(held.app, cwd, self.payload.get("_files") or {}).load(self._name)
        self.values = values_of(self.loaded, self.payload.get("params") or {})
        flow = self.loaded.source.workflow
        self.concurrency = flow.max_concurrency
        base = held.task.spec.get("base")
        self.workplace = held.app.types[held.task.type].workplace if base else "cwd"
        self.journal = Journal(
            previous,
            [Again.from_json(one) for one in self.payload.get("_again", ())],
            {path: Decision(**one) for path, one in self.payload.get("_decisions", {}).items()},
        )
        self.resume_from = self._rewound(previous)
        self.sessions = Sessions(self.payload.get("_session"))
        budget = None if flow.budget is None else flow.budget.model_dump()
        used = float((held.task.result or {}).get("active_s") or 0.0)
        if flow.timeout is not None and used >= flow.timeout:
            raise UsageError(
                f"the time of the run is used up ({used:.0f} of {flow.timeout:g} s)",
                f"raise `timeout` in {self._name}, then: runner workflow resume {held.task.id}",
            )
        self.limits = Limits(budget, flow.timeout, used, previous, self.journal)
        self.unknown = Unknown(held, self.journal)
        self.warnings: list[str] = []
        self.account = Account()
        self.reasons: dict[str, str] = {}
        """Why what has no result that holds runs."""
        self._leaves: dict[str, Leaf] = {}
        self._asked: dict[str, float] = {}
        self._editing: dict[str, tuple[list[str], list[str]]] = {}
        """Of the steps that run now and say what they touch: that, and what others do beside them."""
        state = held.app.project.state
        self._builtins = {
            "run_dir": str(state / "runs" / held.task.id),
            "session_dir": str(state / "runs" / held.task.id),
            "project_dir": str(held.app.project.root),
        }
        root = only_until(self.loaded.root, self.payload.get("_until"))
        self.machine = Machine(
            root,
            self.values,
            fail_fast=flow.on_error.strategy == "fail-fast",
            builtins={"run_id": held.task.id, **self._builtins},
            warn=self._warn,
            more=self.payload.get("_rounds") or {},
        )

    @property
    def _name(self) -> str:
        return str(self.payload.get("_path") or self.payload["workflow"])

    def _rewound(self, previous: Sequence[Attempt]) -> str | None:
        """The commit to begin with: the last snapshot before what a person has rewound, else the run's base."""
        after = [again.after for again in self.journal.again if again.after is not None]
        newest = max((again.upto for again in self.journal.again if again.after is not None), default=0)
        if not after or any(row.n > newest for row in previous):
            return None  # something has run since: the tree is past that already
        kept = [row for row in previous if (row.result or {}).get("snapshot") and not self.journal.rewound_away(row)]
        kept = [row for row in kept if row.n <= after[-1]]
        base = self._held.task.spec.get("base") or {}
        return str((kept[-1].result or {})["snapshot"]) if kept else base.get("commit")

    def _warn(self, sentence: str) -> None:
        self.warnings.append(sentence)
        self._held.say("run.warning", text=sentence)

    def expire(self) -> None:
        """What has run for longer than it may has failed, whatever in it was tolerated."""
        for item, reason in self.limits.expired():
            self.machine.expire(item, reason)
        root = self.machine.root
        if self.limits.late and not root.expired:
            said = f"the run took longer than its time limit of {self.limits.timeout:g} s; raise `timeout`, then resume"
            self.machine.expire(root, said)

    # What is known

    def answer(self, effect: Effect) -> Result | None:
        """A result of before, a person's word, or what needs no process; None when the effect has to run or wait."""
        address = effect.address
        try:
            leaf = None if effect.kind == "expand" else self._leaf(effect)
            glob = render(effect.text, effect.scope) if effect.kind == "expand" else ""
        except TemplateError as error:
            return _failed(str(error))
        if effect.kind == "expand" and (listed := _list_of(effect)) is not None:
            return Result(values={"items": listed})
        digests = self._digests(effect, leaf, glob)
        seeded = self._seeded(address)
        if seeded is not None:
            return seeded
        known, why = self.journal.known(effect, digests, self.machine)
        if known is not None:
            self._keep(effect, known)
            return known
        self.account.begins(effect)
        self.reasons[address] = why
        if why == "unknown":
            self.unknown.note(effect)
        return None

    def _seeded(self, address: str) -> Result | None:
        """What another run came to, where this one begins in the middle."""
        given = (self.payload.get("_seed") or {}).get(address)
        if given is None or self.journal.attempts(address):
            return None
        return Result(given.get("outcome", "ok"), given.get("output", ""), dict(given.get("values") or {}))

    def _digests(self, effect: Effect, leaf: Leaf | None, glob: str) -> tuple[str, str]:
        if leaf is None:
            return definition_digest(effect), digest_of(["expand", glob, effect.workdir])
        definition = leaf.definition
        agent = self._held.app.agents.get(str(leaf.step.payload.get("agent")))
        if agent is None or leaf.step.type != "agent_run":
            return definition, leaf.digest
        return definition, digest_of([leaf.digest, {k: v for k, v in asdict(agent).items() if k != "reader"}])

    def _leaf(self, effect: Effect) -> Leaf:
        found = self._leaves.get(effect.address)
        if found is None:
            config = self._held.app.config
            found = self._leaves[effect.address] = Filling(
                effect,
                self._held.task.id,
                self._builtins,
                agent=config.defaults.agent,
                dependence=lambda: _agent_of_needs(self.machine.item(effect)),
            ).leaf()
        return found

    # What waits

    def waits(self, effect: Effect) -> Wait | None:
        """Why it can't run now; None when it can."""
        if effect.kind == "expand":
            return None
        leaf, address = self._leaf(effect), effect.address
        row = self.journal.unknown(address)
        if row is not None and self.journal.decision(address) is None and self.unknown.rule(effect) == "hold":
            said = f"step '{address}' was interrupted in attempt {row.n}, and nobody knows what it did"
            return Wait(said, held=True)
        if leaf.step.type == "agent_run" and self._decided(effect, self.journal.decision(address)) is None:
            item = self.machine.item(effect)
            over = self.limits.over(item, tolerated=not self.machine.counts(item))
            if over is not None:
                return over
            if leaf.session not in _HOW and not self.sessions.take(leaf.session, self._agent(leaf)):
                return Wait()
        return None

    # What runs

    def assignment(self, effect: Effect) -> Assignment | Result:
        """The step to be run; a Result when that needs no process or can't be."""
        if effect.kind == "expand":
            return self._expanding(effect)
        leaf = self._leaf(effect)
        item = self.machine.item(effect)
        if effect.node.definition.get("retry_from") == "clean" and self.workplace == "cwd":
            self._warn(
                f"{effect.address}: `retry_from: clean` has no effect in your own folder; run it with --worktree"
            )
        try:
            step = completed(self._held.app, self._with_engine(effect, self._with_session(effect, leaf, item)))
            if effect.node.kind == "task":  # its values are known only now
                self._held.app.registry.check_payload(step.type, leaf.step.payload)
            if step.type == "gate":
                step = replace(step, payload={**step.payload, "_asked": self._asked_at(effect.address)})
        except UsageError as error:
            return _failed(f"{effect.node.place}: {error}")
        except TemplateError as error:
            return _failed(str(error))
        decision = self.journal.decision(effect.address)
        retries, repairs = self.journal.spent(effect.address)
        again = decision is not None
        definition, digest = self._digests(effect, leaf, "")
        return Assignment(
            step=step,
            task=self._task(decision),
            previous=self.journal.counted(effect.address),
            repaired=0 if again else repairs,
            tried=0 if again else retries,
            retries=leaf.retries,
            delay=leaf.delay,
            resume=effect.node.definition.get("retry_session") == "resume",
            clean=effect.node.definition.get("retry_from") == "clean",
            deadline=self.limits.deadline_of(item),
            workdir=leaf.workdir,
            env={"RUNNER_STEP": effect.address, **leaf.env},
            about=self._about(effect),
            data={"digest": digest, "definition": definition},
            repairer=leaf.repairer,
            verify_first=self._verify_first(effect),
            decided=self._decided(effect, decision),
            budget=self.limits.left(item, effect.node.definition.get("budget")),
            isolated=effect.kind == "run" and effect.node.definition.get("writes") == "isolated",
            travels=self._travels(step.type, leaf.machine),
            machine=leaf.machine,
            returns=effect.node.definition.get("returns") == "changes",
            rejoin=self.unknown.rejoin(effect.address),
            touches=tuple(effect.node.definition.get("touches") or ()),
            beside=self._beside(effect),
        )

    def _expanding(self, effect: Effect) -> Assignment:
        pattern = render(effect.text, effect.scope)
        definition, digest = self._digests(effect, None, pattern)
        step = Step(effect.address, "expand", {"glob": pattern}, key=f"{self._held.task.id}/{effect.address}")
        data = {"digest": digest, "definition": definition}
        return Assignment(
            step=step, task=self._task(None), data=data, deadline=self.limits.deadline, workdir=effect.workdir or None
        )

    def _beside(self, effect: Effect) -> list[str]:
        """What the steps edit that run now, or begin while this one does: each says so by its `touches`."""
        mine = list(effect.node.definition.get("touches") or ())
        others = [glob for touched, _ in self._editing.values() for glob in touched]
        for _, beside in self._editing.values():
            beside += mine
        if mine:
            self._editing[effect.address] = (mine, others)
        return others

    def _asked_at(self, address: str) -> float:
        """Since when a gate has been waiting for this answer, in Unix time: its deadline counts from then."""
        return self._asked.setdefault(address, self.journal.asked_at(address) or time.time())

    def _verify_first(self, effect: Effect) -> bool:
        """Whether the checks are asked before anything runs: nobody knows what was done, or a person mended it."""
        if self.journal.unknown(effect.address) is not None:
            return self.unknown.rule(effect) == "verify"
        rows = self.journal.attempts(effect.address)
        return bool(rows) and bool((rows[-1].result or {}).get("held"))

    def _decided(self, effect: Effect, decision: Decision | None) -> StepResult | None:
        """What a person decided instead of another attempt: the work is accepted as it is, or given up."""
        if decision is None or decision.verdict not in ("done", "failed"):
            return None
        rows = self.journal.attempts(effect.address)
        body = (rows[-1].result or {}) if rows else {}
        output = str(body.get("whole", body.get("output") or ""))
        outcome = "ok" if decision.verdict == "done" else "check_failed"
        evidence = {"human": decision.verdict, "by": decision.by, "notes": decision.notes}
        return StepResult(outcome, output, evidence=evidence)

    def _travels(self, type: str, machine: str | None) -> bool:
        """Whether a step can't run here: it names another machine, or needs what this one does not offer."""
        app, here = self._held.app, self._held.machine
        settings = app.config.machines.get(here)
        if machine is not None:
            return machine not in (here, *(settings.aliases if settings else ()))
        needed = app.types[type].requires
        return bool(needed) and not set(needed) <= set(capabilities_of(app, here))

    def _with_session(self, effect: Effect, leaf: Leaf, item: Item) -> Step:
        if leaf.step.type != "agent_run":
            return leaf.step
        session, warning = None, ""
        if self.unknown.rule(effect) == "resume" and self.journal.unknown(effect.address) is not None:
            session = self.unknown.session(effect.address)
        if session is None:
            session, warning = self.sessions.find(item, leaf.session, self._agent(leaf))
        if warning:
            self._warn(warning)
        if session is None:
            return leaf.step
        going_on = {"session": session, "_session_before": dict(self.sessions.facts(session))}
        return replace(leaf.step, payload={**leaf.step.payload, **going_on})

    def _with_engine(self, effect: Effect, step: Step) -> Step:
        """The step with its engine's check, where it is an agent's and the engine brings one."""
        engine = effect.node.definition.get("engine")
        if step.type != "agent_run" or engine is None or engine["type"] not in self._held.app.checks:
            return step
        if any(check.type == engine["type"] for check in step.checks):
            return step
        return replace(step, checks=(*step.checks, Check(engine["type"])))

    def _agent(self, leaf: Leaf) -> str:
        return str(leaf.step.payload.get("agent") or self._held.app.config.defaults.agent)

    def _task(self, decision: Decision | None) -> Task:
        """The task as the step sees it: a person's answer is for the step that asked."""
        answer = decision.answer if decision is not None else None
        asked = self._held.task.question if answer is not None else None
        return replace(self._held.task, question=asked, answer=answer, agent=None)

    def _about(self, effect: Effect) -> Mapping[str, Any]:
        """What plugins see of the workflow that a step stands in."""
        engine = effect.node.definition.get("engine")
        names = [name for name in effect.scope.known() if name not in ("steps", *self.machine.builtins)]
        params = {name: value for name in names if (value := _text(effect.scope, name)) is not None}
        return {"name": self.loaded.source.workflow.name, "engine": engine, "params": params}

    # What came of it

    def kept(self, effect: Effect, end: LeafEnd) -> dict[str, Any]:
        """What the journal needs besides to give the same result again."""
        result = end.tried.result
        values: dict[str, Any] = {"exit_code": result.exit_code}
        for name in ("output_path", "stderr", "captured", "items", "answer"):
            if result.evidence.get(name) is not None:
                values["path" if name == "output_path" else name] = result.evidence[name]
        file = _OUTPUTS.get(effect.node.kind)
        if file is not None and "path" not in values and (end.tried.context.folder / file).exists():
            values["path"] = str(end.tried.context.folder / file)
        if result.session is not None:
            values |= {"session": result.session, "agent": self._leaf(effect).step.payload.get("agent")}
        body: dict[str, Any] = {"final": not end.waits, "values": values}
        if end.held and end.waits:
            body["held"] = True
        if len(result.output) > OUTPUT:
            body["whole"] = self._held.redaction.text(result.output)
        if end.outcome != "ok" or result.evidence.get("human"):
            values["summary"] = end.tried.summary()
        return body

    def result(self, effect: Effect, end: LeafEnd, body: Mapping[str, Any]) -> Result:
        """What the machine is told."""
        made = result_of(effect.address, end.tried.n, end.outcome, body)
        self._editing.pop(effect.address, None)
        spent = total([*self._usages_before(effect), *end.usages])
        self.account.came_to(effect, body, end.tried.context.attempt, spent)
        leaf = self._leaves.pop(effect.address, None)
        if leaf is not None and leaf.step.type == "agent_run":
            self.sessions.give(leaf.session, self._agent(leaf))
            self.sessions.learn(body)
            self._name_session(leaf, made)
        self.limits.add(self.machine.item(effect), end.usages)
        return made

    def _usages_before(self, effect: Effect) -> list[Usage | None]:
        """What the attempts of a step cost that the journal has of before."""
        return [usage_of(row.result) for row in self.journal.attempts(effect.address)]

    def _name_session(self, leaf: Leaf, result: Result) -> None:
        session = result.values.get("session")
        if session and leaf.session not in _HOW:
            self.sessions.known(leaf.session, self._agent(leaf), str(session))

    def _keep(self, effect: Effect, known: Result) -> None:
        """A result of before that holds: it is told like one of now."""
        row = self.journal.attempts(effect.address)[-1]
        took = (row.ended_at or row.started_at) - row.started_at
        self.account.came_to(effect, row.result or {}, row.number, total(self._usages_before(effect)), kept=took)
        leaf = self._leaves.pop(effect.address, None)
        if leaf is not None and leaf.step.type == "agent_run":
            self.sessions.learn(row.result or {})
            self._name_session(leaf, known)

    def begin(self) -> None:
        """The run really goes on now: it gets its folder."""
        folder = self._held.app.project.state / "runs" / self._held.task.id
        self.account.folder = RunFolder(folder, self.loaded, self._held.redaction)

    def close(self) -> None:
        """Nothing more happens in this execution."""
        if self.account.folder is not None:
            self.account.folder.close()
            self.account.folder = None


def _failed(sentence: str) -> Result:
    return Result("crashed", "", {"summary": sentence})


def _list_of(effect: Effect) -> list[Any] | None:
    """The items of a loop over one value that is a list; None when it is over a glob."""
    parts = [part for part in parse(effect.text) if part != ""]
    if len(parts) != 1 or isinstance(parts[0], str):
        return None
    value = value_of(parts[0], effect.scope)
    return [one if isinstance(one, str) else text_of(one) for one in value] if isinstance(value, list | tuple) else None


def _agent_of_needs(item: Item) -> str | None:
    """The agent of the nearest agent step that the item needs."""
    items, seen = item.frame.items, set[str]()
    level = item.node.needs
    while level:
        for need in level:
            one = items[need].node
            if one.kind == "agent":
                return str(one.definition.get("cli") or one.definition.get("agent") or "") or None
        seen.update(level)
        level = tuple(dict.fromkeys(n for need in level for n in items[need].node.needs if n not in seen))
    return None


def _text(scope: Scope, name: str) -> str | None:
    """The value of a name where it is a text; None for what is none, or too large for one."""
    try:
        value = scope[name]
    except TemplateError:
        return None
    return value if isinstance(value, str) else None
