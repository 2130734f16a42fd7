"""From a task's row to the step that runs: its policy, its checks, its key, its environment."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from runner.model import Check, Policy, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.app import App
    from runner.model import Attempt, Claim, Task

MAIN = "main"
"""The path of the one step of a lone task."""


def policy_of(spec: Mapping[str, Any]) -> Policy:
    """The policy that was written down at submit."""
    given = {name: value for name, value in spec.get("policy", {}).items() if value is not None}
    for name in ("may_edit", "protect", "artifacts"):
        given[name] = tuple(given.get(name, ()))
    return Policy(**given)


def step_of(app: App, task: Task) -> Step:
    """The step of a lone task."""
    payload = dict(task.payload)
    if task.agent is not None:
        payload.setdefault("agent", task.agent)
    own = tuple(Check(one["type"], one.get("value")) for one in task.spec.get("checks", ()))
    return completed(app, Step(MAIN, task.type, payload, own, policy_of(task.spec), f"{task.id}/{MAIN}"))


def completed(app: App, step: Step) -> Step:
    """The step with what its type always checks first, and the files that its checks go by protected."""
    named = {check.type for check in step.checks}
    implicit = tuple(check for check in app.types[step.type].implicit_checks if check.type not in named)
    checks = implicit + step.checks
    gate = gate_files(app, checks)
    policy = step.policy
    if gate:
        policy = replace(policy, protect=tuple(dict.fromkeys((*policy.protect, *gate))))
    return replace(step, checks=checks, policy=policy)


def gate_files(app: App, checks: Sequence[Check]) -> list[str]:
    """The files of the workspace that checks say they go by: to be sealed with them."""
    found: list[str] = []
    for check in checks:
        spec = app.checks.get(check.type)
        if spec is not None and spec.files is not None:
            found += spec.files(check.value)
    return found


_RETRIED: Final = frozenset({"crashed", "timeout", "stalled", "no_op"})
_FREE: Final = frozenset({None, "rate_limited", "auth", "lost_claim"})


def repairs_spent(previous: Sequence[Attempt], attempts: int) -> int:
    """The repairs of earlier claims that still count: a retry goes on counting, a person's word begins anew.

    `attempts` is how many the task has spent since then. What nobody could help (a limit, a lost claim) spends none.
    """
    count = 0
    for _, group in reversed([(epoch, list(them)) for epoch, them in groupby(previous, lambda one: one.epoch)]):
        last = group[-1].outcome
        if last in _RETRIED and attempts > 0:
            attempts -= 1
        elif last not in _FREE:
            break
        count += sum(one.repair and one.agent is not None and one.outcome not in _FREE for one in group)
    return count


def contract_env(app: App, claim: Claim, attempt: int, step: Step, machine: str) -> dict[str, str]:
    """The variables that identify the work to every child (`RUNNER_STEP_KEY` is stable across attempts)."""
    task = claim.task
    assert task is not None
    return {
        **app.child_env(),
        "RUNNER_WORK_UNIT_ID": task.unit or task.id,
        "RUNNER_TASK_ID": task.id,
        "RUNNER_RUN_ID": task.id,
        "RUNNER_DEVICE_ID": machine,
        "RUNNER_ATTEMPT": str(attempt),
        "RUNNER_STEP_KEY": step.key,
        "RUNNER_EPOCH": str(claim.epoch),
    }
