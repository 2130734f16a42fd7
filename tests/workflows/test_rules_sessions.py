"""Which session an agent goes on in: the nearest of the same agent, the iteration before, outward, a name, none."""

from __future__ import annotations

from tests.workflows.flows import Flows, Ran

SCRIPT = "agent: script, expects: answer,"


def session(ran: Ran, path: str) -> str:
    return str((ran.tries(path)[-1].result or {})["session"])


def test_of_several_before_it_the_nearest_is_meant(repo: Flows) -> None:
    ran = repo.run(
        f"""
steps:
  - {{id: far, {SCRIPT} prompt: "[[remember: far]] [[say: x]]"}}
  - {{id: near, {SCRIPT} prompt: "[[remember: near]] [[say: x]]"}}
  - {{id: sh, command: "true"}}
  - {{id: b, session: resume, {SCRIPT} prompt: "[[recall]]"}}
"""
    )
    assert (session(ran, "b"), ran.outputs["b"]) == (session(ran, "near"), "near")


def test_a_step_of_another_program_is_no_predecessor(repo: Flows) -> None:
    (repo.root / "runner.yaml").write_text('agents:\n  echo: {program: echo, argv: ["{prompt}"]}\n')
    ran = repo.run(
        f"""
steps:
  - {{id: far, {SCRIPT} prompt: "[[remember: far]] [[say: x]]"}}
  - {{id: near, agent: echo, expects: answer, prompt: "hello"}}
  - {{id: b, session: resume, {SCRIPT} prompt: "[[recall]]"}}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert (session(ran, "b"), ran.outputs["b"]) == (session(ran, "far"), "far")


def test_two_names_of_one_program_are_the_same_agent(repo: Flows) -> None:
    ran = repo.run(
        """
agents: {lead: {cli: script}, impl: {cli: script}}
steps:
  - {id: a, agent: lead, expects: answer, prompt: "[[remember: red]] [[say: x]]"}
  - {id: b, agent: impl, session: resume, expects: answer, prompt: "[[recall]]"}
"""
    )
    assert (session(ran, "b"), ran.outputs["b"]) == (session(ran, "a"), "red")


def test_outward_of_a_group_and_of_the_first_iteration_of_a_loop_is_what_came_before_it(repo: Flows) -> None:
    ran = repo.run(
        f"""
steps:
  - {{id: before, {SCRIPT} prompt: "[[remember: red]] [[say: x]]"}}
  - id: box
    steps:
      - {{id: sh, command: "true"}}
      - id: tries
        loop: {{max: 2}}
        steps: [{{id: b, session: resume, {SCRIPT} prompt: "[[recall]]"}}]
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert {session(ran, f"box/tries[{n}]/b") for n in (1, 2)} == {session(ran, "before")}


def test_inside_an_iteration_the_step_before_goes_before_the_iteration_before(repo: Flows) -> None:
    ran = repo.run(
        f"""
steps:
  - id: tries
    loop: {{max: 2}}
    steps:
      - {{id: a, {SCRIPT} prompt: "[[say: x]]"}}
      - {{id: b, session: resume, {SCRIPT} prompt: "[[say: x]]"}}
"""
    )
    for n in (1, 2):
        assert session(ran, f"tries[{n}]/b") == session(ran, f"tries[{n}]/a")
    assert session(ran, "tries[1]/b") != session(ran, "tries[2]/b")


def test_resume_does_not_leave_a_sub_workflow(repo: Flows) -> None:
    repo.write(f'steps: [{{id: a, session: resume, {SCRIPT} prompt: "[[say: x]]"}}]', "inner")
    ran = repo.run(
        f"""
steps:
  - {{id: before, {SCRIPT} prompt: "[[say: x]]"}}
  - {{id: sub, workflow: inner}}
"""
    )
    assert session(ran, "sub/a") != session(ran, "before")
    assert any("begins a new one" in one for one in ran.result["warnings"])


def test_a_skipped_step_has_no_session_so_a_fresh_one_begins_with_a_warning(repo: Flows) -> None:
    ran = repo.run(
        f"""
steps:
  - {{id: a, when: "false", {SCRIPT} prompt: "[[say: x]]"}}
  - {{id: b, session: resume, {SCRIPT} prompt: "[[say: x]]"}}
"""
    )
    assert (ran.status, ran.states["a"]) == ("done", "skipped")
    assert any("b: there is no session of 'script'" in one for one in ran.result["warnings"])


def test_a_named_session_is_the_same_one_in_a_group_and_a_sub_workflow(repo: Flows) -> None:
    repo.write(f'steps: [{{id: a, session: desk, {SCRIPT} prompt: "[[recall]]"}}]', "inner")
    ran = repo.run(
        f"""
steps:
  - {{id: first, session: desk, {SCRIPT} prompt: "[[remember: blue]] [[say: x]]"}}
  - {{id: between, {SCRIPT} prompt: "[[remember: other]] [[say: x]]"}}
  - {{id: box, steps: [{{id: a, session: desk, {SCRIPT} prompt: "[[recall]]"}}]}}
  - {{id: sub, workflow: inner}}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert (ran.outputs["box/a"], ran.outputs["sub/a"]) == ("blue", "blue")


def test_a_session_from_outside_is_for_the_first_resume_alone(repo: Flows) -> None:
    first = repo.run(f'steps: [{{id: a, {SCRIPT} prompt: "[[remember: green]] [[say: x]]"}}]')
    ran = repo.run(
        f"""
steps:
  - id: each
    loop: {{over: [p, q], as: v}}
    steps: [{{id: b, session: resume, {SCRIPT} prompt: "[[say: x]]"}}]
  - {{id: new, {SCRIPT} prompt: "[[say: x]]"}}
""",
        _session=session(first, "a"),
    )
    given = session(first, "a")
    assert [session(ran, one) == given for one in ("each[p]/b", "each[q]/b", "new")] == [True, False, False]


def test_going_on_keeps_the_sessions_that_there_were(repo: Flows) -> None:
    text = f"""
steps:
  - {{id: a, {SCRIPT} prompt: "[[remember: red]] [[say: x]]"}}
  - {{id: named, session: desk, {SCRIPT} prompt: "[[remember: blue]] [[say: x]]"}}
  - {{id: stop, command: "test -e ok"}}
  - {{id: b, session: resume, needs: [stop], {SCRIPT} prompt: "[[recall]]"}}
  - {{id: c, session: desk, {SCRIPT} prompt: "[[recall]]"}}
"""
    ran = repo.run(text)
    (repo.root / "ok").write_text("")
    more = repo.resume(ran)
    assert more.status == "done", more.result["summary"]
    assert (more.outputs["b"], more.outputs["c"]) == ("blue", "blue")
    assert session(more, "b") == session(ran, "named")
