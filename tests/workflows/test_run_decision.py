"""What an agent says itself of whether it is done: it can take its work back, never make red checks green."""

from __future__ import annotations

import json

import pytest

from runner.agents import decided, marked
from tests.conftest import Runner
from tests.workflows.flows import Flows


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("All done.\nOWNER_DECISION: COMPLETE", ("COMPLETE", "")),
        ("**OWNER_DECISION: INCOMPLETE_RETRY** (the API is missing)", ("INCOMPLETE_RETRY", "the API is missing")),
        ("OWNER_DECISION: INCOMPLETE_FAIL\nREASON: no access", ("INCOMPLETE_FAIL", "no access")),
        ("OWNER_DECISION: INCOMPLETE_RETRY\nOWNER_DECISION: COMPLETE", ("COMPLETE", "")),
        ("> OWNER_DECISION: NEEDS_CLARIFICATION: which one?", ("NEEDS_CLARIFICATION", "which one?")),
        ("say OWNER_DECISION: COMPLETE|INCOMPLETE_RETRY|INCOMPLETE_FAIL", ("", "")),
        ("OWNER_DECISION: COMPLETE|INCOMPLETE_RETRY|INCOMPLETE_FAIL", ("", "")),
        ("OWNER_DECISION: COMPLETED", ("", "")),
        ("", ("", "")),
    ],
)
def test_the_last_whole_line_counts(message: str, found: tuple[str, str]) -> None:
    assert decided(message) == found


def test_a_marker_names_the_step() -> None:
    assert marked("done\nSTEP_COMPLETE: build") == "build"
    assert marked("**STEP_COMPLETE:build**") == "build"
    assert marked("say STEP_COMPLETE:build") == ""


STEP = """
steps:
  - id: a
    agent: script
    expects: answer
    MORE
    prompt: |
      SAYS
  - {id: b, command: "true"}
"""


def flow(says: str, more: str = "retries: 1") -> str:
    return STEP.replace("MORE", more).replace("SAYS", says)


def test_incomplete_is_tried_again_with_what_it_said(flows: Flows) -> None:
    ran = flows.run(
        flow(
            "[[on-attempt 1: [[say: OWNER_DECISION: INCOMPLETE_RETRY (half of it is missing)]] ]]"
            " [[on-attempt 2: [[say: OWNER_DECISION: COMPLETE]] ]]"
        )
    )
    assert (ran.status, [attempt.outcome for attempt in ran.tries("a")]) == ("done", ["no_op", "ok"])
    first, second = (attempt.result or {} for attempt in ran.tries("a"))
    assert first["summary"] == "it says itself: INCOMPLETE_RETRY (half of it is missing)"
    assert second["completed_by"] == "decision"


def test_given_up_is_a_failure_that_nobody_repairs(flows: Flows) -> None:
    ran = flows.run(flow("[[say: OWNER_DECISION: INCOMPLETE_FAIL no access]]", "repairable: {attempts: 2}"))
    assert (ran.status, ran.states) == ("failed", {"a": "failed", "b": "not_run"})
    assert [attempt.outcome for attempt in ran.attempts] == ["check_failed"]
    assert ran.summary("a") == "it says itself: INCOMPLETE_FAIL (no access)"


def test_what_is_not_clear_asks_a_person(flows: Flows) -> None:
    ran = flows.run(
        flow("[[on-attempt 1: [[say: OWNER_DECISION: NEEDS_CLARIFICATION: which one?]] ]] [[say: the red one]]")
    )
    assert (ran.status, ran.task.question) == ("needs_human", "a: which one?")
    assert flows.resolve(ran, answer="red").status == "done"


def test_its_word_is_asked_after_the_checks(flows: Flows) -> None:
    """Red checks go first; of green ones it can say that they do not show it all."""
    red = flow("[[say: OWNER_DECISION: COMPLETE]]", 'verify: [{command: "false"}]')
    ran = flows.run(red)
    assert (ran.status, ran.attempts[0].outcome) == ("failed", "check_failed")
    green = flow("[[say: OWNER_DECISION: INCOMPLETE_RETRY]]", 'verify: [{command: "true"}]')
    ran = flows.run(green)
    assert (ran.status, ran.attempts[0].outcome) == ("failed", "no_op")


def test_nothing_done_is_nothing_done_whatever_it_says(repo: Flows) -> None:
    ran = repo.run(flow("[[say: OWNER_DECISION: COMPLETE]]", "expects: changes").replace("    expects: answer\n", ""))
    assert (ran.status, ran.attempts[0].outcome) == ("failed", "no_op")


@pytest.mark.parametrize(
    ("says", "more", "by"),
    [
        ("[[say: STEP_COMPLETE:a]]", "", "marker"),
        ("[[say: STEP_COMPLETE:other]]", "", "evidence"),
        ("[[say: OWNER_DECISION: COMPLETE]]", 'verify: [{command: "true"}]', "checks"),
    ],
)
def test_by_what_a_step_was_complete_is_kept(flows: Flows, says: str, more: str, by: str) -> None:
    ran = flows.run(flow(says, more or "retries: 0"))
    assert (ran.attempts[0].result or {})["completed_by"] == by


def test_a_task_of_its_own_takes_its_word_back_too(project: object, runner: Runner) -> None:
    runner.ok("submit", "--agent", "script", "--expects", "answer", "[[say: OWNER_DECISION: INCOMPLETE_FAIL no]]")
    assert runner("work", "--drain").code == 1
    [item] = json.loads(runner("queue", "--all", "--format", "json").stdout)["items"]
    assert item["status"] == "failed"


def test_a_session_of_another_step_goes_on_only_where_it_began(repo: Flows) -> None:
    (repo.root / "sub").mkdir()
    (repo.root / "runner.yaml").write_text("agents: {home: {extends: script, resume_in: same}}\n")
    text = """
steps:
  - {id: a, agent: home, expects: answer, prompt: "[[remember: 42]] [[say: one]]"}
  - {id: b, agent: home, expects: answer, session: resume, WHERE prompt: "[[recall]]"}
"""
    ran = repo.run(text.replace("WHERE", ""))
    assert (ran.status, ran.outputs["b"]) == ("done", "42"), ran.result
    ran = repo.run(text.replace("WHERE", "workdir: sub,"))
    assert ran.status == "needs_human"
    assert "can go on in a session only where it began" in str(ran.task.question)


def test_a_session_that_tells_sums_is_counted_once_whatever_step_goes_on_in_it(flows: Flows) -> None:
    (flows.root / "runner.yaml").write_text("agents: {sums: {extends: script, cumulative: [tokens]}}\n")
    text = """
steps:
  - {id: a, agent: sums, expects: answer, prompt: "[[usage: 10 5 0]] [[say: one]]"}
  - {id: b, agent: sums, expects: answer, session: resume, prompt: "[[usage: 30 15 0]] [[say: two]]"}
  - {id: c, command: "test -e ok"}
  - {id: d, agent: sums, expects: answer, session: resume, prompt: "[[usage: 31 15 0]] [[say: three]]"}
"""
    ran = flows.run(text)
    assert ran.result["usage"]["tokens"] == 45
    (flows.root / "ok").write_text("")
    assert flows.resume(ran).result["usage"]["tokens"] == 46


def test_the_scripted_agent_remembers_in_a_worktree_and_in_a_subfolder(trees: Flows) -> None:
    text = """
steps:
  - {id: m, command: mkdir -p sub}
  - {id: a, agent: script, expects: answer, prompt: "[[remember: 42]] [[say: one]]"}
  - {id: b, agent: script, expects: answer, session: resume, workdir: sub, prompt: "[[recall]]"}
"""
    assert trees.run(text).outputs["b"] == "42"
