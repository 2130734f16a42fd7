"""Retry or repair, never both for one attempt: what follows which end, how often, and in which session."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from runner.model import Attempt
from tests.workflows.flows import Flows, Ran


def ends(ran: Ran, path: str = "a") -> list[tuple[str | None, bool]]:
    """The outcome of each attempt of a step, and whether it was a repair."""
    return [(one.outcome, one.repair) for one in ran.tries(path)]


def prompt_of(attempt: Attempt) -> str:
    return Path(str((attempt.result or {})["folder"]), "prompt.md").read_text()


def session_of(attempt: Attempt) -> str:
    return str((attempt.result or {})["session"])


@pytest.mark.parametrize(
    ("first", "keys", "outcome"),
    [
        ("[[crash]]", "", "crashed"),
        ("[[hang]]", "timeout: 1.5,", "timeout"),
        ("[[hang]]", "", "stalled"),
        ("[[say: it is all done]]", "", "no_op"),
    ],
)
def test_what_came_to_nothing_is_tried_again_and_not_repaired(repo: Flows, first: str, keys: str, outcome: str) -> None:
    if outcome == "stalled":
        (repo.root / "runner.yaml").write_text("agents: {script: {silence: 1}}\n")
    ran = repo.run(
        f"""
steps:
  - id: a
    agent: script
    retries: 1
    {keys.rstrip(",")}
    repairable: {{attempts: 3}}
    prompt: "[[on-attempt 1: {first} ]] [[on-attempt 2: [[write: b.txt <<x]] ]]"
"""
    )
    assert (ran.status, ends(ran)) == ("done", [(outcome, False), ("ok", False)]), ran.result["summary"]


@pytest.mark.parametrize("first", ["[[crash]]", "[[say: it is all done]]"])
def test_what_came_to_nothing_fails_without_retries_whatever_could_repair(repo: Flows, first: str) -> None:
    ran = repo.run(f'steps: [{{id: a, agent: script, repairable: {{attempts: 3}}, prompt: "{first}"}}]')
    assert (ran.status, len(ran.attempts), ran.attempts[0].repair) == ("failed", 1, False)


def test_a_retry_takes_a_new_session_with_the_error_and_the_place_of_the_evidence(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    retries: 1
    prompt: "[[on-attempt 1: [[delete: none.txt]] ]] [[on-attempt 2: [[write: b.txt <<x]] ]]"
"""
    )
    first, second = ran.tries("a")
    assert ran.status == "done"
    assert session_of(first) != session_of(second)
    prompt = prompt_of(second)
    assert "ended as: crashed" in prompt
    assert "FileNotFoundError" in prompt, "the error itself is told"
    folder = str((first.result or {})["folder"])
    assert folder in prompt
    assert Path(folder, "stdout.log").exists()


def test_a_repair_goes_on_in_the_same_files_and_is_told_each_red_verdict_with_its_evidence(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    repairable: {attempts: 1}
    prompt: "[[on-first: [[write: half.txt <<x]] ]] [[on-repair: [[run: cp half.txt whole.txt]] ]]"
    verify: [{file_exists: whole.txt}, {command: "seq 3000; test -e whole.txt"}, {file_exists: half.txt}]
"""
    )
    assert ends(ran) == [("check_failed", False), ("ok", True)], ran.result["summary"]
    prompt = prompt_of(ran.tries("a")[1])
    assert "'whole.txt' does not exist" in prompt
    assert "test -e whole.txt` exited with 1" in prompt
    assert "3. " not in prompt, "what is green is not told"
    assert len(prompt.splitlines()) < 100, "no walls of text"
    [log] = [line.partition("stdout: ")[2] for line in prompt.splitlines() if "stdout: " in line]
    assert Path(log).read_text().splitlines()[:2] == ["1", "2"], "the evidence is whole, where the prompt says"


def test_retries_and_repairs_of_one_step_are_counted_apart_and_in_all_at_most_their_sum(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    retries: 2
    repairable: {attempts: 2}
    verify: [{file_exists: never}]
    prompt: |
      [[on-attempt 1: [[exit: 7]] ]] [[on-attempt 2: [[write: b <<x]] ]] [[on-attempt 3: [[exit: 7]] ]]
      [[append: b <<x]]
"""
    )
    assert ran.status == "needs_human"
    assert [outcome for outcome, _ in ends(ran)] == ["crashed", "check_failed", "crashed", *["check_failed"] * 2]


def test_all_verdicts_are_kept_with_their_evidence(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    prompt: "[[write: b <<x]]"
    verify: [{file_exists: b}, {command: "echo seen; exit 4"}, {file_exists: no}, {exit_code: 0}]
"""
    )
    [attempt] = ran.attempts
    folder = Path(str((attempt.result or {})["folder"]))
    told = json.loads((folder / "verdicts.json").read_text())
    by_check = [(one["evidence"].get("check"), one["ok"]) for one in told if not one["evidence"].get("sealed")]
    assert by_check == [("file_exists", True), ("command", False), ("file_exists", False), ("exit_code", True)]
    assert [one["ok"] for one in (attempt.result or {})["verdicts"]] == [one["ok"] for one in told]


@pytest.mark.parametrize(("limit", "outcome"), [("[[rate-limit: 60]]", "rate_limited"), ("[[auth]]", "auth")])
def test_who_can_not_be_asked_now_spends_no_retry(flows: Flows, limit: str, outcome: str) -> None:
    text = """
steps:
  - {id: a, agent: script, retries: 1, expects: answer, prompt: "[[run: echo x >> log]] HERE"}
"""
    ran = flows.run(text.replace("HERE", limit))
    assert (ran.states["a"], [one.outcome for one in ran.attempts]) == ("waiting", [outcome])
    more = flows.resume(ran, text.replace("HERE", "[[exit: 7]]"))
    assert [one.outcome for one in more.attempts] == [outcome, "crashed", "crashed"]
    assert more.status == "failed"


def test_who_is_limited_while_it_repairs_spends_no_repair(flows: Flows) -> None:
    text = """
steps:
  - id: a
    agent: script
    repairable: {attempts: 1}
    expects: answer
    prompt: "[[on-repair: HERE ]] [[say: x]]"
    verify: [{file_exists: made}]
"""
    ran = flows.run(text.replace("HERE", "[[rate-limit: 60]]"))
    assert ends(ran) == [("check_failed", False), ("rate_limited", True)]
    more = flows.resume(ran, text.replace("HERE", "[[write: made <<x]]"))
    assert (more.status, more.tries("a")[-1].outcome) == ("done", "ok"), more.result["summary"]


def test_the_rules_for_errors_say_how_often_and_how_long_to_wait(flows: Flows) -> None:
    began = time.monotonic()
    ran = flows.run(
        """
on_error: {retry: {max: 1, delay: 0.7}}
steps: [{id: a, agent: script, expects: answer, prompt: "[[on-attempt 1: [[exit: 7]] ]] [[say: x]]"}]
"""
    )
    first, second = ran.attempts
    assert (ran.status, first.ended_at is not None) == ("done", True)
    assert time.monotonic() - began > 0.7
    assert second.started_at - first.started_at > 0.7


def test_no_retries_of_a_step_go_before_those_of_its_agent(flows: Flows) -> None:
    ran = flows.run(
        """
on_error: {retry: {max: 3}}
agents: {impl: {cli: script, retries: 2}}
steps: [{id: a, agent: impl, retries: 0, prompt: "[[exit: 7]]"}]
"""
    )
    assert len(ran.attempts) == 1


def test_a_command_that_fails_is_a_red_check_and_not_tried_again(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, retries: 3, command: "echo x >> log; exit 3"}]')
    assert (ends(ran), (flows.root / "log").read_text()) == ([("check_failed", False)], "x\n")


def test_a_command_that_takes_too_long_is_tried_again(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, retries: 1, timeout: 1, command: "test -e once && exit 0; touch once; sleep 9"}]')
    assert (ran.status, [outcome for outcome, _ in ends(ran)]) == ("done", ["timeout", "ok"])


def test_a_broken_seal_is_never_repaired(repo: Flows) -> None:
    (repo.root / "check.sh").write_text("test -e never\n")
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    repairable: {attempts: 3}
    prompt: "[[write: check.sh <<true]]"
    verify: [{command: sh check.sh}]
"""
    )
    assert (ran.status, ends(ran)) == ("needs_human", [("check_failed", False)])
    [waits] = ran.result["waiting"]
    assert "the gate was edited" in waits["question"]
    assert "check.sh" in waits["question"]
