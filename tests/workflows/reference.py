"""What a workflow's steps come to, said as plainly as possible: one step after the other, by recursion.

Without concurrency and without fail-fast; the machine must come to the same states in whatever order it is run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.workflows.nodes import Node

GOOD = ("done", "skipped")


@dataclass
class Interpreter:
    """`outcomes(path)` says what a leaf comes to: "ok", or how it fails. `states` are those of the last iteration."""

    outcomes: dict[str, str]
    states: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def frame(self, nodes: tuple[Node, ...], path: str) -> tuple[bool, bool]:
        """Run the children of a container → whether it failed, whether a break_if held."""
        states: dict[str, str] = {}
        tolerated: set[str] = set()
        broken = False
        left = list(nodes)
        while left:
            node = next(node for node in left if all(need in states for need in node.needs))
            left.remove(node)
            here = f"{path}/{node.id}" if path else node.id
            satisfied = all(
                states[need] in GOOD or (states[need] == "failed" and need in tolerated) for need in node.needs
            )
            state, breaks = self.one(node, here, satisfied, broken, states)
            states[node.id] = self.states[here] = state
            if node.continue_on_failure:
                tolerated.add(node.id)
            wanted = {"done": "success", "failed": "failure"}.get(state)
            if breaks or (node.break_if is not None and node.break_if == wanted):
                broken = True
        failed = any(state not in GOOD and id not in tolerated for id, state in states.items())
        return failed and not broken, broken

    def one(self, node: Node, here: str, satisfied: bool, broken: bool, states: dict[str, str]) -> tuple[str, bool]:
        wanted = {None: satisfied, "always()": True, "failure()": not satisfied, "success()": satisfied}[node.when]
        if broken or not (satisfied or (node.when is not None and wanted)):
            return "not_run", False
        if not wanted:
            return "skipped", False
        if node.skip_if == "previous_success" and self.before(node, states) == "done":
            return "skipped", False
        if node.kind == "loop":
            return self.loop(node, here), False
        if node.kind in ("group", "workflow"):
            failed, breaks = self.frame(node.children, here)
            return "failed" if failed else "done", breaks and node.kind == "group"
        self.ran.append(here)
        return "done" if self.outcomes.get(here, "ok") == "ok" else "failed", False

    def before(self, node: Node, states: dict[str, str]) -> str | None:
        needs = node.needs
        while len(needs) == 1:
            if states[needs[0]] != "skipped":
                return states[needs[0]]
            needs = next(other.needs for other in self.siblings(node) if other.id == needs[0])
        return None

    def siblings(self, node: Node) -> tuple[Node, ...]:
        return self.parents[id(node)]

    parents: dict[int, tuple[Node, ...]] = field(default_factory=dict)

    def loop(self, node: Node, here: str) -> str:
        assert node.iterations is not None
        keys = [str(n + 1) for n in range(node.iterations.max or 0)] or list(node.iterations.over or ())
        for key in keys:
            failed, broken = self.frame(node.children, f"{here}[{key}]")
            if broken:
                return "done"
            if failed:
                return "failed"
        return "failed" if node.iterations.max is not None and node.breaks else "done"
