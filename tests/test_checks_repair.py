"""What is done about red checks, what counts as work, and what a person is given when nothing helps."""

from __future__ import annotations

from typing import Any

import pytest

from runner.agents import compose
from runner.engine.evidence import blocked_report, default_expects, met, unmet
from runner.model import Policy, Step, StepResult, TypeSpec, Verdict
from runner_plugins.repair import repair

RED = Verdict(
    False,
    "`pytest -q` exited with 1: 1 failed",
    {"check": "command", "value": "pytest -q", "exit_code": 1, "stdout": "/a/check-1-stdout.log", "tail": "E x\nF"},
)
GREEN = Verdict(True, "'out.txt' exists", {"check": "file_exists"})
SEAL = Verdict(False, "the gate was edited: conftest.py was added", {"check": "seal", "sealed": True})


def agent_step(**policy: Any) -> Step:
    return Step("main", "agent_run", {"prompt": "do it"}, policy=Policy(**policy), key="abc123/main")


def test_red_checks_go_back_to_the_agent_with_their_evidence() -> None:
    answer = repair(agent_step(repairs=2), StepResult(), [RED, GREEN])
    assert answer.action == "agent"
    assert answer.reason == "repair 1 of 2: `pytest -q` exited with 1: 1 failed"
    assert answer.step is not None
    [told] = answer.step.payload["_repair"]
    assert told == {
        "summary": RED.summary,
        "evidence": {"exit_code": 1, "stdout": "/a/check-1-stdout.log", "tail": "E x\nF"},
    }
    text = compose("do it", repair=answer.step.payload["_repair"])
    assert "1. `pytest -q` exited with 1: 1 failed\n   exit_code: 1\n   stdout: /a/check-1-stdout.log" in text


def test_a_wall_of_text_is_not_pasted_into_the_prompt() -> None:
    wall = Verdict(False, "red", {"tail": "x" * 50_000, "changed": [f"f{n}" for n in range(1000)], "deep": {"a": 1}})
    answer = repair(agent_step(repairs=1), StepResult(), [wall])
    assert answer.step is not None
    evidence = answer.step.payload["_repair"][0]["evidence"]
    assert len(evidence["tail"]) == 2001
    assert evidence["changed"].endswith("f9")
    assert "deep" not in evidence


@pytest.mark.parametrize(
    ("policy", "used", "verdicts", "action"),
    [
        ({"repairs": 2}, 1, [RED], "agent"),
        ({"repairs": 2}, 2, [RED], "hold"),
        ({"repairs": 0}, 0, [RED], "hold"),
        ({"repairs": 2}, 0, [RED, SEAL], "hold"),
    ],
)
def test_a_repair_is_counted_and_a_broken_seal_never_repaired(
    policy: dict[str, int], used: int, verdicts: list[Verdict], action: str
) -> None:
    assert repair(agent_step(**policy), StepResult(evidence={"repairs_used": used}), verdicts).action == action


def test_nothing_repairs_a_script() -> None:
    step = Step("main", "run_script", {"script": "false"}, policy=Policy(repairs=2))
    assert repair(step, StepResult(), [RED]).action == "fail"


@pytest.mark.parametrize(
    ("expects", "given", "wanted"),
    [
        ("changes", {}, False),
        ("changes", {"changed": True}, True),
        ("changes", {"artifacts": 1}, True),
        ("changes", {"output": "done", "submitted": True}, False),
        ("answer", {}, False),
        ("answer", {"output": " \n"}, False),
        ("answer", {"output": "42"}, True),
        ("answer", {"submitted": True}, True),
        ("answer", {"changed": True}, False),
        ("none", {}, True),
    ],
)
def test_work_is_what_was_declared(expects: Any, given: dict[str, Any], wanted: bool) -> None:
    facts: dict[str, Any] = {"changed": False, "artifacts": 0, "output": "", "submitted": False, **given}
    assert met(expects, **facts) is wanted


def test_nothing_done_after_a_denial_waits_for_permission() -> None:
    assert unmet(StepResult()) == "no_op"
    assert unmet(StepResult(evidence={"denied": ["Bash"]})) == "awaiting_permission"


@pytest.mark.parametrize(
    ("spec", "policy", "permission", "in_repository", "wanted"),
    [
        ("changes", None, "edit", True, "changes"),
        ("changes", None, "read-only", True, "answer"),
        ("changes", None, "full", False, "answer"),
        ("changes", "changes", "read-only", False, "changes"),
        ("none", None, None, True, "none"),
        ("changes", None, None, True, "changes"),
    ],
)
def test_what_is_expected_by_default(spec: Any, policy: Any, permission: Any, in_repository: bool, wanted: str) -> None:
    found = default_expects(
        TypeSpec(expects=spec), Policy(expects=policy), permission=permission, in_repository=in_repository
    )
    assert found == wanted


def test_a_blocked_step_is_explained_to_a_person() -> None:
    report = blocked_report(agent_step(repairs=2), StepResult(output="I did\nall of it"), [RED, GREEN])
    for words in (
        "# Step `main` is blocked",
        "1 of 2 checks are red, and the repairs it may take (2) are used up.",
        "- `pytest -q` exited with 1: 1 failed",
        "      E x\n      F",
        "  - stdout: /a/check-1-stdout.log",
        "- 'out.txt' exists",
        "> do it",
        "> I did\n> all of it",
        "`runner resolve abc123 pending`",
    ):
        assert words in report
    assert "--may-edit" not in report


def test_a_broken_seal_is_explained_to_a_person() -> None:
    report = blocked_report(agent_step(repairs=2), StepResult(), [SEAL])
    assert "The gate was edited while the step ran" in report
    assert "conftest.py was added" in report
    assert "--may-edit GLOB" in report


def test_a_report_stays_short_whatever_it_is_about() -> None:
    step = Step("main", "agent_run", {"prompt": "line\n" * 10_000})
    wall = Verdict(False, "red " * 5000, {"tail": "x\n" * 9000, "changed": ["a" * 100] * 5000})
    assert len(blocked_report(step, StepResult(output="y\n" * 9000), [wall])) < 20_000
