"""Authoring checks of prompts: what agents are asked for that they don't do, and what the runner does itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runner.workflows.authoring_gates import PATH
from runner.workflows.authoring_steps import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.workflows.authoring_flow import Flow

_LONG: Final = 50
"""Lines of a prompt that is the work of several steps."""
_MANY: Final = 4
"""Files that one step should not edit."""
_SHORT: Final = 1800.0
"""Seconds that a run of several agents takes easily."""
_NOT: Final = re.compile(r"\b(?:not|never|without|don't|doesn't|avoid|no)\b", re.IGNORECASE)
_EXITS: Final = re.compile(
    r"\b(?:type|run|say|send|print|output|enter|issue|use|with|then)\s+[`'\"]?/(?:exit|quit)\b(?![/\w])|\bremove_agent\b"
    r"|\b(?:exit|quit|close|end|terminate|kill)\s+(?:the|this|your)\s+(?:session|terminal|process|cli|chat|agent)\b"
    r"|\b(?:terminate|kill|stop)\s+yourself\b",
    re.IGNORECASE,
)
_COMMITS: Final = re.compile(
    r"\bgit (?:commit|push)\b|\bgh pr create\b|\bcommit (?:and push )?(?:your|the|all|these|those|every)\b"
    r"|\b(?:open|create|submit|raise) (?:a|the) (?:new )?(?:pr\b|pull request|merge request)"
    r"|\b(?:make|create) (?:a|the) (?:git )?commit\b",
    re.IGNORECASE,
)
_EDITS: Final = re.compile(r"\b(?:edit|modify|change|update|implement|fix|refactor|rewrite|migrate)\b", re.IGNORECASE)


def clauses(prompt: str) -> list[str]:
    """A prompt's sentences: what a word like "not" is about."""
    return [part for part in re.split(r"(?<=[.;!?])\s+|\n\s*\n|\n(?=\s*(?:[-*]|\d+[.)])\s)", prompt) if part.strip()]


def _asked(pattern: re.Pattern[str], prompt: str) -> str | None:
    """The words of a prompt that ask for it; None when there are none, or it is forbidden."""
    for clause in clauses(prompt):
        found = pattern.search(clause)
        if found is not None and not _NOT.search(clause[: found.start()]):
            return " ".join(found[0].split())
    return None


def exit_instructions(flow: Flow) -> Iterator[Finding]:
    """A prompt tells the agent how to end its session (`/exit`, "terminate yourself").

    The runner ends it when the work is done; agents that end themselves leave before it is. Leave it away.
    """
    for spot in flow.agents:
        words = None if spot.at_terminal else _asked(_EXITS, spot.prompt)
        if words is not None:
            yield spot.says(f"'{words}' tells the agent to end itself; the runner does that", "leave it away")


def long_prompt(flow: Flow) -> Iterator[Finding]:
    """A prompt of more than 50 lines: the work of several steps, of which an agent does the first.

    One agent, one deliverable, 10 to 20 lines. Make several steps of it, or put what is to be known into a
    file that the prompt names.
    """
    for spot in flow.agents:
        lines = sum(1 for line in spot.prompt.splitlines() if line.strip())
        if lines > _LONG:
            yield spot.says(f"its prompt has {lines} lines", "make several steps of it, or name a file to read")


def many_files(flow: Flow) -> Iterator[Finding]:
    """One step is to edit four files or more: agents do one or two, and end.

    One step for each file with a check after it, or a loop over them.
    """
    for spot in flow.agents:
        if not spot.one_shot or not spot.writes or not _EDITS.search(spot.prompt):
            continue
        if any(name in ("command", "custom", "git_changed", "agent") for name, _ in spot.checks):
            continue
        files = dict.fromkeys(re.findall(PATH, spot.prompt))
        if len(files) >= _MANY:
            yield spot.says(
                f"it is to edit {len(files)} files", "one step a file, each with a check; or a loop over them"
            )


def agent_commits(flow: Flow) -> Iterator[Finding]:
    """A prompt asks the agent to commit, to push or to open a pull request.

    Agents say that they did and have not. Let a command do it (`git add … && git commit …`), or look
    afterwards: a step with `git log -1` or `git status`, the checks `pr_url` or `command`.
    """
    looks = [
        spot
        for spot in flow.leaves
        if any(
            re.search(r"\bgit (?:log|rev-parse|show|rev-list|status)\b|\bgh pr (?:view|list)\b", one.text)
            for one in spot.commands()
        )
    ]
    seen = flow.set(looks)
    for spot in flow.agents:
        words = None if spot.at_terminal else _asked(_COMMITS, spot.prompt)
        if words is None or "pr_url" in dict(spot.checks) or (flow.after(spot) | spot.bit) & seen:
            continue
        yield spot.says(f"'{words}' is left to the agent, and nothing looks whether it did", "let a command do it")


def self_review_timeout(flow: Flow) -> Iterator[Finding]:
    """A review by one prompt has no time limit, neither its own nor the run's: some never end.

    Give the step `timeout: 5m`.
    """
    if flow.workflow.timeout is not None:
        return
    for spot in flow.agents:
        reviews = spot.given.get("preset") == "reviewer" or re.search(r"(?:^|[-_.])review", spot.node.id)
        if spot.one_shot and reviews and spot.given.get("timeout") is None:
            yield spot.says("a review without a time limit", "say `timeout: 5m`")


def short_timeout(flow: Flow) -> Iterator[Finding]:
    """The whole run has less than 30 minutes, and several agents to wait for.

    Work that was nearly done is thrown away. An hour is a good start.
    """
    limit = flow.workflow.timeout
    several = len(flow.agents) > 2 or any(spot.in_loop for spot in flow.agents)
    if limit is not None and limit < _SHORT and several:
        place = flow.loaded.source.place("timeout")
        yield Finding(
            place, f"the run has {limit / 60:g} minutes for {len(flow.agents)} agent steps", "say `timeout: 1h`"
        )


CHECKS: Final = (
    exit_instructions,
    long_prompt,
    many_files,
    agent_commits,
    self_review_timeout,
    short_timeout,
)
