"""The checks of a step, each answered by its owner; all verdicts are kept, with what shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.engine.step import sentence
from runner.errors import Cancelled, CheckHeld, LostClaim, RunnerError, StoreError
from runner.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.app import App
    from runner.engine.context import TaskContext
    from runner.model import Check, Step, StepResult


def verify(app: App, checks: Sequence[Check], step: Step, result: StepResult, context: TaskContext) -> list[Verdict]:
    """A verdict for each check, in order; each names its check in the evidence."""
    return [_one(app, check, step, result, context) for check in checks]


def _one(app: App, check: Check, step: Step, result: StepResult, context: TaskContext) -> Verdict:
    context.progress(str(check))
    try:
        answer = app.owner("verify", check.type)(check=check, step=step, result=result, context=context)
        verdict = _verdict(check, answer[0] if isinstance(answer, list) and answer else answer)
    except (Cancelled, LostClaim, StoreError, CheckHeld):
        raise
    except RunnerError as error:
        verdict = Verdict(False, f"{check}: {error}")
    except Exception as error:
        verdict = Verdict(False, f"{check}: {sentence(error)}")
    return replace(verdict, evidence={**verdict.evidence, "check": check.type, "value": check.value})


def _verdict(check: Check, answer: Any) -> Verdict:
    if isinstance(answer, Verdict):
        return answer
    if isinstance(answer, bool):
        return Verdict(answer, f"{check}: {'holds' if answer else 'does not hold'}")
    return Verdict(False, f"{check}: its owner answered {answer!r}, not a Verdict or bool")


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Verdicts as `verdicts.json` and `runner show` hold them."""
    return [{"ok": v.ok, "summary": v.summary, "evidence": dict(v.evidence)} for v in verdicts]
