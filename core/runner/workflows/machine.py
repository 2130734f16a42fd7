"""What runs next: the states of a run's steps, moved by what came of each; no processes, no files, no clock.

The machine is asked for work (`take`) and told what came of it (`answer`). Everything that happens outside it is
an `Effect` with an address of its own, so that a run is resumed by giving the same answers again.

One rule for every container (workflow, sub-workflow, loop body, group): a child starts the moment its needs are
met; it is done when all its children are.
"""

from __future__ import annotations

import os
import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from runner.templates import Scope, TemplateError, render
from runner.workflows.items import ENDED, Effect, Frame, Item, Result
from runner.workflows.naming import keys_of
from runner.workflows.views import Captures, Steps, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runner.workflows.items import State
    from runner.workflows.nodes import Node

_ASKS: Final = re.compile(r"\b(always|failure)\s*\(")
"""A condition that is for the case that a need failed."""


class Machine:
    """The states of one run. `fail_fast`: after a failure nothing new starts but what asked for it by `when`."""

    def __init__(
        self,
        root: Node,
        values: Mapping[str, Any],
        *,
        fail_fast: bool = True,
        builtins: Mapping[str, Any] | None = None,
        warn: Callable[[str], None] = lambda sentence: None,
        more: Mapping[str, int] | None = None,
    ) -> None:
        """`more`: iterations that a person has added to counted loops, by their paths."""
        self.fail_fast = fail_fast
        self.stopping = False
        self.cancelled = False
        self.changed: list[Item] = []
        """Items whose state changed since the caller last looked, in order."""
        self._warn = warn
        self._more = dict(more or {})
        self.builtins = dict(builtins or {})
        self._ready: deque[Effect] = deque()
        self._asked: dict[str, Item] = {}
        self._agenda: deque[Item] = deque()
        """Items that have ended and whose consequences are still to be drawn: never by recursion."""
        around = Frame((root,), "", None, Scope({}))
        self.root = around.items[root.id]
        self.root.path = ""
        self._set(self.root, "running")
        self._open(self.root, root.children, "", self._workflow_scope(values))
        self._pump()

    # From outside

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.root.state in ENDED

    def take(self) -> Effect | None:
        """The next thing to do outside; None when there is none just now."""
        if not self._ready:
            return None
        return self._ready.popleft()

    def item(self, effect: Effect) -> Item:
        """Whose effect it is; it must not be answered yet."""
        return self._asked[effect.address]

    def again(self, effect: Effect) -> None:
        """The effect is to be taken again, after the others that are ready."""
        self._set(self._asked[effect.address], "running")
        self._ready.append(effect)

    def answer(self, effect: Effect, result: Result) -> None:
        """Tell what came of an effect."""
        item = self._asked.pop(effect.address)
        if item.state in ENDED:
            return
        item.stamp = max(item.stamp, result.stamp)
        if effect.kind == "probe":
            self._probed(item, result)
        elif effect.kind == "expand":
            self._expanded(item, result)
        else:
            self._finished(item, result)
        self._pump()
        if self.cancelled:
            self._settle_all()

    def wait(self, effect: Effect) -> None:
        """The effect waits for a person: nothing is wrong, and others go on."""
        self._set(self._asked[effect.address], "waiting")

    def expire(self, item: Item, reason: str) -> None:
        """The time of a container is over: nothing more starts in it, what waits in it is not asked, and it fails."""
        item.expired = reason
        self._end_inside(item, reason)

    def _end_inside(self, item: Item, reason: str) -> None:
        """Nothing that has not begun begins any more in a container; what waits is not awaited."""
        inside = [item]
        for one in inside:
            inside += [child for child in (one.inside.items.values() if one.inside else ()) if child.state not in ENDED]
            if item.expired and one.node.is_container:
                one.expired = one.expired or reason
        held = set(map(id, inside))
        kept = deque(effect for effect in self._ready if id(self._asked[effect.address]) not in held)
        ready, self._ready = self._ready, kept
        for effect in ready:
            if effect not in kept:
                del self._asked[effect.address]
        begun = {id(one) for address, one in self._asked.items() if one.state != "waiting"}
        for one in inside[1:]:
            if one.state == "waiting":
                self._asked = {address: asked for address, asked in self._asked.items() if asked is not one}
            if one.inside is None and id(one) not in begun and one.state not in ENDED:
                self._end(one, "not_run", reason)
        self._pump()

    def give_up(self) -> None:
        """The run has failed, and what waits for people is not awaited any more."""
        self._end_inside(self.root, "the run was ending")

    def awaits(self, effect: Effect) -> bool:
        """Whether its answer is still wanted."""
        return effect.address in self._asked

    def cancel(self) -> None:
        """Nothing more starts; what runs is told by the caller, and its answers are still taken."""
        self.cancelled = self.stopping = True
        for effect in self._ready:
            del self._asked[effect.address]
        self._ready.clear()
        for item in list(self.all()):
            asked = any(f"{item.path}{sign}" in self._asked for sign in ("", "?", "*"))
            if item.state not in ENDED and item.inside is None and not asked:
                self._set(item, "cancelled")
        self._settle_all()

    def all(self) -> Iterator[Item]:
        """All items there are, containers before what they hold; those of a loop's last iteration."""
        stack = [self.root]
        while stack:
            item = stack.pop()
            yield item
            if item.inside is not None:
                stack += reversed(item.inside.items.values())

    # Starting

    def _open(self, item: Item, nodes: tuple[Node, ...], path: str, scope: Scope) -> None:
        """A container begins: its children, and those of them that need nothing."""
        frame = Frame(nodes, path, item, scope)
        item.inside = frame
        # What templates call `steps` is what this frame holds, then what the frames around it do.
        frame.scope = scope.inner({"steps": Steps(frame)})
        for child in list(frame.items.values()):
            if child.unmet == 0 and child.state == "pending":
                self._consider(child)
        if not frame.items:
            self._close(frame)

    def _pump(self) -> None:
        """Draw the consequences of what has ended: for its dependants, for its container."""
        while self._agenda:
            item = self._agenda.popleft()
            frame = item.frame
            frame.left -= 1
            for dependant in frame.dependants.get(item.node.id, ()):
                dependant.unmet -= 1
                if dependant.unmet == 0 and dependant.state == "pending":
                    self._consider(dependant)
            if self.stopping or item.state == "failed":
                self._withdraw()
            if frame.left == 0 and frame.owner is not None:
                self._close(frame)

    def _consider(self, item: Item) -> None:
        """All needs have ended: does it run?"""
        needs = [item.frame.items[need] for need in item.node.needs]
        met = all(need.satisfies for need in needs)
        try:
            wanted, asked = self._when(item, met)
        except TemplateError as error:
            if met or _ASKS.search(item.node.when or ""):
                self._fail(item, _placed(item, f"when: {error}"))
            else:  # what did not run has no result to be asked about
                self._end(item, "not_run", "a need failed")
            return
        if item.frame.broken or (not asked and self._stopped(item)) or not (met or asked):
            why = "the loop had ended" if item.frame.broken else "the run was ending"
            self._end(item, "not_run", "a need failed" if not met else why)
            return
        if not wanted:
            self._skip(item, "its condition does not hold")
            return
        skip = item.node.skip_if
        if skip == "previous_success":
            before = self._before(item)
            if before is not None and before.state == "done":
                self._skip(item, f"{before.node.id} succeeded")
                return
        elif skip is not None:
            command = skip.removeprefix("sh:").strip()
            frame = item.frame
            self._ask(Effect("probe", f"{item.path}?", item.node, frame.scope, command, frame.workdir), item)
            return
        self._start(item)

    def _when(self, item: Item, met: bool) -> tuple[bool, bool]:
        """Whether its condition holds, and whether that was asked for although a need failed."""
        if item.node.when is None:
            return met, False
        asked = []

        def success() -> bool:
            asked.append("success")
            return met

        def failure() -> bool:
            asked.append("failure")
            return not met or (self._stopped(item) and not item.node.needs)

        def always() -> bool:
            asked.append("always")
            return True

        from runner.templates.expression import evaluate  # here: only who has conditions pays for it

        functions = {"success": success, "failure": failure, "always": always}
        value = evaluate(item.node.when, item.frame.scope, functions)
        if not asked:
            return met and bool(value), False
        return bool(value), bool(value)

    def _before(self, item: Item) -> Item | None:
        """The one step before it that was not skipped."""
        seen = [item]
        while True:
            needs = seen[-1].node.needs
            if len(needs) != 1:
                return None
            before = item.frame.items[needs[0]]
            if before.state != "skipped":
                return before
            seen.append(before)

    def _start(self, item: Item) -> None:
        node, frame = item.node, item.frame
        item.workdir = frame.workdir
        if node.is_container and "workdir" in node.definition:
            try:
                item.workdir = os.path.join(item.workdir, render(node.definition["workdir"], frame.scope))
            except TemplateError as error:
                self._fail(item, _placed(item, f"workdir: {error}"))
                return
        if node.kind == "loop":
            assert node.iterations is not None
            if node.iterations.max is not None:
                self._set(item, "running")
                self._next_round(item)
            elif isinstance(node.iterations.over, str):
                glob = node.iterations.over
                self._ask(Effect("expand", f"{item.path}*", node, frame.scope, glob, item.workdir), item)
            else:
                self._over_list(item, node.iterations.over or ())
        elif node.kind == "group":
            self._set(item, "running")
            self._open(item, node.children, item.path, frame.scope)
        elif node.kind == "workflow":
            self._set(item, "running")
            self._enter(item)
        else:
            self._ask(Effect("run", item.path, node, frame.scope, "", frame.workdir), item)

    def _over_list(self, item: Item, texts: Sequence[str]) -> None:
        """A loop over texts of the file: nothing outside has to be asked."""
        try:
            items = [render(text, item.frame.scope) for text in texts]
        except TemplateError as error:
            self._fail(item, _placed(item, f"loop.over: {error}"))
            return
        self._expanded(item, Result(values={"items": items}))

    def _enter(self, item: Item) -> None:
        """A sub-workflow sees its parameters and nothing else."""
        try:
            given = {name: render(text, item.frame.scope) for name, text in item.node.params.items()}
        except TemplateError as error:
            self._fail(item, _placed(item, f"params: {error}"))
            return
        self._open(item, item.node.children, item.path, self._workflow_scope({**item.node.defaults, **given}))

    def _workflow_scope(self, values: Mapping[str, Any]) -> Scope:
        """Built-in names, then parameters, then captures, which hide them."""
        return Captures({}, Scope(values, Scope(self.builtins)))

    def _ask(self, effect: Effect, item: Item) -> None:
        self._set(item, "running")
        self._ready.append(effect)
        self._asked[effect.address] = item

    # Answers

    def _probed(self, item: Item, result: Result) -> None:
        if result.outcome == "ok":
            self._skip(item, "its skip_if held")
        elif result.outcome == "check_failed":
            self._start(item)
        else:
            self._fail(item, f"skip_if: {result.output or result.outcome}")

    def _expanded(self, item: Item, result: Result) -> None:
        assert item.node.iterations is not None
        if not result.ok:
            self._fail(item, result.output)
            return
        item.items = tuple(str(one) for one in result.values.get("items", ()))
        item.keys = keys_of(item.items)
        self._set(item, "running")
        self.changed.append(item)
        if not item.items and item.node.iterations.require_matches:
            self._fail(item, f"nothing matches '{item.node.iterations.over}'")
            return
        self._next_round(item)

    def _next_round(self, item: Item) -> None:
        """The loop's next iteration, or its end."""
        node, loop = item.node, item.node.iterations
        assert loop is not None
        most = loop.max + self._more.get(item.path, 0) if loop.max is not None else len(item.items)
        item.most = most
        if item.round >= most:
            if most == 0:
                self._leave_empty(item, "had nothing to go over")
            if loop.max is not None and node.breaks:
                self._fail(item, f"{most} iterations, and no break_if held")
            else:
                self._end(item, "done")
            return
        names: dict[str, Any] = {}
        if loop.over is not None:
            key = item.keys[item.round]
            names[loop.name] = item.items[item.round]
        else:
            key = str(item.round + 1)
        if loop.index:
            names[loop.index] = item.round
        item.round += 1
        self._open(item, node.children, f"{item.path}[{key}]", item.frame.scope.inner(names))

    def _finished(self, item: Item, result: Result) -> None:
        item.result = result
        # What never came to an end has no output; what failed may have an empty one.
        told = result.ok or result.output or "captured" in result.values or result.values.get("exit_code") is not None
        if item.node.capture is not None and told:
            value = result.values.get("captured", result.output)
            self._captures(item).put(item.node.capture, value)
        if result.ok:
            self._end(item, "done")
        else:
            self._end(item, "cancelled" if result.outcome == "cancelled" else "failed", result.outcome)

    def _captures(self, item: Item) -> Captures:
        scope = item.frame.scope
        while not isinstance(scope, Captures):
            assert scope.outer is not None  # a workflow's scope is around every step's
            scope = scope.outer
        return scope

    # Ending

    def _skip(self, item: Item, reason: str) -> None:
        self._leave_empty(item, "was skipped")
        self._end(item, "skipped", reason)

    def _leave_empty(self, item: Item, why: str) -> None:
        """What the item would have captured, it or what it holds, is an empty text for whoever comes after it."""
        for name in _captured(item.node):
            if name not in item.frame.scope:
                self._captures(item).put(name, "")
                self._warn(f"{item.path} {why}: '{name}' is empty")

    def _fail(self, item: Item, reason: str) -> None:
        item.result = Result("crashed", reason)
        self._end(item, "failed", reason)

    def _end(self, item: Item, state: State, reason: str = "") -> None:
        """An item has its last state: what that means for its loop, its dependants, its container."""
        item.reason = reason
        item.stamp = max(item.stamp, item.floor)
        if state == "not_run" and not self.counts(item):
            self._leave_empty(item, "did not run")
        item.tolerated = item.node.continue_on_failure
        ran = state in ("done", "failed")
        wanted = {"done": "success", "failed": "failure"}.get(state)
        breaking = ran and item.node.break_if is not None and item.node.break_if == wanted
        self._set(item, state)
        if breaking:
            item.tolerated = True
            self._break(item)
        elif state == "failed" and not item.tolerated and self._counts(item):
            self._stop_around(item)
        self._agenda.append(item)

    def _stop_around(self, item: Item) -> None:
        """After a failure nothing new starts in the workflows around it that fail fast, up to one that goes on."""
        owner = item.frame.owner
        while owner is not None:
            if owner.node.kind == "workflow":
                if not self._fails_fast(owner):
                    return
                owner.stopping = True
                self.stopping = self.stopping or owner is self.root
            owner = owner.frame.owner

    def _fails_fast(self, item: Item | None) -> bool:
        """Whether a workflow says so itself, or the one that calls it."""
        while item is not None and item is not self.root:
            said = item.node.definition.get("fail_fast")
            if said is not None:
                return bool(said)
            item = item.frame.owner
        return self.fail_fast

    def _stopped(self, item: Item) -> bool:
        """Whether nothing new starts where the item stands."""
        owner = item.frame.owner
        while owner is not None:
            if owner.stopping:
                return True
            owner = owner.frame.owner
        return self.stopping

    def counts(self, item: Item) -> bool:
        """Whether its failure would fail the run: neither it nor a container around it tolerates one."""
        node = item.node
        return not node.continue_on_failure and node.break_if != "failure" and self._counts(item)

    def _counts(self, item: Item) -> bool:
        """Whether its failure fails the run: no container around it tolerates one."""
        frame: Frame | None = item.frame
        while frame is not None and frame.owner is not None:
            if frame.broken or frame.owner.node.continue_on_failure:
                return False
            if frame.owner.node.break_if == "failure":
                return False
            frame = frame.owner.frame
        return True

    def _break(self, item: Item) -> None:
        """The nearest loop around it ends with success; groups in between do too."""
        frame = item.frame
        while True:
            frame.broken = True
            for other in frame.items.values():
                if other.state == "pending" and other is not item:
                    other.tolerated = True
            assert frame.owner is not None
            if frame.owner.node.kind != "group":
                return
            frame = frame.owner.frame

    def _withdraw(self) -> None:
        """What was ready and not taken does not start any more, unless it asked to run after failures."""
        kept: deque[Effect] = deque()
        ready, self._ready = self._ready, kept
        for effect in ready:
            item = self._asked[effect.address]
            if item.node.when is not None or not self._counts(item) or not self._stopped(item):
                kept.append(effect)
            else:
                del self._asked[effect.address]
                self._end(item, "not_run", "the run was ending")

    def _close(self, frame: Frame) -> None:
        """All children of a container have ended."""
        owner = frame.owner
        assert owner is not None
        if owner.state in ENDED:
            return
        owner.stamp = max((owner.stamp, *(child.stamp for child in frame.items.values())))
        failed = frame.failed and not frame.broken
        if owner.node.kind == "loop":
            owner.rounds.append({id: view(item) for id, item in frame.items.items()})
        if owner.expired:
            owner.result = Result("timeout", values={"summary": owner.expired})
            self._end(owner, "failed", owner.expired)
        elif owner.node.kind == "loop":
            if frame.broken:
                self._end(owner, "done")
            elif failed:
                self._end(owner, "failed", "a step failed")
            elif self._stopped(owner) and self._counts(owner):
                self._end(owner, "not_run", "the run was ending")
            else:
                self._next_round(owner)
        else:
            self._close_once(owner, frame, failed=failed)

    def _close_once(self, owner: Item, frame: Frame, *, failed: bool) -> None:
        """The end of a group or a workflow, which gives back its outputs."""
        if owner.node.kind == "workflow" and not failed:
            try:
                values = {name: render(text, frame.scope) for name, text in owner.node.outputs.items()}
            except TemplateError as error:
                self._fail(owner, _placed(owner, f"outputs: {error}"))
                return
            owner.result = Result(values=values)
        self._end(owner, "failed" if failed else "done", "a step failed" if failed else "")

    def _settle_all(self) -> None:
        """After a cancel: containers that hold nothing any more have ended as well."""
        for item in reversed(list(self.all())):
            if (
                item.inside is not None
                and item.state not in ENDED
                and not any(child.state not in ENDED for child in item.inside.items.values())
            ):
                self._set(item, "cancelled")

    def _set(self, item: Item, state: State) -> None:
        if item.state != state:
            item.state = state
            self.changed.append(item)


def _captured(node: Node) -> Iterator[str]:
    """The names that a step sets, or what it holds; a sub-workflow's are its own."""
    if node.capture is not None:
        yield node.capture
    if node.kind != "workflow":
        for child in node.children:
            yield from _captured(child)


def _placed(item: Item, sentence: str) -> str:
    """A sentence about what the file says of an item, with its place."""
    return f"{item.node.place}: {sentence}" if item.node.place else sentence
