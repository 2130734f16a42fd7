"""The default answer to red checks: an agent, with the evidence, while repairs are left."""

from __future__ import annotations

import json
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
    """Let the step's agent repair it, or the one that the policy names.

    1. A broken seal is held for a person.
    2. A step without an agent fails, unless the policy names one: that works on what the step found
       wrong, then the step runs again.
    3. When the repairs are used up a person is asked.
    """
    red = [verdict for verdict in verdicts if not verdict.ok]
    if any(verdict.evidence.get("sealed") for verdict in red):
        return Repair("hold", reason="the gate was edited; a person must look at it")
    other = step.policy.repair_agent
    if "prompt" not in step.payload and other is None:
        return Repair("fail", reason="nothing repairs a script")
    used = int(result.evidence.get("repairs_used") or 0)
    if used >= step.policy.repairs:
        return Repair("hold", reason=f"{used} of {step.policy.repairs} repairs are used up")
    told = [{"summary": v.summary, "evidence": _evidence(v)} for v in red]
    reason = f"repair {used + 1} of {step.policy.repairs}: {red[0].summary if red else 'a check is red'}"
    return Repair("agent", _mending(step, result, told), reason)


def _mending(step: Step, result: StepResult, told: list[dict[str, Any]]) -> Step:
    """What the repairing agent is to do: the step again with the evidence, or what the step found wrong."""
    other = step.policy.repair_agent
    if "prompt" in step.payload:
        payload = {**step.payload, "_repair": told}
        if other is not None and other != step.payload.get("agent"):
            # Another agent knows neither the model nor the session of the first.
            payload = {key: value for key, value in payload.items() if key not in ("model", "session")}
            payload["agent"] = other
        return replace(step, payload=payload)
    what = str(step.payload.get("script") or json.dumps(dict(step.payload), ensure_ascii=False))
    prompt = (
        f"A step of type {step.type} did not come out as it must:\n\n    {what[:4000]}\n\nMend what it found wrong."
    )
    if result.output.strip():
        prompt += f"\n\nIts output ended with:\n\n{_indented(result.output)}"
    payload = {"prompt": prompt, "agent": other, "_repair": told}
    return replace(step, type="agent_run", payload=payload)


def _indented(output: str) -> str:
    return "\n".join(f"    {line[:400]}" for line in output.strip().splitlines()[-20:])


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
