"""Time in a run: what a container may take, deadlines of gates; texts that are a no; lists with placeholders."""

from __future__ import annotations

import re
import time

import pytest

from runner.errors import UsageError
from tests.conftest import Runner
from tests.workflows.flows import Flows, lines


@pytest.mark.parametrize(
    ("box", "never"),
    [
        ('loop: {max: 3}, steps: [{id: s, command: "sleep 9", break_if: failure}]', "box[2]/s"),
        ('steps: [{id: s, command: "sleep 9", continue_on_failure: true}, {id: c, command: echo c >> log}]', None),
        ('loop: {max: 9}, steps: [{id: s, command: "echo x >> log; sleep 0.4"}]', "box[9]/s"),
        ('pattern: dag, steps: [{id: s, command: "sleep 9"}, {id: g, gate: "Yes?"}]', None),
    ],
)
def test_a_container_whose_time_is_over_has_failed_whatever_in_it_is_tolerated(
    flows: Flows, box: str, never: str | None
) -> None:
    ran = flows.run(f"steps: [{{id: box, timeout: 1, {box}}}, {{id: after, command: 'echo after >> log'}}]")
    assert (ran.status, ran.states["box"], ran.states["after"]) == ("failed", "failed", "not_run")
    assert ran.summary("box") == "it took longer than its time limit of 1 s"
    assert ran.steps["box"]["outcome"] == "timeout"
    assert never not in ran.states
    assert "c" not in lines(flows.root / "log")
    assert ran.result["active_s"] < 8


def test_a_containers_time_that_is_over_can_be_tolerated(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: box, timeout: 1, continue_on_failure: true, steps: [{id: s, command: sleep 9}]}
  - {id: after, command: "true"}
"""
    )
    assert (ran.status, ran.states["after"]) == ("done", "done")


def test_a_run_that_took_too_long_says_so_and_goes_on_when_it_may_take_longer(flows: Flows) -> None:
    text = """
timeout: LIMIT
steps:
  - {id: a, command: "true"}
  - {id: b, command: "test -e ok || sleep 9"}
  - {id: c, command: "true"}
"""
    ran = flows.run(text.replace("LIMIT", "1"))
    assert ran.status == "failed"
    assert "took longer than its time limit of 1 s; raise `timeout`" in ran.result["summary"]
    (flows.root / "ok").write_text("")
    with pytest.raises(UsageError, match=r"the time of the run is used up \(1 of 1 s\)"):
        flows.resume(ran)
    more = flows.resume(ran, text.replace("LIMIT", "60"))
    assert (more.status, more.order) == ("done", ["a", "b", "b", "c"])


GATE = """
pattern: dag
steps:
  - {id: ask, gate: "Ship?", options: ["yes", "no"], deadline: 0.6, default: "no"}
  - {id: slow, command: "sleep 1.5; echo slow >> log"}
  - {id: then, needs: [ask], command: 'echo "{{steps.ask.answer}}" >> log'}
"""


def test_a_deadline_that_passes_while_others_run_is_answered_then(flows: Flows) -> None:
    ran = flows.run(GATE)
    assert (ran.status, lines(flows.root / "log")) == ("done", ["no", "slow"])


def test_until_when_a_gate_waits_is_told(flows: Flows, runner: Runner) -> None:
    flows.write('steps: [{id: ask, gate: "Ship?", options: ["yes", "no"], deadline: 1h, default: "no"}]')
    ran = runner("workflow", "run", "flow")
    assert re.search(r"ask: without an answer by .*\d\d:\d\d.* it is: no\n", ran.stderr)
    [waits] = runner("workflow", "run", "flow", "--format", "json").json["waiting"]
    assert (waits["default"], waits["deadline_at"] > time.time() + 3500) == ("no", True)


def test_a_gate_that_is_asked_anew_has_its_whole_time_again(flows: Flows) -> None:
    text = 'steps: [{id: ask, gate: "Ship?", deadline: 0.5, default: "no"}]'
    ran = flows.run(text)
    time.sleep(0.6)
    ran = flows.resume(ran)
    assert ran.status == "done"
    assert flows.resume(ran, start="ask").status == "needs_human"


@pytest.mark.parametrize(("said", "runs"), [("false", "no"), ("no", "no"), ("0", "no"), ("true", "yes"), ("x", "yes")])
def test_a_text_that_is_a_no_is_one_in_a_condition(flows: Flows, said: str, runs: str) -> None:
    text = """
params: [{name: f, default: false}]
steps:
  - {id: is, when: "f", command: "echo yes >> log"}
  - {id: not, when: "not f", command: "echo no >> log"}
  - {id: eq, when: "f == false", command: "echo no >> log"}
  - {id: out, command: 'printf "%s" "{{f}}"'}
  - {id: of, when: "steps.out.output", command: "echo yes >> log"}
"""
    flows.run(text, {"f": said})
    assert set(lines(flows.root / "log")) == {runs}
    (flows.root / "log").unlink()
    flows.run(text)
    assert set(lines(flows.root / "log")) == {"no"}


def test_the_items_of_a_list_have_placeholders_too(flows: Flows) -> None:
    ran = flows.run(
        """
params: [{name: f, default: two}]
steps:
  - {id: a, command: echo one}
  - id: each
    loop: {over: ["{{steps.a.output}}", "{{f}}", three], as: v}
    steps: [{id: s, command: 'echo "{{v}}" >> log'}]
"""
    )
    assert (ran.status, lines(flows.root / "log")) == ("done", ["one", "two", "three"])
    wrong = flows.problems("steps: [{id: e, loop: {over: ['{{nope}}'], as: v}, steps: [{id: s, command: x}]}]")
    assert any("nope" in str(one) for one in wrong)


def test_who_reads_no_further_does_not_end_the_run(flows: Flows, runner: Runner) -> None:
    flows.write(
        "steps: [{id: a, command: sleep 0.5}, {id: b, command: echo b >> log}, {id: c, command: echo c >> log}]"
    )
    program = runner.start("workflow", "run", "flow", "--format", "jsonl")
    assert program.stdout is not None
    assert '"path"' in program.stdout.readline()
    program.stdout.close()
    program.wait(60)
    assert program.stderr is not None
    program.stderr.close()
    assert lines(flows.root / "log") == ["b", "c"]
