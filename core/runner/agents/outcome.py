"""What an agent's end means: exit code, terminal event and known error texts, never its word alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from runner.statuses import OUTCOMES

if TYPE_CHECKING:
    from runner.agents.reader import Summary
    from runner.model import Agent


_LIMITS: Final = {"timeout": "timeout", "stalled": "stalled", "first_output": "stalled", "max_output": "budget"}
"""What a limit of the process means for the attempt."""


class Decision(NamedTuple):
    """The outcome of an attempt, when it may be tried again (Unix time), and why in one sentence ("" for ok)."""

    outcome: str
    retry_at: float | None = None
    why: str = ""


def outcome(
    exit_code: int, summary: Summary, limit: str | None = None, *, agent: Agent | None = None, stderr: str = ""
) -> Decision:
    """What the attempt came to. `limit` is the process's (as in ProcessResult), `stderr` its end.

    1. A limit that was reached (output without end waits for a person: another try would be as long); but
       when the agent was waiting for its provider then, that.
    2. What the terminal event says, made exact by the agent's known error texts.
    3. No terminal event, or an exit code that is not 0: known error texts, the agent's own exit codes, else crashed.
    4. Denied every tool it tried: waits for permission. Else ok, which only the checks can confirm.
    """
    if limit in _LIMITS:
        if summary.waiting and not summary.final:
            return Decision(summary.waiting, summary.retry_at, f"it was waiting for its provider: {summary.error}")
        return Decision(_LIMITS[limit], None, _limit_words(limit, agent))
    if summary.outcome is not None:
        named = None
        if summary.outcome == "crashed":
            named = _known(agent, summary.error) or _by_code(agent, exit_code)
        return Decision(named or summary.outcome, summary.retry_at, _sentence(summary.error) or summary.outcome)
    ended = limit == "ended" and summary.final
    if not summary.final or (exit_code != 0 and not ended):
        return _broken_off(exit_code, summary, agent, stderr)
    if agent is not None and agent.format == "text":
        # A format without a terminal event: some of its CLIs exit 0 whatever happened and say it in words.
        named = _known(agent, f"{summary.text[-4000:]}\n{stderr}")
        if named:
            return Decision(named, summary.retry_at, _last(summary.text) or _last(stderr))
    if summary.question:
        return Decision("needs_human", None, summary.question)
    if summary.denied and summary.tools <= len(summary.denied):
        return Decision(
            "awaiting_permission", None, f"it was not allowed to use {', '.join(sorted(set(summary.denied)))}"
        )
    return Decision("ok")


def _limit_words(limit: str, agent: Agent | None) -> str:
    if limit == "first_output":
        return f"it said nothing for {_span(agent.first_output if agent else None)}"
    if limit == "max_output":
        most = agent.max_output if agent else None
        return "it printed more than it may" if most is None else f"it printed more than {most} bytes (its max_output)"
    return {"timeout": "it took longer than its time limit", "stalled": "it was silent for too long"}[limit]


def _span(seconds: float | None) -> str:
    return "too long at its start" if seconds is None else f"{seconds:g} s"


def _broken_off(exit_code: int, summary: Summary, agent: Agent | None, stderr: str) -> Decision:
    # An answer about rate limits is no rate limit: only of plain text, where errors stand in it, it is read.
    said = summary.text[-4000:] if agent is not None and agent.format == "text" else ""
    named = _known(agent, f"{summary.error}\n{said}\n{stderr}")
    words = _sentence(summary.error) or _last(stderr)
    how = f"it ended by signal {-exit_code}" if exit_code < 0 else f"it exited with {exit_code}"
    if not summary.final:
        how += " before its final event"
    named = named or _by_code(agent, exit_code) or summary.waiting
    return Decision(named or "crashed", summary.retry_at, f"{how}: {words}" if words else how)


def _known(agent: Agent | None, text: str) -> str | None:
    """The outcome that one of the agent's known error texts means; a wrong pattern never matches."""
    for pattern, name in (agent.errors if agent else {}).items():
        try:
            if name in OUTCOMES and re.search(pattern, text, re.IGNORECASE):
                return name
        except re.error:
            continue
    return None


def _by_code(agent: Agent | None, exit_code: int) -> str | None:
    """The outcome that an exit code of the agent's own means."""
    named = (agent.exit_codes if agent else {}).get(exit_code)
    return named if named in OUTCOMES else None


def _sentence(text: str) -> str:
    return " ".join(text.split())[:300]


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
