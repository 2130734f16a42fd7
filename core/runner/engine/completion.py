"""What an agent's own word means: it can say that it is not done, never that it is; and by what a step was complete."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.model import Verdict

if TYPE_CHECKING:
    from runner.engine.tried import Tried


def outcome(tried: Tried) -> str:
    """`ok`, or what becomes of an attempt whose checks are green, but which says itself that it is not done."""
    result = tried.result
    word, reason = str(result.evidence.get("decision") or ""), str(result.evidence.get("decision_reason") or "")
    said = f"it says itself: {word}{f' ({reason})' if reason else ''}"
    if word == "INCOMPLETE_RETRY":
        tried.result = replace(result, evidence={**result.evidence, "error": said})
        return "no_op"
    if word == "NEEDS_CLARIFICATION":
        tried.result = replace(result, evidence={**result.evidence, "question": reason or result.output[-500:]})
        return "needs_human"
    if word == "INCOMPLETE_FAIL":
        tried.verdicts.append(Verdict(False, said, {"check": "decision"}))
        tried.given_up = True
        return "check_failed"
    return "ok"


def completed_by(tried: Tried, step: str) -> str:
    """What speaks for it first: `checks`, `decision`, `marker`, or the `evidence` that what was expected is there."""
    checks = [one for one in tried.verdicts if one.ok and one.evidence.get("check") not in (None, "seal")]
    if checks:
        return "checks"
    if tried.result.evidence.get("decision") == "COMPLETE":
        return "decision"
    if tried.result.evidence.get("marker") in (step, step.rpartition("/")[2]):
        return "marker"
    return "evidence"
