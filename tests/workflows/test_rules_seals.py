"""The gate of a step in a workflow: who may edit it, for how long, and what of it is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflows.flows import Flows, git

GATE = "verify: [{command: sh check.sh}]"


@pytest.fixture
def gated(repo: Flows) -> Flows:
    """A repository whose check asks for `ok`, and two tests."""
    (repo.root / "check.sh").write_text("test -e ok\n")
    (repo.root / "test_a.py").write_text("def test_a():\n    assert True\n")
    (repo.root / "test_b.py").write_text("def test_b():\n    assert True\n")
    (repo.root / "Makefile").write_text("all:\n\ttest -e ok\n")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-qm", "gate")
    return repo


@pytest.mark.parametrize(
    ("edit", "check", "word"),
    [
        ("[[delete: test_b.py]]", "command: python3 -m pytest -q", "test_b.py"),
        ("[[edit: test_b.py :: True :: 1]]", "command: python3 -m pytest -q", "test_b.py"),
        ("[[edit: Makefile :: test -e ok :: true]]", "command: make", "Makefile"),
        ("[[write: GNUmakefile <<all:]]", "command: make", "GNUmakefile"),
        ("[[write: pytest.ini <<[pytest] ]]", "command: python3 -m pytest -q", "pytest.ini"),
        ("[[write: check.sh <<true]]", "custom: sh check.sh", "check.sh"),
    ],
)
def test_who_changes_or_deletes_what_the_gate_depends_on_or_adds_to_its_configuration_is_red(
    gated: Flows, edit: str, check: str, word: str
) -> None:
    ran = gated.run(
        f"""
steps:
  - id: a
    agent: script
    prompt: "[[write: ok <<x]] {edit}"
    verify: [{{{check}}}]
"""
    )
    assert (ran.status, ran.attempts[0].outcome) == ("needs_human", "check_failed")
    assert "the gate was edited" in str(ran.task.question)
    assert word in str(ran.task.question)


def test_protected_files_are_sealed_by_glob_whatever_the_checks_are(gated: Flows) -> None:
    text = """
steps:
  - {id: a, agent: script, protect: ["*.txt"], prompt: "[[write: ok <<x]] HERE", verify: [{file_exists: ok}]}
"""
    ran = gated.run(text.replace("HERE", "[[write: a.txt <<two]]"))
    assert "the gate was edited" in str(ran.task.question)
    git(gated.root, "checkout", "-q", "--", ".")
    assert gated.run(text.replace("HERE", "[[append: ok <<y]]")).status == "done"


def test_added_tests_are_listed_in_the_verdict(gated: Flows) -> None:
    ran = gated.run(
        """
steps:
  - id: a
    agent: script
    prompt: "[[write: test_c.py <<def test_c(): pass]]"
    verify: [{command: python3 -m pytest -q}]
"""
    )
    assert ran.status == "done", ran.result["summary"]
    [seal] = [one for one in (ran.attempts[0].result or {})["verdicts"] if one["evidence"].get("sealed")]
    assert seal["ok"]
    assert "test_c.py" in str(seal)


def test_a_repair_may_not_edit_what_the_step_may(gated: Flows) -> None:
    ran = gated.run(
        f"""
steps:
  - id: a
    agent: script
    may_edit: [check.sh]
    repairable: {{attempts: 2}}
    prompt: "[[on-first: [[write: check.sh <<test -e other]] ]] [[on-repair: [[write: check.sh <<true]] ]]"
    {GATE}
"""
    )
    assert [(one.outcome, one.repair) for one in ran.attempts] == [("check_failed", False), ("check_failed", True)]
    assert "the gate was edited" in str(ran.task.question)


def test_what_may_be_edited_is_sealed_anew_after_the_step_was_accepted(gated: Flows) -> None:
    ran = gated.run(
        f"""
steps:
  - id: red
    agent: script
    may_edit: [check.sh]
    prompt: "[[write: check.sh <<test -e other]]"
    verify: [{{command: "! sh check.sh"}}]
  - {{id: green, agent: script, prompt: "[[write: other <<x]]", {GATE}}}
  - {{id: wrong, agent: script, prompt: "[[write: check.sh <<test -e ok]] [[write: ok <<x]]", {GATE}}}
"""
    )
    assert ran.states == {"red": "done", "green": "done", "wrong": "waiting"}
    assert "check.sh" in str(ran.task.question)


@pytest.mark.parametrize("end", ["[[exit: 7]]", "[[crash]]"])
def test_a_retry_is_held_to_the_gate_of_the_first_attempt(gated: Flows, end: str) -> None:
    ran = gated.run(
        f"""
steps:
  - id: a
    agent: script
    retries: 1
    prompt: "[[on-attempt 1: [[write: check.sh <<true]] {end} ]] [[on-attempt 2: [[write: b <<x]] ]]"
    {GATE}
"""
    )
    assert [one.outcome for one in ran.attempts] == ["crashed", "check_failed"]
    assert "the gate was edited" in str(ran.task.question)


def test_a_run_that_goes_on_is_held_to_the_gate_of_before(gated: Flows) -> None:
    text = f"""
steps:
  - {{id: a, agent: script, prompt: "HERE", {GATE}}}
"""
    ran = gated.run(
        text.replace("HERE", "[[on-attempt 1: [[write: check.sh <<true]] [[rate-limit: 60]] ]] [[write: b <<x]]")
    )
    assert (ran.task.outcome, ran.states["a"]) == ("rate_limited", "waiting")
    more = gated.resume(ran)
    assert (more.status, more.attempts[-1].outcome) == ("needs_human", "check_failed")
    assert "the gate was edited" in str(more.task.question)


def test_who_mends_a_command_may_not_edit_its_script(gated: Flows) -> None:
    ran = gated.run(
        """
agents: {lead: {cli: script}}
steps:
  - id: gate
    command: "sh check.sh || { echo '[[write: check.sh <<true]]'; exit 1; }"
    repairable: {agent: lead, attempts: 2}
"""
    )
    assert ran.status == "needs_human", ran.result["summary"]
    assert "the gate was edited" in str(ran.task.question)


def test_an_isolated_step_is_held_to_its_gate_too_and_nothing_of_it_is_merged(gated: Flows) -> None:
    ran = gated.run(
        f"""
steps:
  - {{id: a, agent: script, writes: isolated, prompt: "[[write: check.sh <<true]] [[write: b <<x]]", {GATE}}}
"""
    )
    assert "the gate was edited" in str(ran.task.question)
    assert not (gated.root / "b").exists()
    assert git(gated.root, "status", "--porcelain", "--untracked-files=no") == ""


def test_checks_have_the_runners_environment_and_not_the_steps(gated: Flows) -> None:
    ran = gated.run(
        """
env: {ALL: all}
steps:
  - id: a
    agent: script
    env: {MINE: mine, PATH: "evil:/usr/bin:/bin", PYTHONPATH: evil}
    prompt: "[[run: echo $ALL $MINE > seen]]"
    verify: [{command: 'test -z "$PYTHONPATH$MINE$ALL"; case $PATH in *evil*) exit 1;; esac; test -e seen'}]
"""
    )
    assert ((gated.root / "seen").read_text().split(), ran.status) == (["all", "mine"], "done"), ran.result["summary"]


def test_no_hook_of_git_runs_in_a_check(gated: Flows, tmp_path: Path) -> None:
    hook = gated.root / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    ran = gated.run("steps: [{id: a, command: 'true', verify: [{command: git checkout -q -b other}]}]")
    assert (ran.status, (tmp_path / "hooked").exists()) == ("done", False)


def test_a_person_can_accept_an_edited_gate_and_later_steps_are_held_to_it(gated: Flows) -> None:
    ran = gated.run(
        f"""
steps:
  - {{id: a, agent: script, prompt: "[[write: check.sh <<test -e made]]", {GATE}}}
  - {{id: b, agent: script, prompt: "[[write: made <<x]]", {GATE}}}
"""
    )
    assert "the gate was edited" in str(ran.task.question)
    more = gated.resolve(ran, "done")
    assert (more.status, more.states) == ("done", {"a": "done", "b": "done"}), more.result["summary"]
