"""From a workflow's file to its nodes: the YAML read, extended, validated, its sub-workflows found."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from runner.config.complaints import complaint
from runner.config.yamlfile import parse_yaml
from runner.errors import ConfigError, suggestion
from runner.workflows.finding import VERSIONED, find
from runner.workflows.forms import Forms
from runner.workflows.model import Step, Workflow
from runner.workflows.nodes import Iterations, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from runner.workflows.model import Param

Place = tuple[str | int, ...]
_DEEPEST = 20
"""Sub-workflows within each other; more is taken for one that calls itself."""


@dataclass(frozen=True, slots=True)
class Source:
    """A workflow as its file has it: `data` as it was read, and where (`file:line:column`) each value of it stands.

    `notes` are sentences about what of it has no effect here. Of a file in another dialect `data` is what it was
    converted to, and `foreign` says that what is no path in its placeholders stays as it is.
    """

    path: Path
    text: str
    data: Mapping[str, Any]
    places: Mapping[Place, str]
    workflow: Workflow
    foreign: bool = False
    notes: tuple[str, ...] = ()

    def place(self, *path: str | int) -> str:
        """Where a value stands, or the nearest one around it that was written."""
        return place_of(self.places, path)


class Refused(ConfigError):
    """A file is no workflow: `found` is all that is wrong with it, sentences (with their places) and hints."""

    def __init__(self, found: tuple[tuple[str, str], ...]) -> None:
        message, hint = found[0]
        more = f"and {len(found) - 1} more" if len(found) > 1 else ""
        super().__init__(message, "; ".join(filter(None, (hint, more))))
        self.found = found


@dataclass(frozen=True, slots=True)
class Loaded:
    """A workflow that can be run: its root node, its parameters, and all files it is made of.

    `notes` are those of all its files.
    """

    source: Source
    root: Node
    params: tuple[Param, ...]
    files: Mapping[Path, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def place_of(places: Mapping[Place, str], path: Sequence[str | int]) -> str:
    """`file:line:column` of the value at `path`, or of the nearest one around it."""
    whole = tuple(path)
    while whole and whole not in places:
        whole = whole[:-1]
    return places.get(whole, "workflow")


def read(path: Path) -> Source:
    """Read and validate one file; ConfigError names file, line and column."""
    shown = os.path.relpath(path)
    return parse(text_of(path, shown), path, shown)


def text_of(path: Path, shown: str) -> str:
    """The text of a file; ConfigError when it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{shown}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8").split("\n")
        place = f"{shown}:{len(before)}:{len(before[-1]) + 1}"
        raise ConfigError(f"{place}: the file is not UTF-8", "save it as UTF-8") from None


def parse(text: str, path: Path, shown: str) -> Source:
    """Validate the text of a workflow's file."""
    try:
        document = parse_yaml(text, shown)
    except ConfigError as error:
        raise ConfigError(error.message, error.hint or _quote_it(error.message, text)) from None
    data = document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{shown}:1: a workflow is a mapping with `steps`")
    places = {key: f"{shown}:{line}:{column}" for key, (line, column) in document.places.items()}
    forms = Forms(data, places, versioned=VERSIONED.fullmatch(path.stem) is not None)
    return replace(validated(path, text, forms.data, forms.places), notes=tuple(forms.notes))


def _quote_it(message: str, text: str) -> str:
    """The advice for what YAML reads in another way than its author: `{{x}}` is a mapping, `sh: cmd` a key."""
    place = re.match(r".*?:(\d+):", message)
    lines = text.splitlines()
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else ""
    if re.search(r"[:\-\[,]\s*\{\{", line):
        return 'quote it: "{{…}}"'
    if re.search(r":\s+\w+:\s", line):
        return "quote the value: it has a colon"
    return ""


def validated(path: Path, text: str, data: Mapping[str, Any], places: Mapping[Place, str]) -> Source:
    """The workflow that the data are; ConfigError says the first thing that is wrong, and where."""
    try:
        workflow = Workflow.model_validate(data)
    except ValidationError as error:
        found = [
            complaint(details, Workflow, lambda where: place_of(places, where))
            for details in error.errors(include_url=False)
        ]
        raise Refused(tuple(dict.fromkeys(found))) from None
    if not workflow.name:
        match = VERSIONED.fullmatch(path.stem)
        workflow = workflow.model_copy(update={"name": match[1] if match else path.stem})
    return Source(path, text, data, places, workflow)


def load(
    path: Path,
    folders: Sequence[Path] = (),
    reader: Callable[[Path], Source] = read,
    known: Collection[str] = (),
) -> Loaded:
    """The workflow in a file with all it refers to; ConfigError for whatever can be known to be wrong with it.

    `folders` are where other workflows are looked up by name, `reader` reads one file (of any dialect), `known`
    are the real paths of all files there are (none: those on disk).
    """
    builder = _Builder(folders, reader, known)
    source = builder.source(path)
    root = builder.workflow(source, ())
    files = {one.path: one.text for one in builder.sources.values()}
    notes = tuple(dict.fromkeys(note for one in builder.sources.values() for note in one.notes))
    return Loaded(source, root, source.workflow.params, files, notes)


class _Builder:
    """Makes nodes of steps, reading each file once."""

    def __init__(self, folders: Sequence[Path], reader: Callable[[Path], Source], known: Collection[str]) -> None:
        self._folders = tuple(folders)
        self._known = known
        self._read = reader
        self.sources: dict[Path, Source] = {}
        self._extending: list[Path] = []
        """The files whose base is being read, each extending the next."""

    def source(self, path: Path) -> Source:
        real = Path(os.path.realpath(path))
        if real not in self.sources:
            self.sources[real] = self._extended(self._read(path))
        return self.sources[real]

    def _extended(self, source: Source) -> Source:
        from runner.workflows.extend import extend  # here: only few are

        if source.workflow.extends is None:
            return source
        place, own = source.place("extends"), Path(os.path.realpath(source.path))
        try:
            base = find(source.workflow.extends, (source.path.parent, *self._folders), self._known)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error.message}", error.hint) from None
        real = Path(os.path.realpath(base))
        chain = [*self._extending, own]
        if real in chain:
            names = [one.name for one in (*chain[chain.index(real) :], real)]
            said = "the workflow extends itself" if real == own else " extends ".join(names)
            raise ConfigError(f"{place}: {said}", "name another workflow in `extends`")
        self._extending.append(own)
        try:
            below = self.source(base)
        finally:
            self._extending.pop()
        return replace(extend(source, below), foreign=below.foreign, notes=(*below.notes, *source.notes))

    def workflow(self, source: Source, above: tuple[Path, ...]) -> Node:
        """The root node of a file."""
        real = Path(os.path.realpath(source.path))
        if real in above or len(above) > _DEEPEST:
            raise ConfigError(f"{source.place()}: the workflow calls itself", "give it a loop instead")
        flow = source.workflow
        _check_params(source)
        children = self._children(source, flow.steps, flow.pattern, ("steps",), (*above, real))
        defaults = {param.name: param.default or "" for param in flow.params if not param.needed}
        return Node(
            flow.name,
            "workflow",
            children=children,
            defaults=defaults,
            outputs=dict(flow.outputs),
            place=source.place(),
        )

    def _children(
        self,
        source: Source,
        steps: Sequence[Step],
        pattern: str,
        path: tuple[str | int, ...],
        above: tuple[Path, ...],
    ) -> tuple[Node, ...]:
        places: dict[str, str] = {}
        nodes: list[Node] = []
        ids = [step.id for step in steps]
        for number, step in enumerate(steps):
            here = source.place(*path, number)
            if step.id in places:
                raise ConfigError(f"{here}: the id '{step.id}' is used twice (also at {places[step.id]})")
            places[step.id] = here
            needs = step.needs
            if needs is None:
                needs = (ids[number - 1],) if pattern == "pipeline" and number else ()
            for need in needs:
                if need == step.id or need not in ids:
                    what = "itself" if need == step.id else f"'{need}', which is no step beside it"
                    others = [one for one in ids if one != step.id]
                    place = source.place(*path, number, "needs")
                    raise ConfigError(f"{place}: step '{step.id}' needs {what}", suggestion(need, others))
            nodes.append(self._node(source, step, tuple(dict.fromkeys(needs)), (*path, number), above))
        _check_cycles(nodes)
        return tuple(nodes)

    def _node(
        self, source: Source, step: Step, needs: tuple[str, ...], path: tuple[str | int, ...], above: tuple[Path, ...]
    ) -> Node:
        kind = step.kind
        common: dict[str, Any] = {
            "id": step.id,
            "kind": kind,
            "needs": needs,
            "when": step.when,
            "skip_if": step.skip_if,
            "break_if": step.break_if,
            "continue_on_failure": step.continue_on_failure,
            "capture": step.capture,
            "place": source.place(*path),
            "source": source,
            "path": path,
        }
        if kind in ("loop", "group"):
            inner = self._children(source, step.steps or (), step.pattern or "pipeline", (*path, "steps"), above)
            return Node(**common, children=inner, iterations=_iterations(step), definition=_around(step))
        if kind == "workflow":
            return self._call(source, step, path, above, common)
        return Node(**common, definition=definition_of(step, source))

    def _call(
        self,
        source: Source,
        step: Step,
        path: tuple[str | int, ...],
        above: tuple[Path, ...],
        common: Mapping[str, Any],
    ) -> Node:
        """A step that runs another workflow: found now, its parameters compared."""
        assert step.workflow is not None
        try:
            other = self.source(find(step.workflow, (source.path.parent, *self._folders), self._known))
        except ConfigError as error:
            if error.message.startswith("there is no workflow"):
                raise ConfigError(f"{source.place(*path, 'workflow')}: {error.message}", error.hint) from None
            raise
        known = {param.name: param for param in other.workflow.params}
        for name in step.params:
            if name not in known:
                place = source.place(*path, "params", name)
                raise ConfigError(
                    f"{place}: '{other.workflow.name}' has no parameter '{name}'", suggestion(name, known)
                )
        missing = [name for name, param in known.items() if param.needed and name not in step.params]
        if missing:
            place = source.place(*path, "workflow")
            raise ConfigError(
                f"{place}: '{other.workflow.name}' needs the parameter '{missing[0]}'", "give it in `params`"
            )
        inner = self.workflow(other, above)
        return Node(
            **common,
            children=inner.children,
            params=dict(step.params),
            defaults=inner.defaults,
            outputs=inner.outputs,
            definition=_around(step, other.workflow),
        )


def _around(step: Step, inner: Workflow | None = None) -> dict[str, Any]:
    """What a container says for all steps in it together: where they begin, what they may take and spend."""
    timeouts = [one.timeout for one in (step, inner) if one is not None and one.timeout is not None]
    budget = inner.budget.model_dump() if inner is not None and inner.budget is not None else None
    found: dict[str, Any] = {"timeout": min(timeouts, default=None), "budget": budget, "workdir": step.workdir}
    if inner is not None and "on_error" in inner.model_fields_set:
        found["fail_fast"] = inner.on_error.strategy == "fail-fast"
    return {name: value for name, value in found.items() if value is not None}


def _iterations(step: Step) -> Iterations | None:
    loop = step.loop
    if loop is None:
        return None
    return Iterations(loop.max, loop.over, loop.as_ or "", loop.as_index or "", loop.require_matches)


def definition_of(step: Step, source: Source) -> dict[str, Any]:
    """What a leaf runs, with its agent's and its workflow's settings below its own; not filled in yet."""
    flow = source.workflow
    given = step.model_dump(exclude_defaults=True, by_alias=False, exclude={"id", "needs", "when", "steps"})
    if step.kind == "agent":
        if step.agent is None:  # a session that the file names may say whose it is
            given |= next(({"agent": one.agent} for one in flow.sessions if one.agent and one.name == step.session), {})
        use = flow.agents.get(given.get("agent", ""))
        if use is not None:
            for name, value in use.model_dump(exclude_none=True).items():
                given.setdefault(name, value)
            given.setdefault("cli", given["agent"])
    if step.kind == "shell":
        given.setdefault("shell", flow.shell)
    if flow.env and step.kind in ("agent", "shell", "script"):
        given["env"] = {**flow.env, **step.env}
    given["folder"] = os.fspath(source.path.parent)
    _rules(given, step, source)
    return given


def _rules(given: dict[str, Any], step: Step, source: Source) -> None:
    """What the workflow says for all its steps, where the step itself says nothing."""
    flow = source.workflow
    retry = flow.on_error.retry
    if retry is not None:
        given.setdefault("retries", retry.max)
        if retry.delay:
            given.setdefault("delay", retry.delay)
    # A step whose failure is awaited is asked, not mended, unless it says so itself.
    awaited = step.continue_on_failure or step.break_if is not None
    if flow.repairable is not None and not awaited:
        whole = flow.repairable
        given.setdefault("repairable", whole if isinstance(whole, bool) else whole.model_dump(exclude_none=True))
    rule = given.get("repairable")
    named = rule.get("agent") if isinstance(rule, dict) else None
    use = flow.agents.get(named or "")
    if use is not None:
        own = {"agent": use.cli or named, "model": use.model, "permission": use.permission}
        given["repairer"] = {key: value for key, value in own.items() if value is not None}
    if flow.engine is not None and step.kind == "agent":
        given["engine"] = flow.engine.model_dump()
    if source.foreign:
        given["foreign"] = True


def _check_params(source: Source) -> None:
    """Raise for a parameter that is there twice."""
    places: dict[str, str] = {}
    for number, param in enumerate(source.workflow.params):
        here = source.place("params", number)
        if param.name in places:
            first = places[param.name]
            raise ConfigError(f"{here}: the parameter '{param.name}' is there twice (also at {first})")
        places[param.name] = here


def _check_cycles(nodes: Sequence[Node]) -> None:
    """Raise for steps that need each other."""
    unmet = {node.id: len(node.needs) for node in nodes}
    dependants: dict[str, list[str]] = {}
    for node in nodes:
        for need in node.needs:
            dependants.setdefault(need, []).append(node.id)
    free = [id for id, count in unmet.items() if count == 0]
    while free:
        for id in dependants.get(free.pop(), ()):
            unmet[id] -= 1
            if unmet[id] == 0:
                free.append(id)
    stuck = [node for node in nodes if unmet[node.id] > 0]
    if stuck:
        names = ", ".join(f"'{node.id}'" for node in stuck[:5])
        raise ConfigError(f"{stuck[0].place}: the steps {names} wait for each other", "remove one of their `needs`")
