"""The environment an agent is launched with: made of the runner's own, of the level and of the launch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.agents import MissingVariable, plan
from runner.errors import UsageError
from runner.handlers import HandlerFile
from runner.model import Agent, Policy, Step
from runner.shipped import shipped
from runner.testing.agent import fake_cli
from runner.testing.context import StepContext
from tests.conftest import Runner

HERE = Path("/here")


def env_of(values: dict[str, str], env: dict[str, str], **given: Any) -> dict[str, str]:
    agent = Agent("acme", "prog", env=values, strip=given.pop("strip", ()), model=given.pop("model", None))
    return dict(plan(agent, prompt="p", cwd=HERE, env=env, **given).env)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("${KEY}", "k1"),
        ("Bearer ${KEY}!", "Bearer k1!"),
        ("${NONE:-https://x/v1}", "https://x/v1"),
        ("${EMPTY:-d}", "d"),
        ("${NONE:-}", ""),
        ("${KEY:-d}", "k1"),
        ("$${KEY}", "${KEY}"),
        ("$KEY $$ {KEY} ${} ${1} ${KEY", "$KEY $$ {KEY} ${} ${1} ${KEY"),
        ("${ODD}", "${KEY} {cwd}"),
        ("{cwd}/{model}", "/here/big"),
    ],
)
def test_a_variable_is_made_of_what_the_runner_has(value: str, wanted: str) -> None:
    own = {"KEY": "k1", "EMPTY": "", "ODD": "${KEY} {cwd}"}
    assert env_of({"X": value}, own, model="big")["X"] == wanted


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["A", "B"]), st.text(alphabet="ab${}:-", max_size=8)), st.text(max_size=20))
def test_what_names_nothing_stays_as_it_is_and_values_are_not_looked_at_again(own: dict[str, str], text: str) -> None:
    plain = text.replace("{", "(")
    assert env_of({"X": plain}, own)["X"] == plain
    assert env_of({"X": "<${A:-none}>"}, own)["X"] == f"<{own.get('A') or 'none'}>"


def test_a_key_can_be_had_under_another_name_and_not_under_its_own() -> None:
    env = env_of({"OPENAI_API_KEY": "${ACME_KEY}"}, {"ACME_KEY": "k1", "A": "b"}, strip=("ACME_*",))
    assert env == {"OPENAI_API_KEY": "k1", "A": "b"}


@pytest.mark.parametrize("own", [{}, {"ACME_KEY": ""}])
def test_a_missing_variable_is_one_sentence_with_agent_variable_and_what_to_do(own: dict[str, str]) -> None:
    with pytest.raises(MissingVariable) as caught:
        env_of({"OPENAI_API_KEY": "${ACME_KEY}"}, own)
    assert isinstance(caught.value, UsageError)
    assert str(caught.value) == (
        "agent 'acme' needs the variable ACME_KEY (for its OPENAI_API_KEY), and it is not set here"
        " (set ACME_KEY in the environment of the worker)"
    )


def test_a_level_has_variables_of_its_own() -> None:
    agent = Agent("a", "prog", env={"MODE": "auto"}, permission_env={"read-only": {"MODE": "chat"}}, permission="full")
    assert plan(agent, prompt="p", cwd=HERE, env={}).env["MODE"] == "auto"
    launch = plan(agent, prompt="p", cwd=HERE, env={}, permission="read-only")
    assert launch.env["MODE"] == "chat"
    assert launch.set == ("MODE",)


def test_the_session_can_be_told_in_a_variable() -> None:
    agent = Agent("a", "prog", env={"HISTORY": "${HOME}/{session}.md"}, resume=("--again",))
    launch = plan(agent, prompt="p", cwd=HERE, env={"HOME": "/h"})
    assert launch.session
    assert launch.env["HISTORY"] == f"/h/{launch.session}.md"
    assert plan(agent, prompt="p", cwd=HERE, env={"HOME": "/h"}, session="s1").env["HISTORY"] == "/h/s1.md"


def test_the_directory_is_filled_in_anywhere() -> None:
    agent = Agent("a", "prog", argv=("-C", "{cwd}", "--log={cwd}/x"), permissions={"edit": ()})
    assert plan(agent, prompt="p", cwd=HERE, env={}).argv == ("prog", "-C", "/here", "--log=/here/x")


def test_a_person_is_asked_for_a_key_that_is_missing_and_nothing_is_run(tmp_path: Path) -> None:
    cli = fake_cli(tmp_path / "bin", "prog", b"")
    agent = Agent("acme", "prog", env={"K": "${ACME_KEY}"})
    env = {"PATH": f"{cli.folder}:{os.environ['PATH']}"}
    handler = HandlerFile(shipped("handlers") / "agent_run.py", "shipped").load()
    with StepContext(tmp_path, tmp_path / "log", agents=(agent,), env=env) as context:
        result = handler.run_step(Step("main", "agent_run", {"prompt": "p"}, policy=Policy()), context)
    assert result.outcome == "needs_human"
    assert result.evidence["question"] == (
        "agent 'acme' needs the variable ACME_KEY (for its K), and it is not set here;"
        " set ACME_KEY in the environment of the worker, then retry"
    )
    assert cli.calls() == []


def test_an_agent_that_extends_another_adds_to_its_variables(project: Path, runner: Runner) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    cli = fake_cli(project.parent / "bin", "prog", b"done")
    (project / "runner.yaml").write_text(
        f"agents:\n"
        f"  base: {{program: {cli.folder / 'prog'}, env: {{A: one, KEY: '${{BASE_KEY}}'}}}}\n"
        f"  mine: {{extends: base, env: {{KEY: '${{MY_KEY:-none}}', DIR: '{{cwd}}'}}}}\n"
    )
    runner.ok("submit", "--agent", "mine", "p")
    runner("work", "--drain")
    seen = cli.calls()[0]
    assert (seen["env"]["A"], seen["env"]["KEY"], seen["env"]["DIR"]) == ("one", "none", seen["cwd"])
    assert seen["stdin"] == "p"
