"""Runs a step of an agent with a program of the CLI's name on PATH, which prints what a real one printed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.handlers import HandlerFile
from runner.model import Policy, Step, StepResult
from runner.shipped import shipped
from runner.testing.agent import fake_cli
from runner.testing.context import StepContext
from tests.agents.recordings import agents, recording

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import Agent

HANDLER = HandlerFile(shipped("handlers") / "agent_run.py", "shipped").load()
PROMPT = "--do it\nnow"


class Played(NamedTuple):
    """The step's result, and the call that the program saw (None: it was not called)."""

    result: StepResult
    call: dict[str, Any] | None

    @property
    def argv(self) -> list[str]:
        assert self.call is not None
        words: list[str] = self.call["argv"]
        return words

    @property
    def env(self) -> dict[str, str]:
        assert self.call is not None
        env: dict[str, str] = self.call["env"]
        return env


def play(
    tmp_path: Path,
    agent: Agent | str,
    scenario: str = "ok",
    *,
    cli: str = "",
    env: dict[str, str] | None = None,
    **payload: Any,
) -> Played:
    """Run the agent's step while its program (`cli`: whose recordings) prints the recorded scenario."""
    agent = agents()[agent] if isinstance(agent, str) else agent
    one = recording(cli or agent.name, scenario)
    program = fake_cli(tmp_path / "bin", agent.program, one.stdout, stderr=one.stderr.encode(), exit_code=one.exit_code)
    (tmp_path / "w").mkdir(exist_ok=True)
    given = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CLAUDECODE": "1", "COPILOT_CLI": "1", **(env or {})}
    with StepContext(tmp_path / "w", tmp_path / "a", agents=[agent], env=given) as context:
        step = Step("main", "agent_run", {"prompt": PROMPT, **payload}, policy=Policy())
        result = HANDLER.run_step(step, context)
    calls = program.calls()
    if calls:
        # Whatever the CLI: all of the prompt on stdin, in the workspace, without what a parent left behind.
        assert calls[-1]["stdin"] == PROMPT
        assert not any("do it" in word for word in calls[-1]["argv"])
        assert calls[-1]["cwd"] == str(tmp_path / "w")
        assert not {"CLAUDECODE", "COPILOT_CLI"} & set(calls[-1]["env"])
    return Played(result, calls[-1] if calls else None)


Row = tuple[str, str, str, str, tuple[int | None, int | None]]
"""Outcome, a part of why, start of the session's id, final text, tokens read and written."""


def came_to(cli: str, scenario: str) -> Row:
    """What the recording came to, the parts of texts cut to what a table can hold."""
    summary, decision = recording(cli, scenario).decide()
    usage = summary.usage
    tokens = (usage.input_tokens, usage.output_tokens) if usage else (None, None)
    assert (decision.why == "") == (decision.outcome == "ok")
    return decision.outcome, decision.why, (summary.session or "")[:8], summary.text, tokens
