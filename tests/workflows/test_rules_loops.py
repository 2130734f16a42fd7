"""What ends a loop, and what of a loop, or of a workflow that is called, is seen outside."""

from __future__ import annotations

import pytest

from tests.workflows.flows import Flows, lines


@pytest.mark.parametrize(
    "inner",
    [
        "steps: [{id: x, command: STEP, break_if: WORD}]",
        "pattern: dag, steps: [{id: x, command: STEP, break_if: WORD}]",
    ],
)
@pytest.mark.parametrize(("step", "word"), [("exit 0", "success"), ("exit 1", "failure")])
def test_a_break_in_a_group_ends_the_loop_around_it(flows: Flows, inner: str, step: str, word: str) -> None:
    body = inner.replace("STEP", step).replace("WORD", word)
    ran = flows.run(
        f"""
steps:
  - id: l
    loop: {{max: 3}}
    steps: [{{id: count, command: echo x >> log}}, {{id: g, {body}}}, {{id: never, command: echo never >> log}}]
  - {{id: after, command: echo after >> log}}
"""
    )
    assert (ran.status, lines(flows.root / "log")) == ("done", ["x", "after"])


@pytest.mark.parametrize("loop", ["{max: 3}", "{over: [p, q, r], as: v}"])
def test_a_break_ends_every_kind_of_loop(flows: Flows, loop: str) -> None:
    step = '{id: a, command: "echo x >> log; test $(wc -l < log) = 2", break_if: success, continue_on_failure: true}'
    ran = flows.run(f"steps:\n  - id: l\n    loop: {loop}\n    steps: [{step}]\n")
    assert (ran.status, lines(flows.root / "log")) == ("done", ["x", "x"])


def test_a_for_each_that_never_breaks_succeeds(flows: Flows) -> None:
    ran = flows.run(
        'steps:\n  - id: l\n    loop: {over: [p, q], as: v}\n    steps: [{id: a, command: "true", break_if: failure}]\n'
    )
    assert (ran.status, len(ran.attempts)) == ("done", 2)


def test_a_break_of_a_sub_workflow_is_not_that_of_the_loop_that_calls_it(flows: Flows) -> None:
    flows.write(
        "steps: [{id: l, loop: {max: 4}, steps: [{id: a, command: echo a >> log, break_if: success}]}]", "inner"
    )
    ran = flows.run("steps: [{id: outer, loop: {max: 2}, steps: [{id: sub, workflow: inner}]}]")
    assert (ran.status, lines(flows.root / "log")) == ("done", ["a", "a"])


def test_a_failure_in_an_iteration_ends_the_loop_and_the_iterations_after_it_do_not_run(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: l
    loop: {over: [p, q, r], as: v}
    steps: [{id: a, command: "echo {{v}} >> log; test {{v}} != q"}]
"""
    )
    assert (ran.status, lines(flows.root / "log")) == ("failed", ["p", "q"])


def test_parameters_are_not_passed_on_unasked(flows: Flows) -> None:
    flows.write("params: [{name: who, default: nobody}]\nsteps: [{id: a, command: 'echo {{who}}'}]", "inner")
    ran = flows.run("params: [{name: who}]\nsteps: [{id: sub, workflow: inner}]", {"who": "ann"})
    assert ran.outputs["sub/a"] == "nobody"
