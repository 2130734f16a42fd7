"""How each agent CLI is called: words, input and environment, through a program of its name on PATH."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runner.handlers import HandlerFile
from runner.model import Attempt, Policy, Step, StepResult
from runner.shipped import shipped
from runner.testing.agent import fake_cli
from runner.testing.context import StepContext
from tests.agents.recordings import agents, recording

HANDLER = HandlerFile(shipped("handlers") / "agent_run.py", "shipped").load()
QUIET = ["-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false"]
PROMPT = "--do it\nnow"

# cli: (what is called anew, what is called to go on in a session "S"); SESSION is an id that we choose
CALLS: dict[str, tuple[list[str], list[str]]] = {
    "codex": (
        ["exec", "--json", "--skip-git-repo-check", *QUIET, "-m", "big", "-c", 'sandbox_mode="workspace-write"', "-"],
        [
            *("exec", "resume", "--json", "--skip-git-repo-check", *QUIET, "-m", "big"),
            *("-c", 'sandbox_mode="workspace-write"', "S", "-"),
        ],
    ),
    "gemini": (
        ["-o", "stream-json", "--skip-trust", "-m", "big", "--approval-mode", "yolo", "--session-id", "SESSION"],
        ["-o", "stream-json", "--skip-trust", "-m", "big", "--approval-mode", "yolo", "--resume", "S"],
    ),
    "qwen": (
        ["-o", "stream-json", "-m", "big", "--approval-mode", "yolo", "--session-id", "SESSION"],
        ["-o", "stream-json", "-m", "big", "--approval-mode", "yolo", "--resume", "S"],
    ),
    "opencode": (
        ["run", "--format", "json", "--dir", "CWD", "-m", "big", "--auto"],
        ["run", "--format", "json", "--dir", "CWD", "-m", "big", "--auto", "-s", "S"],
    ),
}


def run(
    tmp_path: Path, cli: str, scenario: str = "ok", *, previous: Any = (), **payload: Any
) -> tuple[StepResult, Any]:
    """Run the step with a recorded CLI → its result, and the call it saw."""
    one = recording(cli, scenario)
    program = fake_cli(tmp_path / "bin", cli, one.stdout, stderr=one.stderr.encode(), exit_code=one.exit_code)
    (tmp_path / "w").mkdir(exist_ok=True)
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CLAUDECODE": "1", "CODEX_THREAD_ID": "parent"}
    with StepContext(tmp_path / "w", tmp_path / "a", agents=[agents()[cli]], env=env, previous=previous) as context:
        step = Step("main", "agent_run", {"prompt": PROMPT, **payload}, policy=Policy())
        result = HANDLER.run_step(step, context)
    calls = program.calls()
    return result, calls[-1] if calls else None


@pytest.mark.parametrize("cli", CALLS)
def test_a_new_session(cli: str, tmp_path: Path) -> None:
    result, call = run(tmp_path, cli, model="big")
    assert result.outcome == "ok", result
    wanted = [str(tmp_path / "w") if word == "CWD" else word for word in CALLS[cli][0]]
    if "SESSION" in wanted:
        place = wanted.index("SESSION")
        assert len(call["argv"][place]) == 36
        wanted[place] = call["argv"][place]
    assert call["argv"] == wanted
    assert call["stdin"] == PROMPT
    assert call["cwd"] == str(tmp_path / "w")
    assert not {"CLAUDECODE", "CODEX_THREAD_ID"} & set(call["env"])
    assert result.session == recording(cli, "ok").read()[0].session


@pytest.mark.parametrize("cli", CALLS)
def test_a_session_that_goes_on(cli: str, tmp_path: Path) -> None:
    _, call = run(tmp_path, cli, "resume", model="big", session="S")
    assert call["argv"] == [str(tmp_path / "w") if word == "CWD" else word for word in CALLS[cli][1]]


@pytest.mark.parametrize("cli", CALLS)
@pytest.mark.parametrize("level", ["read-only", "edit", "full"])
def test_every_level_of_permission_has_its_words(cli: str, level: str, tmp_path: Path) -> None:
    _, call = run(tmp_path, cli, permission=level)
    words = agents()[cli].permissions[level]  # type: ignore[index]
    assert "|".join(words) in "|".join(call["argv"])


@pytest.mark.parametrize("cli", [name for name in CALLS if agents()[name].cumulative])
def test_a_sessions_sums_are_less_what_was_spent_before(cli: str, tmp_path: Path) -> None:
    session = recording(cli, "resume").read()[0].session
    result, _ = run(tmp_path, cli, "resume", session=session)
    assert result.usage is not None
    assert (result.usage.input_tokens, result.usage.output_tokens) == (None, None), "a sum of unknown parts"
    first = Attempt(
        "t", "main", 1, 1, cli, "w", 0.0, 1.0, "ok", {"session": session, "session_tokens": [200, 40]}, None
    )
    result, _ = run(tmp_path, cli, "resume", session=session, previous=[first])
    total = recording(cli, "resume").read()[0].usage
    assert total is not None
    assert total.input_tokens is not None
    assert result.usage is not None
    assert result.usage.input_tokens == total.input_tokens - 200


@pytest.mark.parametrize("cli", [name for name in CALLS if agents()[name].resume_in == "same"])
def test_a_session_does_not_go_on_where_it_can_not(cli: str, tmp_path: Path) -> None:
    first = Attempt("t", "main", 1, 1, cli, "w", 0.0, 1.0, "ok", {"session": "S", "session_cwd": "/elsewhere"}, None)
    result, call = run(tmp_path, cli, session="S", previous=[first])
    assert call is None
    assert result.outcome == "needs_human"
    assert "only where it began: /elsewhere" in result.evidence["question"]


@pytest.mark.parametrize("cli", sorted(agents()))
def test_every_agent_says_how_it_is_installed_and_logged_in_to(cli: str) -> None:
    agent = agents()[cli]
    if cli != "script":
        assert agent.install
        assert agent.login
        assert "CLAUDECODE" in agent.strip
