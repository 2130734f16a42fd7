"""The step `gate`: a question that a person answers; until then its branch of the run waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.model import StepResult, TypeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Context, Step


@hookimpl
def register_types() -> Mapping[str, TypeSpec]:
    """The type `gate`, for steps of workflows."""
    return {"gate": TypeSpec(inside=True, summary="Ask a person, and wait for the answer.")}


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """The answer when there is one; the default once the deadline has passed; else the question."""
    payload, answer = step.payload, context.task.answer
    options = [str(one) for one in payload.get("options") or ()]
    if answer is not None and (not options or answer in options):
        return StepResult(output=answer, evidence={"answer": answer})
    default, deadline = payload.get("default"), payload.get("deadline")
    asked = float(payload.get("_asked") or time.time())
    if default is not None and deadline is not None and time.time() >= asked + float(deadline):
        return StepResult(output=str(default), evidence={"answer": str(default), "deadline_passed": True})
    evidence: dict[str, Any] = {"question": str(payload["question"]), "options": options}
    if deadline is not None and default is not None:
        evidence |= {"deadline_at": asked + float(deadline), "default": str(default)}
    return StepResult("needs_human", evidence=evidence)
