"""What a step's result depends on when a run goes on, what is shown of it, and what a rewind brings back."""

from __future__ import annotations

import pytest

from runner.errors import UsageError
from tests.workflows.flows import Flows, git, lines

AGENT = """
agents: {impl: {cli: script, model: one, role: "Writer"}}
steps:
  - id: a
    agent: impl
    expects: answer
    prompt: "[[say: x]]"
    verify: [{file_exists: a.txt}]
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("say: x", "say: y"),
        ("model: one", "model: two"),
        ("Writer", "Reader"),
        ("cli: script", "cli: script, preset: worker"),
        ("cli: script", "cli: script, permission: read-only"),
        ("file_exists: a.txt", "command: test -e a.txt"),
        ("expects: answer", "expects: none"),
        ("agent: impl", "agent: impl\n    env: {A: b}"),
        ("agent: impl", "agent: impl\n    session: desk"),
        ("agent: impl", "agent: impl\n    protect: a.txt"),
        ("agent: impl", "agent: impl\n    artifacts: a.txt"),
    ],
)
def test_what_the_file_says_of_a_step_and_its_agent_is_what_its_result_is_for(repo: Flows, old: str, new: str) -> None:
    ran = repo.run(AGENT)
    assert repo.preview(ran) == (["a"], {})
    kept, again = repo.preview(ran, AGENT.replace(old, new))
    assert (kept, again) == ([], {"a": "definition changed"})


def test_another_configuration_of_the_agent_makes_its_steps_run_again(repo: Flows) -> None:
    ran = repo.run(AGENT)
    (repo.root / "runner.yaml").write_text("agents: {script: {silence: 77}}\n")
    kept, again = repo.preview(ran)
    assert (kept, list(again)) == ([], ["a"])


def test_what_is_in_the_workspace_is_no_part_of_it(repo: Flows) -> None:
    ran = repo.run(AGENT)
    (repo.root / "a.txt").write_text("another\n")
    (repo.root / "new.txt").write_text("new\n")
    assert repo.preview(ran) == (["a"], {})


def test_a_step_depends_on_the_values_it_uses_and_no_others(flows: Flows) -> None:
    text = """
pattern: dag
steps:
  - {id: one, command: "echo 1", capture: one}
  - {id: two, command: "echo 2", capture: two}
  - {id: uses, command: "echo {{one}} >> log", needs: [one]}
  - {id: other, command: "echo {{two}} >> log", needs: [two]}
"""
    ran = flows.run(text)
    kept, again = flows.preview(ran, text.replace("echo 1", "echo 9"))
    assert sorted(kept) == ["other", "two"]
    assert again == {"one": "definition changed", "uses": "an input changed"}


@pytest.mark.parametrize("file", ["inner", "base"])
def test_a_change_in_another_file_of_the_workflow_runs_only_the_steps_it_is_about(flows: Flows, file: str) -> None:
    texts = {
        "inner": "steps: [{id: x, command: 'true'}, {id: y, command: echo OLD}]",
        "base": "steps: [{id: a, command: 'true'}, {id: sub, workflow: inner.yaml}, {id: z, command: echo OLD}]",
    }
    for name, text in texts.items():
        flows.write(text, name)
    ran = flows.run("extends: base.yaml")
    flows.write(texts[file].replace("OLD", "NEW"), file)
    kept, again = flows.preview(ran)
    wanted = {
        "inner": (["a", "sub/x"], {"sub/y": "definition changed", "z": "an input changed"}),
        "base": (["a", "sub/x", "sub/y"], {"z": "definition changed"}),
    }
    assert (kept, again) == wanted[file]


def test_a_new_step_in_the_middle_runs_and_so_does_what_comes_after_it(flows: Flows) -> None:
    text = "steps: [{id: a, command: echo a >> log}, {id: b, command: echo b >> log}]"
    ran = flows.run(text)
    more = text.replace("{id: b", "{id: new, command: echo new >> log}, {id: b")
    assert flows.preview(ran, more) == (["a"], {"new": "not started", "b": "an input changed"})
    assert flows.resume(ran).status == "done"
    assert lines(flows.root / "log") == ["a", "b", "new", "b"]


def test_kept_results_are_whole_with_captures_json_and_long_outputs(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: long, command: "seq 5000; exit 0", capture: got}
  - {id: js, command: 'printf "{\\"k\\": 5}"', capture: obj, capture_format: json}
  - {id: huge, command: "head -c 1100000 /dev/zero | tr '\\\\0' x"}
  - {id: no, when: "false", command: "true", capture: empty}
  - {id: bad, command: "echo err >&2; exit 3", continue_on_failure: true, capture_stderr: true}
  - {id: stop, command: "test -e ok"}
  - id: use
    command: >-
      printf '%s' {{got}} | wc -l; echo {{obj.k}} {{steps.js.json.k}}; wc -c < {{steps.huge.path}};
      echo "[{{empty}}]" {{steps.bad.exit_code}} {{steps.bad.stderr}} {{steps.bad.status}}
"""
    )
    (flows.root / "ok").write_text("")
    more = flows.resume(ran)
    assert more.status == "done", more.result["summary"]
    assert more.outputs["use"].split() == ["4999", "5", "5", "1100000", "[]", "3", "err", "failed"]


def test_why_each_step_runs_is_shown_also_what_was_not_finished(flows: Flows) -> None:
    text = """
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[rate-limit: 60]]"}
  - {id: b, command: "true"}
"""
    assert flows.preview(flows.run(text)) == ([], {"a": "not finished", "b": "not started"})


def test_what_did_not_run_because_of_a_failure_runs_once_that_is_mended(flows: Flows) -> None:
    ran = flows.run(
        """
pattern: dag
on_error: continue
steps:
  - {id: bad, command: "test -e ok"}
  - {id: after, needs: [bad], command: echo after >> log}
  - {id: last, needs: [after], command: echo last >> log}
  - {id: free, command: echo free >> log}
"""
    )
    assert (ran.states["after"], ran.states["last"]) == ("not_run", "not_run")
    (flows.root / "ok").write_text("")
    assert flows.resume(ran).status == "done"
    assert lines(flows.root / "log") == ["free", "after", "last"]


def test_a_failure_keeps_all_that_was_done_before_it(trees: Flows) -> None:
    text = "steps: [{id: a, command: echo made > made.txt}, {id: b, command: 'echo half > half.txt; exit 1'}]"
    ran = trees.run(text)
    assert ran.status == "failed"
    more = trees.resume(ran, text.replace("exit 1", "cat made.txt"))
    assert (more.status, more.outputs["b"]) == ("done", "made")


def test_the_key_of_a_step_is_the_same_in_every_attempt_and_after_every_resume(flows: Flows) -> None:
    say = "echo $RUNNER_STEP_KEY >> keys"
    text = f"""
steps:
  - id: l
    loop: {{over: [p, q], as: v}}
    steps: [{{id: a, agent: script, retries: 1, expects: answer, prompt: "[[run: {say}]] HERE"}}]
"""
    ran = flows.run(text.replace("HERE", "[[exit: 7]]"))
    flows.resume(ran)
    flows.resume(ran, text.replace("HERE", "[[say: x]]"))
    run = ran.task.id
    assert lines(flows.root / "keys") == [f"{run}/l[p]/a"] * 5 + [f"{run}/l[q]/a"]


def test_an_effect_that_is_keyed_happens_once_however_often_the_step_runs(flows: Flows) -> None:
    text = 'steps: [{id: a, command: "mkdir -- \\"$(echo $RUNNER_STEP_KEY | tr / -)\\" && echo sent >> log; exit 0"}]'
    ran = flows.run(text)
    flows.resume(ran, start="a")
    flows.resume(ran, text.replace("exit 0", "true"))
    assert (len(flows.resume(ran, start="a").attempts), lines(flows.root / "log")) == (4, ["sent"])


def test_in_one_iteration_from_a_step_within_it(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: each
    loop: {over: [p, q], as: v}
    steps: [{id: a, command: "echo {{v}}a >> log"}, {id: b, command: "echo {{v}}b >> log"}]
"""
    )
    flows.resume(ran, start="each[q]/b")
    assert lines(flows.root / "log") == ["pa", "pb", "qa", "qb", "qb"]


def test_a_rewind_brings_back_what_there_was_before_the_earliest_that_runs_again(trees: Flows) -> None:
    text = """
steps:
  - {id: a, command: "echo a > a.txt; echo a >> all"}
  - {id: b, command: "echo b > b.txt; echo b >> all; rm a.txt"}
  - {id: c, command: "echo c > c.txt; echo c >> all"}
"""
    ran = trees.run(text)
    more = trees.resume(ran, text.replace("echo b > b.txt;", "ls > seen.txt;"), rewind=True)
    assert more.status == "done", more.result["summary"]
    branch = str(more.result["branch"])
    assert git(trees.root, "show", f"{branch}:seen.txt").split() == ["a.txt", "all", "seen.txt"]
    assert git(trees.root, "show", f"{branch}:all").split() == ["a", "b", "c"]


def test_a_parameter_that_is_gone_is_an_error_and_not_an_empty_text(flows: Flows) -> None:
    ran = flows.run(
        "params: [{name: who}]\nsteps: [{id: a, command: 'test -e ok'}, {id: b, command: 'echo {{who}}'}]", {"who": "x"}
    )
    with pytest.raises(UsageError, match="has no parameter 'who'"):
        flows.resume(
            ran, "params: [{name: other}]\nsteps: [{id: a, command: 'true'}, {id: b, command: 'echo {{who}}'}]"
        )
