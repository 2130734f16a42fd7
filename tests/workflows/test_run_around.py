"""What containers say for all steps in them (time, money, folder), and what a failure that is tolerated means."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import ConfigError, UsageError
from tests.workflows.flows import Flows, git, lines

SUB = {"name": "sub", "text": "steps:\n  - {id: a, command: sleep 20}\n  - {id: b, command: 'true'}\n"}


@pytest.mark.parametrize(
    "box",
    [
        "{id: box, timeout: 1, steps: [{id: a, command: sleep 20}]}",
        "{id: box, timeout: 1, loop: {max: 3}, steps: [{id: a, command: sleep 20}]}",
        "{id: box, timeout: 1, workflow: sub}",
        "{id: box, timeout: 30, steps: [{id: inner, timeout: 1, steps: [{id: a, command: sleep 20}]}]}",
    ],
)
def test_the_time_of_a_container_is_that_of_all_its_steps(flows: Flows, box: str) -> None:
    flows.write(**SUB)
    ran = flows.run(f"steps:\n  - {box}\n  - {{id: after, command: 'true'}}\n")
    assert (ran.status, ran.attempts[0].outcome, ran.states["after"]) == ("failed", "timeout", "not_run")
    assert ran.result["active_s"] < 15


def test_a_sub_workflows_own_time_counts_too(flows: Flows) -> None:
    flows.write("timeout: 1\n" + SUB["text"], "sub")
    ran = flows.run("steps: [{id: box, timeout: 1h, workflow: sub}]")
    assert (ran.status, ran.attempts[0].outcome) == ("failed", "timeout")


def test_a_sub_workflows_budget_is_for_its_own_steps(flows: Flows) -> None:
    flows.write(
        """
budget: {tokens: 25}
steps:
  - {id: one, agent: script, expects: answer, prompt: "[[usage: 10 5 0]] [[print: 1]]"}
  - {id: two, agent: script, expects: answer, prompt: "[[usage: 10 5 0]] [[print: 2]]"}
  - {id: three, agent: script, expects: answer, prompt: "[[usage: 10 5 0]] [[print: 3]]"}
""",
        "sub",
    )
    text = """
steps:
  - {id: before, agent: script, expects: answer, prompt: "[[usage: 100 5 0]] [[print: 0]]"}
  - {id: box, workflow: sub}
  - {id: after, command: "true"}
"""
    ran = flows.run(text)
    assert (ran.status, ran.task.outcome) == ("needs_human", "budget")
    assert ran.order == ["before", "box/one", "box/two"]
    assert "the budget of 'box' is spent (30 of 25 tokens)" in str(ran.task.question)
    # What is tolerated asks nobody.
    ran = flows.run(text.replace("workflow: sub", "workflow: sub, continue_on_failure: true"))
    assert (ran.status, ran.states["box"], ran.states["after"]) == ("done", "failed", "done")


COSTS = """
BUDGET
steps:
  - id: a
    agent: script
    expects: answer
    retries: 2
    repairable: {attempts: 2}
    verify: [{file_exists: made.txt}]
    prompt: |
      [[usage: 10 5 0.5]]
      [[on-attempt 1: [[exit: 7]] ]]
      [[on-attempt 3: [[write: made.txt <<x]] ]]
      [[say: done]]
"""


def test_a_step_costs_what_all_its_attempts_did(flows: Flows) -> None:
    ran = flows.run(COSTS.replace("BUDGET", ""))
    assert (ran.status, len(ran.attempts)) == ("done", 3), ran.result["summary"]
    assert ran.result["usage"] == {"cost_usd": 1.5, "tokens": 45, "turns": 0}
    assert ran.steps["a"]["usage"]["cost_usd"] == 1.5


@pytest.mark.parametrize(("tokens", "attempts"), [(15, 1), (30, 2), (31, 3)])
def test_retries_and_repairs_end_when_the_runs_budget_is_spent(flows: Flows, tokens: int, attempts: int) -> None:
    ran = flows.run(COSTS.replace("BUDGET", f"budget: {{tokens: {tokens}}}"))
    assert len(ran.attempts) == attempts
    assert (ran.status, ran.task.outcome) == (("done", "ok") if attempts == 3 else ("needs_human", "budget"))


def test_a_red_command_is_red_whatever_is_left_of_the_budget(flows: Flows) -> None:
    ran = flows.run(
        """
budget: {tokens: 15}
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[usage: 10 5 0]] [[say: a]]"}
  - {id: b, command: "false", retries: 1}
"""
    )
    assert (ran.status, ran.attempts[-1].outcome) == ("failed", "check_failed")


@pytest.mark.parametrize("rule", ["continue_on_failure: true", "break_if: failure"])
def test_red_checks_that_are_tolerated_ask_nobody(flows: Flows, rule: str) -> None:
    ran = flows.run(
        f"""
steps:
  - id: l
    loop: {{max: 1}}
    steps:
      - id: a
        agent: script
        expects: answer
        prompt: "[[print: hello]]"
        repairable: {{attempts: 1}}
        verify: [{{command: "false"}}]
        {rule}
  - {{id: after, command: "true"}}
"""
    )
    assert ran.states == {"l": "done", "l[1]/a": "failed", "after": "done"}
    assert (ran.status, ran.order) == ("done", ["l[1]/a", "l[1]/a", "after"])


def test_a_budget_that_is_tolerated_asks_nobody(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: a
    agent: script
    retries: 5
    budget: {tokens: 10}
    continue_on_failure: true
    prompt: "[[usage: 10 5 0]] [[exit: 7]]"
  - {id: after, command: "true"}
"""
    )
    assert (ran.status, ran.states, len(ran.attempts)) == ("done", {"a": "failed", "after": "done"}, 2)


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{id: box, workdir: sub, steps: [{id: a, command: pwd}, {id: b, workdir: deep, command: pwd}]}]",
        "steps: [{id: box, workdir: '{{run_id}}/../sub', workflow: inner}]",
        "steps: [{id: top, workdir: ., steps: [{id: box, workdir: sub, loop: {max: 1}, steps: "
        "[{id: a, command: pwd}, {id: b, workdir: deep, command: pwd}]}]}]",
    ],
)
def test_the_folder_of_a_container_is_where_its_steps_begin(flows: Flows, text: str) -> None:
    flows.write("steps: [{id: a, command: pwd}, {id: b, workdir: deep, command: pwd}]", "inner")
    (flows.root / "sub" / "deep").mkdir(parents=True)
    if "run_id" in text:
        text = "steps: [{id: m, command: 'mkdir -p -- \"{{run_id}}\"'}, " + text.removeprefix("steps: [")
    ran = flows.run(text)
    assert ran.status == "done", ran.result["summary"]
    found = [output for path, output in ran.outputs.items() if path.endswith(("/a", "/b"))]
    assert found == [str(flows.root / "sub"), str(flows.root / "sub" / "deep")]


def test_the_folder_of_a_loop_and_of_a_skip_if_too(flows: Flows) -> None:
    (flows.root / "sub").mkdir()
    (flows.root / "sub" / "x.md").write_text("")
    ran = flows.run(
        """
steps:
  - id: each
    workdir: sub
    loop: {over: "*.md", as: file}
    steps: [{id: a, command: "ls {{file}}"}, {id: b, skip_if: "sh: test -e x.md", command: "false"}]
"""
    )
    assert ran.states == {"each": "done", "each[x.md]/a": "done", "each[x.md]/b": "skipped"}


@pytest.mark.parametrize("kind", ["loop: {max: 2}, steps: [{id: a, command: x}]", "steps: [{id: a, command: x}]"])
@pytest.mark.parametrize("word", ["verify: [{command: x}]", "retries: 2", "touches: x", "packages: x", "session: new"])
def test_words_that_would_mean_nothing_on_a_container_are_refused(flows: Flows, kind: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word.split(":")[0]):
        flows.problems(f"steps: [{{id: box, {word}, {kind}}}]")


def test_a_loop_goes_over_a_value_that_is_a_list(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: list, command: 'printf "%s" "[\\"one\\", \\"two words\\", 3]"', capture: names, capture_format: json}
  - id: each
    loop: {over: "{{names}}", as: name}
    steps: [{id: say, command: 'printf "%s" "<{{name}}>"'}]
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert [out for path, out in ran.outputs.items() if path.endswith("/say")] == ["<one>", "<two words>", "<3>"]


def test_a_loop_that_used_up_its_iterations_gets_as_many_again(flows: Flows) -> None:
    text = """
steps:
  - id: try
    loop: {max: 2}
    steps:
      - {id: work, command: "echo x >> log"}
      - {id: ask, command: "test -e ok", break_if: success, continue_on_failure: true}
  - {id: after, command: "true"}
"""
    ran = flows.run(text)
    assert (ran.status, ran.summary("try")) == ("failed", "2 iterations, and no break_if held")
    more = flows.resume(ran)
    assert (more.status, more.summary("try")) == ("failed", "4 iterations, and no break_if held")
    assert len(lines(flows.root / "log")) == 4
    (flows.root / "ok").write_text("")
    done = flows.resume(more)
    assert (done.status, done.states["after"], len(lines(flows.root / "log"))) == ("done", "done", 5)


def test_what_a_person_mended_is_asked_again_before_anything_runs(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: a
    agent: script
    expects: answer
    prompt: "[[print: hello]]"
    repairable: {attempts: 1}
    verify: [{file_exists: mended.txt}]
"""
    )
    assert (ran.status, len(ran.attempts)) == ("needs_human", 2)
    (flows.root / "mended.txt").write_text("by hand\n")
    more = flows.resume(ran)
    assert (more.status, len(more.attempts)) == ("done", 3)
    folders = [Path(str((attempt.result or {})["folder"])) for attempt in more.attempts]
    assert [(folder / "prompt.md").exists() for folder in folders] == [True, True, False]


def test_what_was_captured_of_a_tolerated_failure_may_be_empty(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: a, command: "exit 3", capture: got, continue_on_failure: true}
  - {id: b, command: "echo oops >&2; exit 3", capture: err, capture_stderr: true, continue_on_failure: true}
  - {id: c, command: 'printf "%s" "<{{got}}> <{{err}}>"'}
"""
    )
    assert (ran.status, ran.outputs["c"]) == ("done", "<> <\n\nSTDERR:\noops>"), ran.result["summary"]


def test_scripts_capture_like_commands(flows: Flows) -> None:
    script = flows.root / "workflows" / "s.sh"
    script.write_text("#!/bin/sh\necho '{\"a\": [1, 2]}'\necho careful >&2\n")
    script.chmod(0o755)
    ran = flows.run(
        """
steps:
  - {id: s, script: s.sh, capture: got, capture_format: json, capture_stderr: true}
  - {id: c, command: 'printf "%s" "{{got.a[1]}} {{steps.s.stderr}}"'}
"""
    )
    assert (ran.status, ran.outputs["c"]) == ("done", "2 careful"), ran.result["summary"]


def test_values_stand_in_the_globs_of_the_gate(repo: Flows) -> None:
    (repo.root / "check.sh").write_text("true\n")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-qm", "gate")
    text = """
params: [{name: gate}]
steps:
  - id: a
    agent: script
    prompt: "[[write: check.sh <<true # edited]]"
    verify: [{command: "sh check.sh"}]
    RULE
"""
    ran = repo.run(text.replace("RULE", 'may_edit: "{{gate}}.sh"'), {"gate": "check"})
    assert ran.status == "done", ran.result["summary"]
    git(repo.root, "checkout", "-q", "--", ".")
    ran = repo.run(text.replace("RULE", 'may_edit: "{{gate}}.sh"'), {"gate": "other"})
    assert (ran.status, ran.attempts[0].outcome) == ("needs_human", "check_failed")
    assert any(
        "chck" in one and "check" in one
        for one in map(
            str, repo.problems(text.replace("RULE", 'protect: "{{chck}}"').replace("name: gate", "name: check"))
        )
    )


def test_a_red_check_is_told_as_its_author_wrote_it(flows: Flows) -> None:
    text = """
params: [{name: file, default: "it's there.txt"}]
steps:
  - id: a
    command: "true"
    verify: [CHECK]
"""
    ran = flows.run(text.replace("CHECK", '{command: "test -e {{file}}"}'))
    assert ran.summary("a") == "`test -e it's there.txt` exited with 1"
    ran = flows.run(text.replace("CHECK", '{command: {run: "echo {{file}}", regex: "^no$", timeout: 5}}'))
    assert ran.summary("a") == "`echo it's there.txt` exited with 0, but its output has nothing that matches '^no$'"
    ran = flows.run(text.replace("CHECK", '{command: {run: "test -e {{file}}", name: "{{file}} is made"}}'))
    assert ran.summary("a") == "`it's there.txt is made` exited with 1"
    (flows.root / "it's there.txt").write_text("")
    assert flows.run(text.replace("CHECK", '{command: "test -e {{file}}"}')).status == "done"


def test_what_did_not_run_has_no_outcome(flows: Flows) -> None:
    ran = flows.run(
        """
pattern: dag
on_error: continue
steps:
  - {id: bad, command: "false"}
  - {id: never, needs: [bad], command: "true"}
  - {id: box, steps: [{id: x, command: "false"}]}
  - id: tell
    needs: [never, box]
    when: "always()"
    command: 'printf "%s" "<{{steps.never.outcome}}> <{{steps.box.outcome}}>"'
"""
    )
    assert ran.outputs["tell"] == "<> <failed>"


def test_a_wait_that_no_answer_ends_takes_none(flows: Flows) -> None:
    ran = flows.run(
        """
budget: {tokens: 5}
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[usage: 10 5 0]] [[print: 1]]"}
  - {id: b, agent: script, expects: answer, prompt: "[[print: 2]]"}
"""
    )
    assert (ran.status, ran.task.outcome) == ("needs_human", "budget")
    with pytest.raises(UsageError, match="b takes no answer: the budget is spent"):
        flows.resolve(ran, answer="yes")
