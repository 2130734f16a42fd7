"""The check `agent`: another agent reviews the work, reading only, and answers with a structured verdict."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.agents import make_reader, outcome, plan
from runner.errors import CheckHeld
from runner.logtext import tail
from runner.model import CheckSpec, Verdict
from runner_plugins.check_values import mapping_of
from runner_plugins.gate_process import log_name

if TYPE_CHECKING:
    from runner.agents import Summary
    from runner.model import Agent, Check, Context, Permission, Step, StepResult

TIMEOUT: Final = 900.0
"""Seconds for one answer, when the check does not say."""
_KEYS: Final = ("agent", "prompt", "model", "timeout")
_HELD: Final = ("rate_limited", "auth")
_FENCE: Final = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL)
_ASK: Final = """Review the work in this directory. Change nothing.

What was asked for:
{task}

What was said about it:
{output}

To see what changed: git diff {base}

{more}Judge whether the work does what was asked for, and does it well. Your final message must be one JSON object and
nothing else: {{"ok": true or false, "summary": "one sentence with the reason"}}"""
_AGAIN: Final = """Your last answer was not the JSON object that was asked for. It was:

{answer}

Answer with one JSON object and nothing else: {{"ok": true or false, "summary": "one sentence with the reason"}}"""


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`agent: claude`, `agent: {"agent": "claude", "prompt": "Is it documented?", "model": "…", "timeout": 600}`."""
    return {"agent": CheckSpec("another agent, which only reads, finds the work good", parse)}


def parse(value: Any) -> dict[str, Any]:
    """An agent's name, or a mapping: `agent`, `prompt` (what to look at besides), `model`, `timeout` (seconds)."""
    value = mapping_of(value, _KEYS, "agent")
    for key in ("agent", "prompt", "model"):
        if key in value and (not isinstance(value[key], str) or not value[key].strip()):
            raise ValueError(f"'{key}' must be text")
    limit = value.get("timeout")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0):
        raise ValueError("'timeout' must be seconds, more than 0")
    if "agent" not in value:
        raise ValueError("'agent' is missing: who is to review?")
    return dict(value)


@hookimpl
def verify(check: Check, step: Step, result: StepResult, context: Context) -> Verdict:
    """Ask, and once more when the answer is no verdict.

    A reviewer that can't be asked now (rate limit, log-in) says nothing about the work: CheckHeld.
    """
    given = parse(check.value)
    agent = context.agent(given["agent"])
    prompt = _ASK.format(
        task=_quoted(str(step.payload.get("prompt") or f"a step of type {step.type}")),
        output=_quoted(result.output or "(nothing)"),
        base=context.base or "HEAD",
        more=f"Look at this as well: {given['prompt']}\n\n" if given.get("prompt") else "",
    )
    evidence: dict[str, Any] = {"agent": agent.name}
    for again in (False, True):
        summary, why, log = _answer(agent, prompt, given, check, step, context)
        evidence |= {"stdout": log, "session": summary.session}
        if why:
            return Verdict(False, f"the reviewer '{agent.name}' gave no verdict: {why}", evidence)
        found = _verdict(summary.text)
        if found is not None:
            ok, words = found
            evidence["answer"] = summary.text[:2000]
            return Verdict(ok, f"{agent.name}: {words}", evidence)
        if not again:
            prompt = _AGAIN.format(answer=_quoted(summary.text))
    evidence["answer"] = summary.text[:2000]
    return Verdict(False, f"the reviewer '{agent.name}' gave no verdict: its answer is no JSON with 'ok'", evidence)


def _answer(
    agent: Agent, prompt: str, given: dict[str, Any], check: Check, step: Step, context: Context
) -> tuple[Summary, str, str]:
    """One prompt → what it said, why that is no answer ("" when it is one), and its log."""
    permission: Permission | None = "read-only" if "read-only" in agent.permissions else None
    launch = plan(
        agent, prompt=prompt, cwd=context.workspace, env=context.env, model=given.get("model"), permission=permission
    )
    program = shutil.which(agent.program, path=launch.env.get("PATH", ""))
    reader = make_reader(agent)
    if program is None:
        return reader.summary(), f"the program '{agent.program}' is not on this machine's PATH", ""

    def take(data: bytes) -> None:
        reader.feed(data)  # what it sums up is asked for at the end

    done = context.process(
        [program, *launch.argv[1:]],
        env=launch.env,
        stdin=launch.stdin,
        timeout=float(given.get("timeout") or TIMEOUT),
        silence=agent.silence,
        name=log_name(check, step, context),
        on_output=take,
    )
    reader.close()
    summary = reader.summary()
    decision = outcome(done.exit_code, summary, done.limit, agent=agent, stderr=tail(done.stderr))
    if decision.outcome in _HELD:
        raise CheckHeld(
            decision.outcome,
            f"the reviewer '{agent.name}': {decision.why}",
            decision.retry_at,
            agent.account or agent.name,
        )
    return summary, "" if decision.outcome == "ok" else decision.why, str(done.stdout)


def _verdict(text: str) -> tuple[bool, str] | None:
    """The verdict in an answer: the whole of it, its last fenced block, or its last line."""
    text = text.strip()
    for candidate in (text, *reversed(_FENCE.findall(text)), *reversed(text.splitlines())):
        if not candidate.strip().startswith("{"):
            continue
        try:
            found = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("ok"), bool):
            words = found.get("summary")
            said = " ".join(words.split())[:500] if isinstance(words, str) and words.strip() else "no reason given"
            return found["ok"], said
    return None


def _quoted(text: str) -> str:
    lines = text.strip().splitlines()
    kept = lines if len(lines) <= 80 else [*lines[:40], "…", *lines[-40:]]
    return "\n".join(f"    {line[:500]}" for line in kept)
