"""Going on inside of loops, groups and sub-workflows: captures, sessions, results, budgets; files that are rewound."""

from __future__ import annotations

import pytest

from tests.workflows.flows import Flows, Ran, lines


def session(ran: Ran, path: str) -> str:
    return str((ran.tries(path)[-1].result or {})["session"])


def test_captures_of_iterations_that_are_kept_are_there_for_the_next(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: l
    loop: {max: 4, as_index: n}
    steps:
      - {id: add, command: "echo {{n}}"}
      - {id: told, command: "echo {{n}}:{{steps.add.output}}", capture: last}
      - {id: stop, command: "echo {{last}} >> log; test {{n}} != 2 -o -e ok"}
  - {id: after, command: "echo {{last}} {{steps.l.results[1].told.output}}"}
"""
    )
    assert (ran.status, lines(flows.root / "log")) == ("failed", ["0:0", "1:1", "2:2"])
    (flows.root / "ok").write_text("")
    more = flows.resume(ran)
    assert more.status == "done", more.result["summary"]
    assert lines(flows.root / "log") == ["0:0", "1:1", "2:2", "2:2", "3:3"]
    assert more.outputs["after"] == "3:3 1:1"


def test_the_iteration_after_one_that_is_kept_goes_on_in_its_session(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: l
    loop: {max: 3, as_index: n}
    steps:
      - {id: a, agent: script, session: resume, expects: answer, prompt: "[[say: x]]"}
      - {id: stop, command: "test {{n}} != 1 -o -e ok"}
"""
    )
    assert ran.states["l[2]/stop"] == "failed"
    (repo.root / "ok").write_text("")
    more = repo.resume(ran)
    assert more.status == "done", more.result["summary"]
    assert len(more.tries("l[2]/a")) == 1
    assert {session(more, f"l[{n}]/a") for n in (1, 2, 3)} == {session(ran, "l[1]/a")}


def test_a_sub_workflow_inside_of_a_loop_goes_on_in_its_middle(flows: Flows) -> None:
    flows.write(
        """
params: [{name: v}]
outputs: {o: "{{got}}"}
steps:
  - {id: a, command: "echo {{v}}a >> log; echo {{v}}", capture: got}
  - {id: b, command: "echo {{v}}b >> log; test {{v}} != q -o -e ok"}
""",
        "inner",
    )
    ran = flows.run(
        """
steps:
  - id: each
    loop: {over: [p, q, r], as: v}
    steps:
      - {id: s, workflow: inner, params: {v: "{{v}}"}}
      - {id: say, command: "echo {{steps.s.o}} >> log"}
"""
    )
    (flows.root / "ok").write_text("")
    more = flows.resume(ran)
    assert more.status == "done", more.result["summary"]
    assert lines(flows.root / "log") == ["pa", "pb", "p", "qa", "qb", "qb", "q", "ra", "rb", "r"]


def test_an_inner_loop_that_was_used_up_gets_as_many_iterations_again_and_the_outer_goes_on(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: each
    loop: {over: [p, q], as: v}
    steps:
      - id: tries
        loop: {max: 2}
        steps:
          - {id: t, command: "echo {{v}} >> log; test -e {{v}}.ok", continue_on_failure: true, break_if: success}
"""
    )
    assert (ran.status, lines(flows.root / "log")) == ("failed", ["p", "p"])
    for name in ("p.ok", "q.ok"):
        (flows.root / name).write_text("")
    assert flows.resume(ran).status == "done"
    assert lines(flows.root / "log") == ["p", "p", "p", "q"]


def test_a_break_that_held_is_kept_with_the_loop(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: l
    loop: {max: 5}
    steps: [{id: a, command: "echo x >> log; exit 1", break_if: failure}]
  - {id: stop, command: "test -e ok"}
"""
    )
    (flows.root / "ok").write_text("")
    assert flows.resume(ran).status == "done"
    assert lines(flows.root / "log") == ["x"]


@pytest.mark.parametrize(("answer", "states"), [("go", ["done", "done"]), ("stop", ["skipped", "done"])])
def test_an_answer_is_kept_like_a_result(flows: Flows, answer: str, states: list[str]) -> None:
    ran = flows.run(
        """
steps:
  - {id: ask, gate: "Go?", options: [go, stop]}
  - {id: a, command: "test -e ok || exit 1", when: "steps.ask.answer == 'go'"}
  - {id: b, command: "test -e ok"}
"""
    )
    failed = flows.resolve(ran, answer=answer)
    assert failed.status == "failed"
    (flows.root / "ok").write_text("")
    more = flows.resume(failed)
    assert (more.status, [more.states["a"], more.states["b"]], len(more.tries("ask"))) == ("done", states, 2)


def test_what_was_spent_before_counts_when_the_run_goes_on(flows: Flows) -> None:
    ran = flows.run(
        """
budget: {tokens: 40}
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[usage: 10 10 0]] [[say: x]]"}
  - {id: stop, command: "test -e ok"}
  - {id: b, agent: script, expects: answer, prompt: "[[usage: 10 10 0]] [[say: x]]"}
  - {id: c, agent: script, expects: answer, prompt: "[[usage: 10 10 0]] [[say: x]]"}
"""
    )
    (flows.root / "ok").write_text("")
    more = flows.resume(ran)
    assert (more.status, more.task.outcome, more.order[-1]) == ("needs_human", "budget", "b")


def test_frozen_goes_on_with_sub_workflows_and_bases_as_they_were(flows: Flows) -> None:
    flows.write("steps: [{id: x, command: 'echo old >> log; test -e ok'}]", "inner")
    flows.write("steps: [{id: s, workflow: inner.yaml}, {id: z, command: echo old >> log}]", "base")
    ran = flows.run("extends: base.yaml")
    for name in ("inner", "base"):
        path = flows.root / f"workflows/{name}.yaml"
        path.write_text(path.read_text().replace("old", "new"))
    (flows.root / "ok").write_text("")
    assert flows.resume(ran, frozen=True).status == "done"
    assert lines(flows.root / "log") == ["old", "old", "old"]


# Files that are rewound


def test_a_rewind_to_an_iteration_runs_it_and_all_after_it(trees: Flows) -> None:
    ran = trees.run(
        """
steps:
  - id: l
    loop: {over: [p, q, r], as: v}
    steps: [{id: a, command: "echo {{v}} >> all"}]
  - {id: z, command: "cat all"}
"""
    )
    more = trees.resume(ran, start="l[q]/a", rewind=True)
    assert more.outputs["z"].split() == ["p", "q", "r"]
    assert more.order[len(ran.order) :] == ["l[q]/a", "l[r]/a", "z"]


def test_a_rewind_takes_back_commits_of_steps_too(trees: Flows) -> None:
    ran = trees.run(
        """
steps:
  - {id: a, command: "echo a >> all; git add -A; git commit -qm a"}
  - {id: b, command: "echo b >> all; git add -A; git commit -qm b"}
  - {id: c, command: "git log --format=%s; cat all"}
"""
    )
    assert ran.outputs["c"].split() == ["b", "a", "first", "a", "b"]
    assert trees.resume(ran, start="b", rewind=True).outputs["c"] == ran.outputs["c"]


def test_a_rewind_takes_back_what_a_failed_step_left(trees: Flows) -> None:
    text = """
steps:
  - {id: a, command: "echo a > a.txt"}
  - {id: b, command: "ls > seen; echo half > half.txt; FAIL"}
"""
    ran = trees.run(text.replace("FAIL", "exit 1"))
    more = trees.resume(ran, text.replace("FAIL", "cat seen"), rewind=True)
    assert (more.status, "half.txt" in more.outputs["b"].split()) == ("done", False)


def test_a_clean_retry_takes_back_the_commits_of_the_attempt(trees: Flows) -> None:
    ran = trees.run(
        """
steps:
  - id: a
    agent: script
    retries: 1
    retry_from: clean
    prompt: |
      [[on-attempt 1: [[write: half.txt <<x]] [[commit: half]] [[exit: 7]] ]]
      [[on-attempt 2: [[run: git log --format=%s > log.txt]] ]]
  - {id: b, command: "cat log.txt; ls"}
"""
    )
    assert ran.outputs["b"].split() == ["first", "a.txt", "log.txt"], ran.result["summary"]
