"""What a task consists of, for the executor: one step of its own, or those of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.engine.leaf import Assignment
from runner.engine.plan import MAIN, repairs_spent, step_of
from runner.workflows.items import Result
from runner.workflows.machine import Machine
from runner.workflows.nodes import Node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.engine.account import Account
    from runner.engine.flow import Flow
    from runner.engine.held import Held
    from runner.engine.tried import LeafEnd
    from runner.engine.waits import Wait
    from runner.model import Attempt
    from runner.workflows.items import Effect


class Lone:
    """A task that is one step."""

    concurrency = 1
    account: Account | None = None
    """What people are told of its steps: nobody watches the one step apart from its task."""
    resume_from: str | None = None
    """The snapshot that the workspace is to be made from, when not from the last one."""

    def __init__(self, held: Held, previous: Sequence[Attempt]) -> None:
        task = held.task
        self._assignment = Assignment(
            step=step_of(held.app, task),
            task=task,
            previous=tuple(previous),
            repaired=repairs_spent(previous, task.attempts),
            budget=task.spec.get("budget"),
            lone=True,
        )
        self.workplace = held.app.types[task.type].workplace
        self.machine = Machine(Node(task.id, "workflow", children=(Node(MAIN, "task"),)), {})

    def expire(self) -> None:
        """Its time is the attempt's."""

    def begin(self) -> None:
        """The attempt's folder is all it has."""

    def close(self) -> None:
        """Nothing is open."""

    def answer(self, effect: Effect) -> Result | None:
        """Nothing is known of it before."""
        return None

    def waits(self, effect: Effect) -> Wait | None:
        """It never has to wait before it runs."""
        return None

    def assignment(self, effect: Effect) -> Assignment | Result:
        """The step, as it was submitted."""
        return self._assignment

    def kept(self, effect: Effect, end: LeafEnd) -> dict[str, Any]:
        """The settlement keeps all there is."""
        return {}

    def result(self, effect: Effect, end: LeafEnd, body: Mapping[str, Any]) -> Result:
        """What the machine is told."""
        return Result(end.outcome, end.tried.result.output, stamp=end.tried.n)


def graph_of(held: Held, previous: Sequence[Attempt]) -> Lone | Flow:
    """The steps of a claimed task."""
    if held.app.types[held.task.type].container:
        from runner.engine.flow import Flow  # here: only workflows pay for pydantic and templates

        return Flow(held, previous)
    return Lone(held, previous)
