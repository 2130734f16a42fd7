"""Red checks repaired by another agent: by flag, by the type's section, for a script as for an agent."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Runner

CHECK = "command: python3 -m unittest -q"


def git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def broken(project: Path) -> Path:
    """A repository whose one test is red, and two more agents: the scripted one under other names."""
    (project / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (project / "test_calc.py").write_text(
        "import unittest\nfrom calc import add\n\n\nclass T(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n"
    )
    (project / "runner.yaml").write_text(
        "agents:\n  fixer: {extends: script}\n  gone: {extends: script, program: no-such-program-anywhere}\n"
    )
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "A bug")
    return project


def submit(runner: Runner, *words: str) -> str:
    id: str = runner.ok("submit", *words, "--format", "json").json["id"]
    return id


def show(runner: Runner, id: str) -> dict[str, Any]:
    task: dict[str, Any] = runner.ok("show", id, "--format", "json").json
    return task


def attempts(runner: Runner, id: str) -> list[tuple[str | None, str, bool]]:
    found = runner.ok("why", id, "--format", "json").json["attempts"]
    return [(one["agent"], one["outcome"], one["repair"]) for one in found]


FIX = (
    "Make add() add. [[on-first: [[edit: calc.py :: a - b :: a * b]] ]]"
    " [[on-repair: [[edit: calc.py :: a * b :: a + b]] ]]"
)


def test_another_agent_repairs_what_the_first_did(broken: Path, runner: Runner) -> None:
    id = submit(runner, "--agent", "script", "--repair-agent", "fixer", "--check", CHECK, FIX)
    runner.ok("work", "--drain")
    assert show(runner, id)["status"] == "done"
    assert attempts(runner, id) == [("script", "check_failed", False), ("fixer", "ok", True)]
    assert "a + b" in git(broken, "show", f"runner/{id}:calc.py")


def test_the_type_names_who_repairs_and_how_often(broken: Path, runner: Runner) -> None:
    with open(broken / "runner.yaml", "a") as file:
        file.write("types:\n  agent_run:\n    repair: {agent: fixer, attempts: 1}\n")
    prompt = (
        "Try. [[on-first: [[edit: calc.py :: a - b :: a * b]] ]] [[on-repair: [[edit: calc.py :: a * b :: a / b]] ]]"
    )
    id = submit(runner, "--agent", "script", "--check", CHECK, prompt)
    assert runner("work", "--drain").code == 3
    assert attempts(runner, id) == [("script", "check_failed", False), ("fixer", "check_failed", True)]
    task = show(runner, id)
    assert (task["status"], task["outcome"]) == ("needs_human", "check_failed")
    assert any(one["name"] == "BLOCKED-main.md" for one in task["artifacts"])


def test_a_red_script_is_mended_by_an_agent_and_run_again(broken: Path, runner: Runner) -> None:
    """The scripted agent does what the evidence in its prompt tells it: here, the script's own output."""
    (broken / "hint.txt").write_text("[[edit: calc.py :: a - b :: a + b]]\n")
    git(broken, "add", "-A")
    git(broken, "commit", "-q", "-m", "A hint")
    payload = json.dumps({"script": "cat hint.txt; python3 -m unittest -q"})
    id = submit(runner, "--type", "run_script", "--payload", payload, "--repair-agent", "fixer")
    runner.ok("work", "--drain")
    task = show(runner, id)
    assert (task["status"], task["result"]["exit_code"]) == ("done", 0)
    assert attempts(runner, id) == [(None, "check_failed", False), ("fixer", "ok", True), (None, "ok", True)]
    assert "a + b" in git(broken, "show", f"runner/{id}:calc.py")


@pytest.mark.parametrize("edit", ["[[write: check.sh <<exit 0]]", "[[write: test_calc.py <<pass]]"])
def test_who_mends_a_script_may_not_edit_what_it_runs(broken: Path, runner: Runner, edit: str) -> None:
    (broken / "check.sh").write_text("python3 -m unittest -q\n")
    (broken / "hint.txt").write_text(f"{edit}\n")
    git(broken, "add", "-A")
    git(broken, "commit", "-q", "-m", "A script")
    payload = json.dumps({"script": "cat hint.txt; sh check.sh"})
    id = submit(runner, "--type", "run_script", "--payload", payload, "--repair-agent", "fixer")
    assert runner("work", "--drain").code == 3
    task = show(runner, id)
    assert (task["status"], task["outcome"]) == ("needs_human", "check_failed")
    assert "the gate was edited" in task["question"]
    assert attempts(runner, id) == [(None, "check_failed", False), ("fixer", "check_failed", True)]


def test_a_script_that_stays_red_asks_a_person_when_repairs_are_used_up(broken: Path, runner: Runner) -> None:
    payload = json.dumps({"script": "exit 7"})
    words = ("--repair-agent", "fixer", "--repairs", "1")
    id = submit(runner, "--type", "run_script", "--payload", payload, *words)
    assert runner("work", "--drain").code == 3
    task = show(runner, id)
    assert (task["status"], task["outcome"]) == ("needs_human", "check_failed")
    assert [outcome for _, outcome, _ in attempts(runner, id)] == ["check_failed", "ok", "check_failed"]


def test_a_script_without_a_repairer_fails_as_before(broken: Path, runner: Runner) -> None:
    id = submit(runner, "--type", "run_script", "--payload", json.dumps({"script": "exit 7"}))
    assert runner("work", "--drain").code == 1
    assert show(runner, id)["status"] == "failed"


def test_a_repairer_that_is_not_installed_is_said_and_nothing_is_lost(broken: Path, runner: Runner) -> None:
    id = submit(runner, "--agent", "script", "--repair-agent", "gone", "--check", CHECK, FIX)
    assert runner("work", "--drain").code == 3
    task = show(runner, id)
    assert task["status"] == "needs_human"
    assert "no-such-program-anywhere" in task["question"]


def test_a_repairer_may_not_edit_the_gate_though_the_step_might(broken: Path, runner: Runner) -> None:
    prompt = "x [[on-first: [[edit: calc.py :: a - b :: a * b]] ]] [[on-repair: [[edit: test_calc.py :: 5 :: 6]] ]]"
    words = ("--agent", "script", "--repair-agent", "fixer", "--may-edit", "test_calc.py", "--check", CHECK)
    id = submit(runner, *words, prompt)
    assert runner("work", "--drain").code == 3
    assert "the gate was edited: test_calc.py changed" in show(runner, id)["result"]["summary"]


def test_an_unknown_repairer_is_refused_at_once_and_in_the_configuration(broken: Path, runner: Runner) -> None:
    wrong = runner("submit", "--agent", "script", "--repair-agent", "fixr", "x")
    assert wrong.code == 2
    assert "no agent is called 'fixr' (did you mean 'fixer'?)" in wrong.stderr
    with open(broken / "runner.yaml", "a") as file:
        file.write("types:\n  agent_run:\n    repair: {agent: fixr}\n")
    wrong = runner("submit", "--agent", "script", "x")
    assert wrong.code == 2
    assert "runner.yaml:6: unknown agent 'fixr' (did you mean 'fixer'?)" in wrong.stderr


# What the configuration gives to a type


def test_a_types_checks_model_and_permission_hold_for_each_task(broken: Path, runner: Runner) -> None:
    with open(broken / "runner.yaml", "a") as file:
        file.write(
            "types:\n  agent_run:\n    model: big\n    permission: edit\n"
            "    checks: ['command: true', {file_exists: calc.py}]\n"
        )
    plan = runner.ok(
        "submit", "--agent", "script", "--check", "file_exists: calc.py", "x", "--dry-run", "--format", "json"
    )
    assert plan.json["checks"] == [{"type": "command", "value": "true"}, {"type": "file_exists", "value": "calc.py"}]
    assert (plan.json["payload"]["model"], plan.json["payload"]["permission"]) == ("big", "edit")
    plan = runner.ok(
        "submit", "--agent", "script", "--model", "small", "--no-default-checks", "x", "--dry-run", "--format", "json"
    )
    assert plan.json["checks"] == []
    assert plan.json["payload"]["model"] == "small"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("checks: ['comand: true']", "runner.yaml:6: no check is called 'comand' (did you mean 'command'?)"),
        ("checks: [{command: {runn: x}}]", "runner.yaml:6: check 'command': 'runn' is not known here"),
        ("repair: {agnt: fixer}", "runner.yaml:6: unknown key 'agnt' (did you mean 'agent'?)"),
    ],
)
def test_a_wrong_section_is_told_with_its_line(broken: Path, runner: Runner, line: str, said: str) -> None:
    with open(broken / "runner.yaml", "a") as file:
        file.write(f"types:\n  agent_run:\n    {line}\n")
    wrong = runner("submit", "--agent", "script", "x")
    assert wrong.code == 2
    assert said in wrong.stderr


def test_a_retry_goes_on_counting_repairs_and_a_person_begins_anew() -> None:
    from runner.engine.plan import repairs_spent
    from runner.model import Attempt

    def tried(*ends: tuple[int, str | None, bool]) -> list[Attempt]:
        return [
            Attempt("t", "main", n, epoch, "a", "w", 0.0, 1.0, outcome, None, None, repair)
            for n, (epoch, outcome, repair) in enumerate(ends, 1)
        ]

    crashed = tried((1, "check_failed", False), (1, "check_failed", True), (1, "crashed", True))
    assert repairs_spent([], 0) == 0
    assert repairs_spent(crashed, 1) == 2
    assert repairs_spent(crashed, 0) == 0
    held = tried((1, "check_failed", False), (1, "check_failed", True))
    assert repairs_spent(held, 0) == 0
    limited = tried((1, "check_failed", False), (1, "check_failed", True), (1, "rate_limited", True))
    assert repairs_spent(limited, 0) == 1
    assert (
        repairs_spent([*held, *tried((2, "lost_claim", True), (3, "check_failed", True), (3, "no_op", True))], 1) == 2
    )


def test_attempts_and_repairs_together_have_an_end(broken: Path, runner: Runner) -> None:
    """Red, repaired without success, crashed, tried again: at most one and the retries and the repairs."""
    prompt = "[[on-first: [[append: calc.py <<#]] ]] [[on-repair: [[crash]] ]] [[append: calc.py <<#]]"
    words = ("--agent", "script", "--attempts", "3", "--repairs", "1", "--check", "command: python3 -m unittest -q")
    id = submit(runner, *words, prompt)
    assert runner("work", "--drain").code == 3
    assert [end for _, end, _ in attempts(runner, id)] == ["check_failed", "crashed", "check_failed"]
