"""Going on with a run: what stays, what runs again and why, files rewound or kept, parts and beginnings."""

from __future__ import annotations

import pytest

from runner.errors import UsageError
from tests.workflows.flows import Flows, git, lines

CHAIN = """
steps:
  - {id: a, command: "echo a >> log; echo A"}
  - {id: b, command: "echo b >> log; test -e ok"}
  - {id: c, command: "echo c >> log; echo '{{steps.a.output}}'"}
"""


def test_resume_runs_what_failed_and_what_never_ran(flows: Flows) -> None:
    ran = flows.run(CHAIN)
    assert ran.states == {"a": "done", "b": "failed", "c": "not_run"}
    kept, again = flows.preview(ran)
    assert (kept, again) == (["a"], {"b": "failed", "c": "not started"})
    (flows.root / "ok").write_text("")
    more = flows.resume(ran)
    assert (more.status, more.outputs["c"]) == ("done", "A")
    assert lines(flows.root / "log") == ["a", "b", "b", "c"]
    assert more.steps["a"]["kept"]


def test_nothing_is_left_to_do_after_a_run_that_is_done(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, command: "true"}]')
    assert flows.preview(ran) == (["a"], {})


def test_an_edited_step_runs_again_and_what_depends_on_it(flows: Flows) -> None:
    (flows.root / "ok").write_text("")
    text = """
pattern: dag
steps:
  - {id: a, command: "echo a >> log; echo A"}
  - {id: other, command: "echo other >> log"}
  - {id: b, command: "echo b >> log; echo '{{steps.a.output}}'", needs: [a]}
  - {id: c, command: "echo c >> log", needs: [b, other]}
"""
    ran = flows.run(text)
    changed = text.replace("echo A", "echo B")
    kept, again = flows.preview(ran, changed)
    assert kept == ["other"]
    assert again == {"a": "definition changed", "b": "an input changed", "c": "an input changed"}
    (flows.root / "log").unlink()
    more = flows.resume(ran)
    assert more.outputs["b"] == "B"
    assert sorted(lines(flows.root / "log")) == ["a", "b", "c"]


def test_a_comment_or_another_order_of_keys_changes_nothing(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, command: "true", env: {A: "1", B: "2"}}]')
    assert flows.preview(ran, '# new\nsteps:\n- env: {B: "2", A: "1"}\n  command: "true"\n  id: a\n') == (["a"], {})


def test_from_runs_a_step_again_and_what_depends_on_it(flows: Flows) -> None:
    (flows.root / "ok").write_text("")
    ran = flows.run(CHAIN)
    kept, again = flows.preview(ran, start="b")
    assert (kept, again) == (["a"], {"b": "asked for", "c": "an input changed"})
    flows.resume(ran, start="b")
    assert lines(flows.root / "log") == ["a", "b", "c", "b", "c"]
    with pytest.raises(UsageError, match="has no step 'x'"):
        flows.resume(ran, start="x")


def test_until_runs_a_step_and_what_it_needs(flows: Flows) -> None:
    text = """
pattern: dag
steps:
  - {id: a, command: "echo a >> log"}
  - {id: b, command: "echo b >> log", needs: [a]}
  - {id: c, command: "echo c >> log", needs: [b]}
  - {id: x, command: "echo x >> log"}
"""
    ran = flows.run(text, _until="b")
    assert (ran.status, lines(flows.root / "log")) == ("done", ["a", "b"])
    more = flows.resume(ran)
    assert more.status == "done"
    assert sorted(lines(flows.root / "log")) == ["a", "b", "c", "x"]


def test_loops_go_on_where_they_were(flows: Flows) -> None:
    text = """
steps:
  - id: outer
    loop: {over: [x, y], as: o}
    steps:
      - id: inner
        loop: {over: [p, q], as: i}
        steps:
          - {id: a, command: "echo {{o}}{{i}}a >> log"}
          - {id: b, command: "echo {{o}}{{i}}b >> log; test {{o}}{{i}} != yp -o -e ok"}
"""
    ran = flows.run(text)
    assert ran.status == "failed"
    (flows.root / "ok").write_text("")
    before = lines(flows.root / "log")
    more = flows.resume(ran)
    assert more.status == "done"
    assert lines(flows.root / "log")[len(before) :] == ["ypb", "yqa", "yqb"]
    assert more.states["outer[y]/inner[q]/b"] == "done"


def test_a_loops_matches_are_those_of_its_start(flows: Flows) -> None:
    for name in ("a.md", "b.md"):
        (flows.root / name).write_text("")
    text = """
steps:
  - id: each
    loop: {over: "*.md", as: f}
    steps: [{id: a, command: "echo {{f}} >> log; test {{f}} = a.md -o -e ok"}]
"""
    ran = flows.run(text)
    (flows.root / "aa.md").write_text("")
    (flows.root / "ok").write_text("")
    flows.resume(ran)
    assert lines(flows.root / "log") == ["a.md", "b.md", "b.md"]


def test_a_loop_that_was_used_up_begins_anew_once_its_cause_is_mended(flows: Flows) -> None:
    text = """
steps:
  - id: tries
    loop: {max: 2}
    steps: [{id: go, command: "echo x >> log; test -e ok", continue_on_failure: true, break_if: success}]
  - {id: after, command: echo after >> log}
"""
    ran = flows.run(text)
    assert ran.status == "failed"
    (flows.root / "ok").write_text("")
    more = flows.resume(ran)
    assert more.status == "done"
    assert lines(flows.root / "log") == ["x", "x", "x", "after"]


def test_a_sub_workflow_goes_on_inside(flows: Flows) -> None:
    flows.write("steps: [{id: a, command: echo a >> log}, {id: b, command: echo b >> log; test -e ok}]", "inner")
    ran = flows.run("steps: [{id: sub, workflow: inner}, {id: c, command: echo c >> log}]")
    assert ran.status == "failed"
    (flows.root / "ok").write_text("")
    assert flows.resume(ran).status == "done"
    assert lines(flows.root / "log") == ["a", "b", "b", "c"]


def test_frozen_goes_on_with_the_workflow_as_it_was(flows: Flows) -> None:
    ran = flows.run(CHAIN)
    (flows.root / "ok").write_text("")
    more = flows.resume(ran, CHAIN.replace("echo c", "echo new"), frozen=True)
    assert (more.status, lines(flows.root / "log")[-1]) == ("done", "c")
    (flows.root / "workflows/flow.yaml").unlink()
    with pytest.raises(UsageError, match="is gone"):
        flows.resume(ran)


def test_a_tolerated_failure_is_a_result_that_stays(flows: Flows) -> None:
    text = """
steps:
  - {id: a, command: "echo a >> log; exit 1", continue_on_failure: true}
  - {id: b, command: "echo b >> log; test -e ok"}
"""
    ran = flows.run(text)
    (flows.root / "ok").write_text("")
    flows.resume(ran)
    assert lines(flows.root / "log") == ["a", "b", "b"]


def test_rewind_brings_the_files_back_and_runs_everything_that_came_after(trees: Flows) -> None:
    text = """
pattern: dag
max_concurrency: 1
steps:
  - {id: a, command: "echo a > a.txt; echo a >> all"}
  - {id: b, command: "echo b > b.txt; echo b >> all", needs: [a]}
  - {id: free, command: "cp all free.txt"}
"""
    ran = trees.run(text)
    assert ran.status == "done", ran.result["summary"]
    order = ran.order
    changed = text.replace("echo b > b.txt", "echo B > b.txt")
    kept, _ = trees.preview(ran, changed)
    assert sorted(kept) == ["a", "free"]
    more = trees.resume(ran, rewind=True)
    again = [attempt.step for attempt in more.attempts[len(order) :]]
    assert again == order[order.index("b") :]
    assert more.status == "done"
    branch = str(more.result["branch"])
    assert git(trees.root, "show", f"{branch}:all").split() == ["a", "b"]
    assert git(trees.root, "show", f"{branch}:b.txt") == "B"


def test_keep_goes_on_with_the_files_as_they_are(trees: Flows) -> None:
    text = 'steps: [{id: a, command: "echo a >> all"}, {id: b, command: "echo b >> all"}]'
    ran = trees.run(text)
    more = trees.resume(ran, text.replace("echo b", "echo c"))
    assert git(trees.root, "show", f"{more.result['branch']}:all").split() == ["a", "b", "c"]


def test_begin_in_the_middle_with_what_another_run_came_to(flows: Flows) -> None:
    from runner.app import App
    from runner.workflows.payload import library
    from runner.workflows.startfrom import seeds

    (flows.root / "ok").write_text("")
    first = flows.run(CHAIN)
    app = App.open(start=flows.root, code=True)
    try:
        loaded = library(app, flows.root).load("flow")
        given = seeds(app, loaded, "c", first.task.id)
        assert set(given) == {"a", "b"}
        assert seeds(app, loaded, "c", None) == given
    finally:
        app.close()
    (flows.root / "log").unlink()
    ran = flows.run(CHAIN, _seed=given)
    assert (ran.status, ran.outputs["c"], lines(flows.root / "log")) == ("done", "A", ["c"])


def test_nothing_that_is_missing_becomes_an_empty_text(flows: Flows) -> None:
    from runner.app import App
    from runner.workflows.payload import library
    from runner.workflows.startfrom import seeds

    ran = flows.run(CHAIN)
    app = App.open(start=flows.root, code=True)
    try:
        loaded = library(app, flows.root).load("flow")
        failed = seeds(app, loaded, "c", ran.task.id)
        assert failed["b"]["outcome"] == "check_failed"
        other = flows.run("steps: [{id: z, command: 'true'}]", name="other")
        with pytest.raises(UsageError, match="has no result of step 'a', which 'c' needs"):
            seeds(app, loaded, "c", other.task.id)
    finally:
        app.close()
