"""Submit: turn what a person asks for into tasks of the queue (type, payload, route, checks, policy, base)."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.advice import without_agent, without_commit
from runner.errors import NotFound, RunnerError, UsageError, suggestion
from runner.ids import new_id
from runner.live import is_live
from runner.model import Fleet, Machine, NewTask, Route, TypeSpec
from runner.store import SubmitTasks, TaskFilter
from runner.tasknames import find_task
from runner.taskrequest import located, storable
from runner.taskspec import CheckReader, default_checks, policy_for, policy_json
from runner.who import submitter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.app import App
    from runner.model import JSON
    from runner.store import Submitted
    from runner.taskrequest import TaskRequest
    from runner.workspace import Base

PROMPT_TYPE: Final = "agent_run"
"""The type of a task that is given as nothing but a prompt."""

NO_AGENT: Final = "-"
"""`--agent -`: a task that needs no agent, said aloud."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task that is ready to be stored, and why it goes where it goes (a route's reason, may be empty).

    `notes` are sentences on what its submitter may not expect.
    """

    task: NewTask
    reason: str = ""
    name: str | None = None
    notes: tuple[str, ...] = ()


class Submission:
    """Prepares and submits tasks for one project; what is asked once for many tasks is kept.

    `cwd` is what a relative folder of a request is relative to; `by` who submits.
    """

    def __init__(self, app: App, cwd: Path, by: str | None = None) -> None:
        self.app = app
        self.cwd = cwd
        self.by = submitter() if by is None else by
        self._fleet: Fleet | None = None
        self._bases: dict[str, Base | None] = {}
        self._unborn: dict[str, str | None] = {}
        self._absent: dict[tuple[str | None, str | None], str | None] = {}
        self._checks = CheckReader(app.checks)
        self._found: dict[str, str] = {}

    def prepare(self, requests: Sequence[TaskRequest], seen: Callable[[int], None] | None = None) -> list[Prepared]:
        """Check every request and make its task; parents come before their children.

        `seen` is told how many are checked. Raises UsageError that starts with the request's place.
        Nothing is written.
        """
        ids = self._ids(requests)
        prepared: list[Prepared] = []
        for request, id in zip(requests, ids.of, strict=True):
            prepared.append(self._prepare(request, id, ids))
            if seen is not None:
                seen(len(prepared))
        return _parents_first(prepared, requests)

    def submit(self, prepared: Sequence[Prepared]) -> list[Submitted]:
        """Store the tasks, all or none → what became of each, in order."""
        results = self.app.store.commit([SubmitTasks(tasks=tuple(one.task for one in prepared))], request_id=new_id(16))
        submitted: list[Submitted] = results[0]
        return submitted

    # -- one request ------------------------------------------------------------------------------------------

    def _prepare(self, request: TaskRequest, id: str, ids: _Ids) -> Prepared:
        where = request.where
        named = request.type or (PROMPT_TYPE if request.prompt is not None else None)
        if named is None:
            raise located(where, "nothing to do is named", "give a PROMPT, or --type and --payload")
        payload, machine = self._payload(request)
        agent = self._named_agent(request, payload)
        spec = self._spec(named, where)
        if request.work_unit is not None:
            self._check_unit(request.work_unit, where)
        draft = NewTask(
            id=id,
            type=named,
            payload=payload,
            project=self.app.project_id,
            unit=request.work_unit,
            agent=agent,
            machine=machine,
            requires=self._requires(spec, named),
            priority=self._priority(request, named),
            key=request.key,
            key_forever=request.key_forever,
            after=tuple(self._parent(word, ids, where) for word in request.after),
            not_before=request.not_before,
            planning=request.hold,
            by=self.by,
        )
        route = self._route(draft, where)
        type = request.type or route.type or named
        if type != named:
            spec = self._spec(type, where)
            draft = replace(draft, requires=self._requires(spec, type), priority=self._priority(request, type))
        self._check_payload(type, payload, where)
        draft = replace(draft, type=type, machine=machine or route.machine, agent=agent or route.agent)
        task = self._finish(draft, request, spec)
        return Prepared(task, route.reason, request.name, self._notes(task, spec))

    def _payload(self, request: TaskRequest) -> tuple[JSON, str | None]:
        """The payload with the request's own fields in it, and the machine it names."""
        payload = dict(request.payload)
        for name in ("prompt", "model"):
            value = getattr(request, name)
            if value is not None:
                if payload.get(name, value) != value:
                    raise located(request.where, f"the payload has another '{name}'", "give it once")
                payload[name] = value
        machine = payload.pop("_target_machine", None)
        if machine is not None and (not isinstance(machine, str) or not machine):
            raise located(request.where, "payload: _target_machine must be a machine's name")
        if request.machine and machine and machine != request.machine:
            raise located(request.where, f"the payload names machine '{machine}', the task '{request.machine}'")
        reason = storable(payload)
        if reason:
            raise located(request.where, f"payload: {reason}")
        return payload, request.machine or machine

    def _named_agent(self, request: TaskRequest, payload: Mapping[str, Any]) -> str | None:
        """The agent that the submitter named, in the request or in the payload."""
        inside = payload.get("agent")
        agent = request.agent or (inside if isinstance(inside, str) else None)
        if request.agent and isinstance(inside, str) and inside != request.agent:
            raise located(request.where, f"the payload names agent '{inside}', the task '{request.agent}'")
        if agent is None or agent == NO_AGENT:
            return agent
        if agent not in self.app.agents and not self._offered(agent):
            raise located(request.where, f"no agent is called '{agent}'", suggestion(agent, self.app.agents))
        return agent

    def _offered(self, agent: str) -> bool:
        return any(f"agent:{agent}" in worker.capabilities for worker in self.fleet.workers)

    def _check_unit(self, unit: str, where: str) -> None:
        """A unit names a folder and a branch, so not every text will do."""
        from runner.workspace.names import check_unit  # here: few tasks name one

        try:
            check_unit(unit)
        except UsageError as error:
            raise located(where, error.message, error.hint) from None

    def _spec(self, type: str, where: str) -> TypeSpec:
        """What a type needs: its handler's word here, or the little that workers publish."""
        spec = self.app.types.get(type)
        if spec is not None and spec.inside:
            raise located(where, f"'{type}' is only for steps of workflows", "runner workflow new NAME begins one")
        if spec is not None:
            return spec
        published = {name for worker in self.fleet.workers for name in worker.types}
        if type in published:
            return TypeSpec()
        hint = suggestion(type, {*self.app.types, *published})
        raise located(where, f"no task type is called '{type}'", hint)

    def _check_payload(self, type: str, payload: JSON, where: str) -> None:
        if type in self.app.types:
            try:
                self.app.registry.check_payload(type, payload)
            except UsageError as error:
                raise located(where, error.message, error.hint) from None

    def _route(self, draft: NewTask, where: str) -> Route:
        try:
            route = self.app.hook.route(task=draft, fleet=self.fleet)
        except RunnerError:
            raise
        except Exception as error:
            raise located(where, f"the route of '{draft.type}' can't be decided: {error}") from error
        return route if isinstance(route, Route) else Route()

    @property
    def fleet(self) -> Fleet:
        """The machines and live workers, read once."""
        if self._fleet is None:
            workers = tuple(worker for worker in self.app.store.queue.workers() if is_live(worker))
            self._fleet = Fleet(_machines(self.app, {w.machine for w in workers}), workers)
        return self._fleet

    # -- what the type makes of it ----------------------------------------------------------------------------

    def _finish(self, draft: NewTask, request: TaskRequest, spec: TypeSpec) -> NewTask:
        where = request.where
        draft = replace(draft, payload=self._with_defaults(draft, spec))
        name = self._agent_for(draft, spec, where)
        agent = self.app.agents.get(name) if name else None
        folder = self._folder(request, draft)
        base = self._base(folder) if spec.workplace == "worktree" else None
        policy = policy_for(request, draft.type, spec, self.app.config, agent, base is not None)
        repairer = policy.repair_agent
        if repairer is not None and repairer not in self.app.agents and not self._offered(repairer):
            raise located(where, f"no agent is called '{repairer}'", suggestion(repairer, self.app.agents))
        if request.expects == "changes" and self._base(folder) is None and not policy.artifacts:
            raise located(
                where,
                f"'changes' can't be shown: {folder} is in no git repository and no artifact is declared",
                "use --expects answer or none, or name the file with --artifact",
            )
        limit_key = request.limit_key
        if limit_key is None and base is None:
            limit_key = f"cwd:{folder}"
        return replace(
            draft,
            agent=name,
            account=(agent.account if agent and agent.account else name),
            requires=(*draft.requires, *((f"agent:{name}",) if name else ())),
            limit_key=limit_key or None,
            attempts=policy.attempts,
            interruptions=policy.interruptions,
            spec={
                "checks": self._all_checks(draft.type, request),
                "policy": policy_json(policy),
                "base": {"repo": str(base.repo), "commit": base.commit, "subdir": str(base.subdir)} if base else None,
                "cwd": str(folder),
                "root": str(self.app.project.root),
            },
        )

    def _with_defaults(self, draft: NewTask, spec: TypeSpec) -> JSON:
        """The payload with the model and permission that the configuration gives to the type, where it takes them."""
        section = self.app.config.types.get(draft.type)
        payload = dict(draft.payload)
        for name in ("model", "permission"):
            value = getattr(section, name, None)
            if value is not None and name in _fields(spec):
                payload.setdefault(name, value)
        return payload

    def _all_checks(self, type: str, request: TaskRequest) -> list[JSON]:
        """The checks that the configuration gives to the type, then the request's own; none twice."""
        found = default_checks(type, self.app.config, self._checks) if request.default_checks else []
        for item in request.checks:
            check = self._checks.read(item, request.where)
            if check not in found:
                found.append(check)
        return found

    def _notes(self, task: NewTask, spec: TypeSpec) -> tuple[str, ...]:
        """What the submitter of this task should know; each is found out once for many tasks."""
        folder = task.spec["cwd"]
        if folder not in self._unborn:
            here = self._base(Path(folder)) is None and Path(folder).is_dir()
            self._unborn[folder] = without_commit(Path(folder)) if here else None
        unborn = self._unborn[folder] if spec.workplace == "worktree" else None
        route = (task.agent, task.machine)
        if route not in self._absent:
            self._absent[route] = without_agent(task, self.app.agents, self.fleet) if task.agent else None
        return tuple(note for note in (unborn, self._absent[route]) if note)

    def _agent_for(self, draft: NewTask, spec: TypeSpec, where: str) -> str | None:
        """The agent of a type that has one: as named or routed, else the configured default."""
        takes = "agent" in _fields(spec) or "agent" in draft.payload
        if draft.agent == NO_AGENT:
            if takes:
                raise located(where, f"type '{draft.type}' needs an agent", suggestion("", self.app.agents))
            return None
        if not takes:
            if draft.agent and spec.payload_model is not None:
                raise located(where, f"type '{draft.type}' takes no agent", f"leave out --agent {draft.agent}")
            return draft.agent
        section = self.app.config.types.get(draft.type)
        name = draft.agent or (section and section.agent) or self.app.config.defaults.agent
        if name not in self.app.agents and not self._offered(name):
            raise located(where, f"no agent is called '{name}'", suggestion(name, self.app.agents))
        return name

    def _requires(self, spec: TypeSpec, type: str) -> tuple[str, ...]:
        section = self.app.config.types.get(type)
        return tuple(dict.fromkeys((*spec.requires, *(section.requires or () if section else ()))))

    def _priority(self, request: TaskRequest, type: str) -> int:
        if request.priority is not None:
            return request.priority
        section = self.app.config.types.get(type)
        return section.priority or 0 if section else 0

    def _folder(self, request: TaskRequest, draft: NewTask) -> Path:
        """Where the task works: the request's cwd, the payload's, its repository, else the project."""
        word: Any = request.cwd
        for name in ("cwd", "repo_path"):
            word = word or draft.payload.get(name)
        if not isinstance(word, str):
            return self.app.project.root
        folder = Path(os.path.realpath(self.cwd / os.path.expanduser(word)))
        if not folder.is_dir() and draft.machine is None:
            raise located(
                request.where, f"the folder {folder} does not exist", "make it, or name the --machine it is on"
            )
        return folder

    def _base(self, folder: Path) -> Base | None:
        """The commit the workspace starts from; None without a repository (or with one only the target machine has)."""
        from runner.workspace import locate  # here: it starts git

        key = str(folder)
        if key not in self._bases:
            self._bases[key] = locate(folder) if folder.is_dir() else None
        return self._bases[key]

    # -- names of other tasks ---------------------------------------------------------------------------------

    def _ids(self, requests: Sequence[TaskRequest]) -> _Ids:
        """An id for each request; one with a name and a key that the queue knows keeps that task's id."""
        names: dict[str, str] = {}
        places: dict[str, str] = {}
        of: list[str] = []
        wanted = {word for request in requests for word in request.after}
        for request in requests:
            id = new_id()
            if request.name is not None:
                if request.name in names:
                    first = places[request.name]
                    raise located(request.where, f"the name '{request.name}' is taken", f"by {first}" if first else "")
                if request.key is not None and request.name in wanted:
                    id = self._keyed(request.key) or id
                names[request.name], places[request.name] = id, request.where
            of.append(id)
        return _Ids(of, names)

    def _keyed(self, key: str) -> str | None:
        where = TaskFilter(statuses=(), project=self.app.project_id, key=key, limit=1)
        found = self.app.store.queue.find(where)
        return found[0].id if found else None

    def _parent(self, word: str, ids: _Ids, where: str) -> str:
        if word in ids.names:
            return ids.names[word]
        if word not in self._found:
            try:
                self._found[word] = find_task(self.app.store, word, self.app.project_id).id
            except NotFound as error:
                hint = suggestion(word, ids.names) if ids.names else error.hint
                raise located(where, f"no task '{word}' to wait for", hint) from None
            except UsageError as error:
                raise located(where, error.message, error.hint) from None
        return self._found[word]


@dataclass(frozen=True, slots=True)
class _Ids:
    of: list[str]
    names: dict[str, str]


def _parents_first(prepared: list[Prepared], requests: Sequence[TaskRequest]) -> list[Prepared]:
    """The same tasks with each after its parents; the order of the requests where that allows it."""
    inside = {one.task.id for one in prepared}
    placed: set[str] = set()
    order: list[Prepared] = []
    left = list(zip(prepared, requests, strict=True))
    while left:
        waiting = []
        for one, request in left:
            if all(parent in placed or parent not in inside for parent in one.task.after):
                placed.add(one.task.id)
                order.append(one)
            else:
                waiting.append((one, request))
        if len(waiting) == len(left):
            names = ", ".join(sorted(str(request.name or one.task.id) for one, request in waiting)[:5])
            raise located(waiting[0][1].where, f"these tasks wait for each other: {names}", "take one 'after' out")
        left = waiting
    return order


def _fields(spec: TypeSpec) -> frozenset[str]:
    """The names that a payload of this type may have; empty when its model does not say."""
    fields = getattr(spec.payload_model, "model_fields", {})
    return frozenset(field.alias or name for name, field in fields.items())


def _machines(app: App, online: set[str]) -> tuple[Machine, ...]:
    """What machines.yaml declares, and the machines of live workers that it does not know."""
    declared = [
        Machine(
            name,
            role=one.role,
            os=one.os or "",
            address=one.address or one.tailscale_ip or "",
            capabilities=tuple(one.capabilities),
            agents=tuple(one.agents),
            aliases=tuple(one.aliases),
            online=bool({name, *one.aliases} & online),
        )
        for name, one in app.config.machines.items()
    ]
    known = {word for one in declared for word in (one.name, *one.aliases)}
    return (*declared, *(Machine(name, online=True) for name in sorted(online - known)))
