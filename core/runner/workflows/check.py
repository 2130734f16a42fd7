"""What can be known to be wrong with a workflow before it runs: names, references, conditions, places of values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runner.errors import suggestion
from runner.templates import TemplateError, compile_command, roots
from runner.templates.expression import check as check_expression
from runner.templates.expression import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.workflows.model import Param
    from runner.workflows.nodes import Node

FUNCTIONS: Final = ("always", "failure", "success")
"""What a condition may call."""
BUILTINS: Final = ("run_id", "run_dir", "session_dir", "step_id", "project_dir", "workflow_dir")
"""Names that every workflow has."""
RESULT: Final = ("status", "outcome", "output", "path", "json", "exit_code", "session", "answer", "stderr")
"""What `steps.X` has of every step that ran; a loop has `results`, a sub-workflow its outputs."""
_TEXTS: Final = ("prompt", "role", "script", "gate", "workdir", "model", "machine", "session")
"""Definitions of a leaf that are texts with placeholders."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong: `place` is `file:line:column`; `warning` when it can run all the same."""

    place: str
    message: str
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


@dataclass(slots=True, eq=False)
class Level:
    """The children of a container where they stand: what is around them, what they may name."""

    nodes: Mapping[str, Node]
    owner: Node | None
    above: Level | None
    names: frozenset[str] = frozenset()

    @property
    def same_workflow(self) -> Level | None:
        """The level around, unless a sub-workflow's border lies between."""
        return None if self.owner is None or self.owner.kind == "workflow" else self.above

    def outward(self) -> Iterator[Level]:
        """This level and those around it, within the workflow."""
        level: Level | None = self
        while level is not None:
            yield level
            level = level.same_workflow

    def reaches(self, node: str, need: str) -> bool:
        """Whether `node` needs `need`, directly or through others."""
        seen: set[str] = set()
        left = [node]
        while left:
            for one in self.nodes[left.pop()].needs:
                if one == need:
                    return True
                if one not in seen:
                    seen.add(one)
                    left.append(one)
        return False


@dataclass(slots=True)
class _Checker:
    literal: bool
    problems: list[Problem] = field(default_factory=list)
    captures: dict[int, dict[str, list[tuple[Level, Node]]]] = field(default_factory=dict)

    # Walking

    def workflow(self, node: Node, names: Iterable[str], above: Level | None) -> None:
        """A workflow or sub-workflow: `names` are its parameters."""
        level = Level(_by_id(node), node, above, frozenset(names) | frozenset(BUILTINS))
        found: dict[str, list[tuple[Level, Node]]] = {}
        self.captures[id(level)] = found
        levels = self.levels(level, found)
        for name, producers in found.items():
            self.concurrent(name, producers)
        for one, child in levels:
            self.node(one, child, level, found)
        for name, text in node.outputs.items():
            self.text(text, f"outputs.{name}", level, None, level, found, node.place)

    def levels(self, top: Level, found: dict[str, list[tuple[Level, Node]]]) -> list[tuple[Level, Node]]:
        """All nodes of one workflow with the level they stand on, without those of its sub-workflows."""
        listed: list[tuple[Level, Node]] = []
        stack = [top]
        while stack:
            level = stack.pop()
            for node in level.nodes.values():
                listed.append((level, node))
                if node.capture is not None:
                    found.setdefault(node.capture, []).append((level, node))
                if node.kind in ("group", "loop"):
                    names = level.names
                    if node.iterations is not None:
                        names |= {name for name in (node.iterations.name, node.iterations.index) if name}
                    stack.append(Level(_by_id(node), node, level, names))
        return listed

    def node(self, level: Level, node: Node, top: Level, found: Mapping[str, list[tuple[Level, Node]]]) -> None:
        def text(value: str, what: str, *, command: str | None = None) -> None:
            self.text(value, what, level, node, top, found, _place(node, what), command=command)

        self.flow(level, node)
        if node.when is not None:
            self.expression(node.when, level, node, top, found)
        if node.skip_if is not None and node.skip_if != "previous_success":
            text(node.skip_if.removeprefix("sh:"), "skip_if", command="sh")
        for one in texts_in(node.iterations.over if node.iterations is not None else None):
            text(one, "loop.over")
        definition = node.definition
        for key in _TEXTS:
            if isinstance(definition.get(key), str):
                text(definition[key], key)
        if "command" in definition:
            text(definition["command"], "command", command=str(definition.get("shell", "sh")))
        for key in ("env", "script_inputs", "with_"):
            for name, value in dict(definition.get(key) or {}).items():
                for one in texts_in(value):
                    text(one, f"{key.rstrip('_')}.{name}")
        for key in ("artifacts", "may_edit", "protect"):
            for one in definition.get(key) or ():
                text(one, key)
        for one in definition.get("preflight") or ():
            text(one["command"], "preflight", command="sh")
        for one in texts_in(definition.get("worktree")):
            text(one, "worktree")
        for check in definition.get("verify") or ():
            for one in texts_in(check):
                text(one, "verify")
        for name, value in node.params.items():
            text(value, f"params.{name}")
        if node.kind == "workflow":
            given = {*node.params, *node.defaults}
            self.workflow(node, given, level)

    # Rules

    def flow(self, level: Level, node: Node) -> None:
        """`skip_if` and `break_if` where they mean something."""
        if node.skip_if == "previous_success":
            if not node.needs:
                self.say(node, "`skip_if: previous_success` has no step before it", "it is the first of its container")
            elif len(node.needs) > 1:
                self.say(
                    node, "`skip_if: previous_success` has several steps before it", "use `when` with their outcomes"
                )
        elif node.skip_if is not None and not node.skip_if.startswith("sh:"):
            self.say(node, f"`skip_if` can't be '{node.skip_if}'", "write previous_success, or sh: and a command")
        if node.break_if is not None:
            inside = any(one.owner is not None and one.owner.kind == "loop" for one in level.outward())
            if not inside:
                self.say(node, "`break_if` stands in no loop", "it ends the loop around it")

    def concurrent(self, name: str, producers: Sequence[tuple[Level, Node]]) -> None:
        """Two steps that may run at once must not set the same name."""
        for number, (level, node) in enumerate(producers):
            for other_level, other in producers[number + 1 :]:
                common, one, two = _meet(level, node, other_level, other)
                if one != two and not common.reaches(one, two) and not common.reaches(two, one):
                    hint = "let one need the other, or give them different names"
                    self.say(
                        other, f"'{name}' is captured by '{node.id}' as well, which may run at the same time", hint
                    )
                    return

    def expression(
        self,
        source: str,
        level: Level,
        node: Node,
        top: Level,
        found: Mapping[str, list[tuple[Level, Node]]],
    ) -> None:
        try:
            check_expression(source, FUNCTIONS)
            paths = names_of(source)
        except TemplateError as error:
            self.problems.append(Problem(_place(node, "when"), f"step '{node.id}': when: {error.message}", error.hint))
            return
        for path in paths:
            self.reference(path, "when", level, node, top, found, _place(node, "when"))

    def text(
        self,
        value: str,
        what: str,
        level: Level,
        node: Node | None,
        top: Level,
        found: Mapping[str, list[tuple[Level, Node]]],
        place: str,
        *,
        command: str | None = None,
    ) -> None:
        """A text with placeholders; of a `command` also where they stand in it."""
        if "{{" not in value:
            return
        try:
            paths = roots(value, literal_expressions=self.literal)
            if command is not None:
                compiled = compile_command(value, None, bash=command == "bash", literal_expressions=self.literal)
                self.problems += [Problem(place, f"{what}: {one}", warning=True) for one in compiled.warnings]
        except TemplateError as error:
            self.problems.append(Problem(place, f"{what}: {error.message}", error.hint))
            return
        for path in paths:
            self.reference(path, what, level, node, top, found, place)

    def reference(
        self,
        path: tuple[str, ...],
        what: str,
        level: Level,
        node: Node | None,
        top: Level,
        found: Mapping[str, list[tuple[Level, Node]]],
        place: str,
    ) -> None:
        name = path[0]
        if name == "steps":
            self.step(path, what, level, node, place)
        elif name in level.names or name == "steps":
            return
        elif name in found:
            self.captured(name, what, level, node, found[name], place)
        else:
            known = sorted({*level.names, *found, "steps"})
            self.problems.append(Problem(place, f"{what}: '{name}' is not defined here", suggestion(name, known)))

    def step(self, path: tuple[str, ...], what: str, level: Level, node: Node | None, place: str) -> None:
        """`steps.X.…`: a step that has ended by then."""
        if len(path) < 2:
            return
        id, current = path[1], node
        for one in level.outward():
            if id in one.nodes:
                if current is not None and (id == current.id or not one.reaches(current.id, id)):
                    hint = f"add it to the needs of '{current.id}'"
                    said = "itself" if id == current.id else f"'{id}', which it does not need"
                    self.problems.append(Problem(place, f"{what}: refers to {said}", hint if id != current.id else ""))
                elif len(path) > 2:
                    self.result(one.nodes[id], path[2], what, place)
                return
            current = one.owner
        known = [name for one in level.outward() for name in one.nodes]
        self.problems.append(Problem(place, f"{what}: there is no step '{id}' here", suggestion(id, known)))

    def result(self, node: Node, key: str, what: str, place: str) -> None:
        known = [*RESULT, *(("results",) if node.kind == "loop" else ())]
        if node.kind == "workflow":
            known += ["outputs", *node.outputs]
        if key not in known:
            self.problems.append(Problem(place, f"{what}: step '{node.id}' has no '{key}'", suggestion(key, known)))

    def captured(
        self,
        name: str,
        what: str,
        level: Level,
        node: Node | None,
        producers: Sequence[tuple[Level, Node]],
        place: str,
    ) -> None:
        """A capture: one of its producers has run by then, or may have in an iteration before."""
        if node is None:
            return
        for other_level, producer in producers:
            common, one, two = _meet(level, node, other_level, producer)
            around = [at.owner for at in common.outward() if at.owner is not None]
            if common.reaches(one, two) or any(owner.kind == "loop" for owner in around):
                return
        producer = producers[0][1]
        message = f"{what}: '{name}' is captured by '{producer.id}', which '{node.id}' does not need"
        self.problems.append(Problem(place, message, f"add '{producer.id}' to its needs"))

    def say(self, node: Node, message: str, hint: str = "") -> None:
        self.problems.append(Problem(node.place, f"step '{node.id}': {message}", hint))


def check(root: Node, params: Sequence[Param], *, literal_expressions: bool = False) -> list[Problem]:
    """Everything that is wrong with a loaded workflow by itself, in the order of its files."""
    checker = _Checker(literal_expressions)
    checker.workflow(root, [param.name for param in params], None)
    return checker.problems


def _place(node: Node, what: str) -> str:
    """Where a step is; of one that another file changes, where that part of it was written."""
    part = node.where(*what.split(".", 1))
    return node.place if part.rsplit(":", 2)[0] == node.place.rsplit(":", 2)[0] else part


def _by_id(node: Node) -> dict[str, Node]:
    return {child.id: child for child in node.children}


def _meet(level: Level, node: Node, other_level: Level, other: Node) -> tuple[Level, str, str]:
    """The innermost level that holds both, and which of its nodes each is in."""
    one = {id(at): name for at, name in _chain(level, node)}
    for at, name in _chain(other_level, other):
        if id(at) in one:
            return at, one[id(at)], name
    raise AssertionError("steps of one workflow have its top in common")


def _chain(level: Level, node: Node) -> Iterator[tuple[Level, str]]:
    current = node
    for at in level.outward():
        yield at, current.id
        if at.owner is not None:
            current = at.owner


def texts_in(value: Any) -> Iterator[str]:
    """The texts in a value of any shape."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)
