"""One rule for every container: what holds in a workflow holds in a group, a loop and a sub-workflow."""

from __future__ import annotations

import textwrap

import pytest

from tests.workflows.flows import Flows, Ran, lines

CONTAINERS = {"workflow": "", "group": "box/", "loop": "box[1]/", "each": "box[p]/", "sub": "box/"}


def wrapped(flows: Flows, kind: str, body: str, pattern: str = "pipeline", top: str = "") -> str:
    """The steps `body` in a container of this kind, in this pattern; `top` are keys of the workflow."""
    body = textwrap.dedent(body).strip("\n")
    own = f"pattern: {pattern}"
    if kind == "workflow":
        return f"{top}\n{own}\nsteps:\n{textwrap.indent(body, '  ')}\n"
    if kind == "sub":
        flows.write(f"{own}\nsteps:\n{textwrap.indent(body, '  ')}\n", "inner")
        return f"{top}\nsteps:\n  - {{id: box, workflow: inner}}\n"
    key = {"group": "", "loop": "loop: {max: 1}", "each": "loop: {over: [p], as: it}"}[kind]
    head = f"{top}\nsteps:\n  - id: box\n    {own}\n    {key}\n" if key else f"{top}\nsteps:\n  - id: box\n    {own}\n"
    return f"{head}    steps:\n{textwrap.indent(body, '      ')}\n"


def states(ran: Ran, kind: str) -> dict[str, str]:
    """The states of the body's steps by their ids."""
    prefix = CONTAINERS[kind]
    return {path.removeprefix(prefix): state for path, state in ran.states.items() if path.startswith(prefix)}


every = pytest.mark.parametrize("kind", CONTAINERS)


@every
def test_steps_begin_when_their_needs_are_met_and_as_many_as_may_at_once(flows: Flows, kind: str) -> None:
    body = """
    - {id: slow, command: "for i in 1 2 3 4 5 6 7 8 9 10; do test -e done && exit 0; sleep 0.3; done; exit 1"}
    - {id: quick, command: "true"}
    - {id: next, command: touch done, needs: [quick]}
    """
    ran = flows.run(wrapped(flows, kind, body, "dag", "max_concurrency: 2"))
    assert ran.status == "done", "the slow step waited in vain for what needs the quick one"


@every
def test_of_three_that_are_ready_one_runs_at_a_time_where_one_may(flows: Flows, kind: str) -> None:
    body = "\n".join(f'- {{id: s{n}, command: "echo + >> log; sleep 0.05; echo - >> log"}}' for n in range(3))
    ran = flows.run(wrapped(flows, kind, body, "dag", "max_concurrency: 1"))
    assert (ran.status, lines(flows.root / "log")) == ("done", ["+", "-"] * 3)


@every
def test_after_a_failure_nothing_new_begins_and_what_runs_may_end(flows: Flows, kind: str) -> None:
    body = """
    - {id: slow, command: sleep 0.5; echo slow >> log}
    - {id: bad, command: sleep 0.1; exit 1}
    - {id: later, command: echo later >> log}
    """
    ran = flows.run(wrapped(flows, kind, body, "dag", "max_concurrency: 2"))
    assert (ran.status, states(ran, kind)) == ("failed", {"slow": "done", "bad": "failed", "later": "not_run"})
    assert lines(flows.root / "log") == ["slow"]


@every
def test_with_continue_only_what_needs_the_failure_does_not_run(flows: Flows, kind: str) -> None:
    body = """
    - {id: bad, command: exit 1}
    - {id: free, command: "true"}
    - {id: bound, command: "true", needs: [bad]}
    """
    ran = flows.run(wrapped(flows, kind, body, "dag", "on_error: continue"))
    assert (ran.status, states(ran, kind)) == ("failed", {"bad": "failed", "free": "done", "bound": "not_run"})


@every
def test_success_is_implied_unless_the_condition_says_otherwise(flows: Flows, kind: str) -> None:
    body = """
    - {id: bad, command: exit 1}
    - {id: plain, command: "true", needs: [bad], when: "1 == 1"}
    - {id: either, command: "true", needs: [bad], when: "failure() or success()"}
    - {id: last, command: "true", needs: [bad], when: "always() and steps.bad.status == 'failed'"}
    """
    ran = flows.run(wrapped(flows, kind, body, "dag", "on_error: continue"))
    assert states(ran, kind) == {"bad": "failed", "plain": "not_run", "either": "done", "last": "done"}


@every
@pytest.mark.parametrize(
    ("first", "keys", "skipped"),
    [
        ("true", "", True),
        ("false", "continue_on_failure: true,", False),
        ("true", "when: 'false',", False),
    ],
)
def test_previous_success_is_of_the_single_step_before_it(
    flows: Flows, kind: str, first: str, keys: str, skipped: bool
) -> None:
    body = f"""
    - {{id: before, command: "false", continue_on_failure: true}}
    - {{id: a, {keys} command: "{first}"}}
    - {{id: b, command: echo b >> log, skip_if: previous_success}}
    - {{id: c, command: echo c >> log}}
    """
    ran = flows.run(wrapped(flows, kind, body))
    assert (ran.status, states(ran, kind)["b"]) == ("done", "skipped" if skipped else "done")
    assert lines(flows.root / "log") == (["c"] if skipped else ["b", "c"])


@every
def test_a_skipped_step_changes_nothing_else(flows: Flows, kind: str) -> None:
    body = """
    - {id: a, command: "echo a", capture: got}
    - {id: b, command: "echo b", when: "false"}
    - {id: c, command: "echo {{got}}{{steps.a.output}}{{steps.b.output}} >> log"}
    - {id: d, command: "echo d >> log", when: "steps.b.status == 'skipped'"}
    """
    ran = flows.run(wrapped(flows, kind, body))
    assert (ran.status, lines(flows.root / "log")) == ("done", ["aa", "d"])


@every
@pytest.mark.parametrize(
    "step",
    [
        "command: exit 3",
        "command: sleep 9, timeout: 0.2",
        "command: 'echo {{steps.a.json.no}}'",
        "command: x, workdir: nowhere",
        "command: 'true', verify: [{file_exists: no}]",
        "command: 'true', artifacts: [no.txt]",
        "command: 'echo text', capture: got, capture_format: json",
        "agent: script, prompt: '[[crash]]'",
        "script: '{{steps.a.status}}.sh'",
        "loop: {over: '*.none', as: f, require_matches: true}, steps: [{id: x, command: x}]",
        "loop: {max: 1}, steps: [{id: x, command: 'true', break_if: failure}]",
        "steps: [{id: x, command: exit 3}]",
        "task: run_script, with: {script: exit 3}",
        "preflight: [{command: exit 3}]",
    ],
)
def test_every_way_to_fail_can_be_tolerated(flows: Flows, kind: str, step: str) -> None:
    body = f"""
    - {{id: a, command: "printf '{{}}'"}}
    - {{id: b, {step}, continue_on_failure: true}}
    - {{id: c, command: echo c >> log}}
    """
    ran = flows.run(wrapped(flows, kind, body))
    found = states(ran, kind)
    assert (ran.status, found["b"], found["c"]) == ("done", "failed", "done"), ran.result["summary"]


@every
def test_a_red_check_is_repaired_wherever_the_step_stands(flows: Flows, kind: str) -> None:
    body = """
    - id: a
      agent: script
      expects: answer
      repairable: {attempts: 1}
      prompt: "[[on-repair: [[write: ok <<x]] ]] [[say: x]]"
      verify: [{file_exists: ok}]
    """
    ran = flows.run(wrapped(flows, kind, body))
    assert (ran.status, [(one.outcome, one.repair) for one in ran.attempts]) == (
        "done",
        [("check_failed", False), ("ok", True)],
    )


@every
def test_a_gate_waits_wherever_it_stands_and_goes_on_with_its_answer(flows: Flows, kind: str) -> None:
    body = """
    - {id: beside, command: echo beside >> log}
    - {id: ask, gate: "Go?", options: [go, stop], capture: said}
    - {id: after, command: "echo {{said}} {{steps.ask.answer}} >> log", needs: [ask]}
    """
    ran = flows.run(wrapped(flows, kind, body, "dag", "max_concurrency: 1"))
    path = f"{CONTAINERS[kind]}ask"
    assert (ran.status, ran.states[path], [one["path"] for one in ran.result["waiting"]]) == (
        "needs_human",
        "waiting",
        [path],
    )
    more = flows.resolve(ran, answer="go", step=path)
    assert (more.status, lines(flows.root / "log")) == ("done", ["beside", "go go"])


@every
def test_a_run_goes_on_in_the_middle_of_it_and_again_after_the_next_failure(flows: Flows, kind: str) -> None:
    body = """
    - {id: a, command: "echo a >> log; echo A", capture: got}
    - {id: b, command: "echo b >> log; test -e ok1"}
    - {id: c, command: "echo c{{got}} >> log; test -e ok2"}
    """
    ran = flows.run(wrapped(flows, kind, body))
    (flows.root / "ok1").write_text("")
    again = flows.resume(ran)
    assert again.status == "failed"
    (flows.root / "ok2").write_text("")
    assert flows.resume(again).status == "done"
    assert lines(flows.root / "log") == ["a", "b", "b", "cA", "cA"]


@every
def test_a_kept_failure_is_repaired_by_a_new_file_and_what_it_needs_stays(flows: Flows, kind: str) -> None:
    body = "- {id: a, command: echo a >> log}\n- {id: b, command: exit 1}\n- {id: c, command: echo c >> log}"
    ran = flows.run(wrapped(flows, kind, body))
    kept, again = flows.preview(ran, wrapped(flows, kind, body.replace("exit 1", "echo b >> log")))
    prefix = CONTAINERS[kind]
    assert kept == [f"{prefix}a"]
    assert again[f"{prefix}b"] in ("failed", "definition changed")
    assert flows.resume(ran).status == "done"
    assert lines(flows.root / "log") == ["a", "b", "c"]
