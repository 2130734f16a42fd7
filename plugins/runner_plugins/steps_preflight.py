"""The step `preflight`: commands that must come out as they should before anything else runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.logtext import last_line, whole
from runner.model import StepResult, TypeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Context, Step


@hookimpl
def register_types() -> Mapping[str, TypeSpec]:
    """The type `preflight`, for steps of workflows."""
    return {"preflight": TypeSpec(inside=True, summary="Look whether the run can begin.")}


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Each command in order; the first that is not as it should be ends the step."""
    for number, check in enumerate(step.payload["checks"]):
        wrong = _one(number + 1, check, context)
        if wrong:
            name = check.get("description") or check["command"]
            return StepResult("check_failed", evidence={"error": f"preflight '{name}': {wrong}"})
    return StepResult()


def _one(number: int, check: Mapping[str, Any], context: Context) -> str:
    from runner.templates import Command  # here: whoever only asks for the types must not pay for it

    command = Command(str(check["command"]), tuple(check.get("values") or ()))
    script = command.script(context.folder / f"values-{number}")
    done = context.process(["sh", "-c", script], timeout=float(check.get("timeout") or 30), name=str(number))
    if done.limit == "timeout":
        return f"it took longer than {float(check.get('timeout') or 30):g} s"
    output = whole(done.stdout) or ""
    fails, succeeds = check.get("fail_if"), check.get("success_if")
    if fails is None and succeeds is None and done.exit_code != 0:
        return last_line(done.stderr) or f"exit {done.exit_code}"
    if fails is not None and _holds(str(fails), output):
        return f"its output is {_words(str(fails))}: {output[:200]}".rstrip(": ")
    if succeeds is not None and not _holds(str(succeeds), output):
        return f"its output is not {_words(str(succeeds))}: {output[:200]}".rstrip(": ")
    return ""


def _holds(condition: str, output: str) -> bool:
    if condition in ("non-empty", "empty"):
        return bool(output.strip()) == (condition == "non-empty")
    return re.search(condition, output) is not None


def _words(condition: str) -> str:
    return condition if condition in ("non-empty", "empty") else f"like /{condition}/"
