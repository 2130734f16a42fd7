"""What an agent is told besides its task: the red checks it is to repair, how the last attempt ended, an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.model import Attempt

REPAIR_HEADING: Final = "## What the checks say about your work"
"""Starts the part of a prompt that asks for a repair."""

RETRY_HEADING: Final = "## The attempt before this one"
ANSWER_HEADING: Final = "## An answer to your question"


def compose(
    prompt: str,
    *,
    repair: Sequence[Mapping[str, Any]] = (),
    previous: Sequence[Attempt] = (),
    question: str | None = None,
    answer: str | None = None,
) -> str:
    """The prompt with what happened since it was written: at most one of repair and retry, and an answer."""
    parts = [prompt.rstrip()]
    if answer:
        parts.append(
            "\n".join([ANSWER_HEADING, "", f"You asked: {question or 'for help'}", f"A person says: {answer}"])
        )
    if repair:
        parts.append("\n".join(_repair(repair)))
    elif previous:
        parts.append("\n".join(_retry(previous[-1])))
    if len(parts) == 1:
        return prompt
    return "\n\n".join(parts) + "\n"


def _repair(red: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = [
        REPAIR_HEADING,
        "",
        "Your work is still here, in this directory. The checks were run on it; these did not pass:",
        "",
    ]
    for number, verdict in enumerate(red, 1):
        lines.append(f"{number}. {verdict.get('summary', '')}")
        evidence = verdict.get("evidence")
        for name, value in evidence.items() if isinstance(evidence, dict) else ():
            if name != "tail":
                lines.append(f"   {name}: {value}")
        tail = evidence.get("tail") if isinstance(evidence, dict) else None
        if isinstance(tail, str) and tail.strip():
            lines += ["   last lines:", *(f"   | {line}" for line in tail.splitlines())]
    lines += [
        "",
        "Change the work so that they pass. The same checks run again. Do not edit the checks, the existing tests or",
        "their configuration: that is noticed, and ends the task.",
    ]
    return lines


def _retry(last: Attempt) -> list[str]:
    if last.outcome in (None, "ok", "rate_limited", "auth", "lost_claim", "cancelled", "needs_human"):
        how = "An earlier attempt was interrupted."
    else:
        how = f"An earlier attempt ended as: {last.outcome}."
    lines = [RETRY_HEADING, "", f"{how} What it did is still in this directory; look before you start over."]
    result = last.result or {}
    words = result.get("error") or result.get("summary")
    if isinstance(words, str) and words.strip() and last.outcome not in (None, "ok"):
        lines.append(f"What was said about it: {' '.join(words.split())[:500]}")
    folder = result.get("folder")
    if isinstance(folder, str):
        lines.append(f"Its logs: {folder}")
    return lines
