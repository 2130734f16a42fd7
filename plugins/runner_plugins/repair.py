"""The default answer to red checks: the same agent again, with the evidence, while repairs are left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.model import Repair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Step, StepResult, Verdict

_NOT_TOLD: Final = frozenset({"check", "value", "sealed", "files"})


@hookimpl(trylast=True)
def repair(step: Step, result: StepResult, verdicts: Sequence[Verdict]) -> Repair:
    """A broken seal is held for a person; an agent's step is repaired by the agent; a script's fails."""
    red = [verdict for verdict in verdicts if not verdict.ok]
    if any(verdict.evidence.get("sealed") for verdict in red):
        return Repair("hold", reason="the gate was edited; a person must look at it")
    if "prompt" not in step.payload:
        return Repair("fail", reason="nothing repairs a script")
    used = int(result.evidence.get("repairs_used") or 0)
    if used >= step.policy.repairs:
        return Repair("hold", reason=f"{used} of {step.policy.repairs} repairs are used up")
    told = [{"summary": v.summary, "evidence": _evidence(v)} for v in red]
    return Repair(
        "agent",
        replace(step, payload={**step.payload, "_repair": told}),
        f"repair {used + 1} of {step.policy.repairs}: {red[0].summary if red else 'a check is red'}",
    )


def _evidence(verdict: Verdict) -> dict[str, Any]:
    """What of the evidence an agent can use: paths, numbers and last lines; walls of text are left in their files."""
    out: dict[str, Any] = {}
    for name, value in verdict.evidence.items():
        if name in _NOT_TOLD or value in (None, "", [], {}):
            continue
        if isinstance(value, str):
            out[name] = value if len(value) <= 2000 else f"…{value[-2000:]}"
        elif isinstance(value, (bool, int, float)):
            out[name] = value
        elif isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            out[name] = ", ".join(value[:10])
    return out
