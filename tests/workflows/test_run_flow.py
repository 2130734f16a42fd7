"""Steps in order, conditions, loops, groups, sub-workflows: the same rule in every container, run for real."""

from __future__ import annotations

import textwrap
import time

import pytest

from tests.workflows.flows import Flows, Ran, lines

CONTAINERS = {"workflow": "", "group": "box/", "loop": "box[1]/", "sub": "box/"}


def wrapped(flows: Flows, kind: str, body: str, top: str = "") -> str:
    """The steps `body` in a container of this kind; `top` are keys of the workflow."""
    body = textwrap.dedent(body).strip("\n")
    if kind == "workflow":
        return f"{top}\nsteps:\n{textwrap.indent(body, '  ')}\n"
    if kind == "sub":
        flows.write(f"steps:\n{textwrap.indent(body, '  ')}\n", "inner")
        return f"{top}\nsteps:\n  - {{id: box, workflow: inner}}\n"
    key = "loop: {max: 1}\n    steps" if kind == "loop" else "steps"
    return f"{top}\nsteps:\n  - id: box\n    {key}:\n{textwrap.indent(body, '      ')}\n"


def ran_in(flows: Flows, kind: str, body: str, top: str = "") -> tuple[Ran, dict[str, str]]:
    """The run, and the states of the body's steps by their ids."""
    ran = flows.run(wrapped(flows, kind, body, top))
    prefix = CONTAINERS[kind]
    states = {path.removeprefix(prefix): state for path, state in ran.states.items() if path.startswith(prefix)}
    return ran, states


every = pytest.mark.parametrize("kind", CONTAINERS)


@every
def test_children_run_in_order_and_the_container_is_done_when_they_are(flows: Flows, kind: str) -> None:
    ran, states = ran_in(flows, kind, "- {id: a, command: echo a >> log}\n- {id: b, command: echo b >> log}")
    assert (ran.status, states["a"], states["b"]) == ("done", "done", "done")
    assert lines(flows.root / "log") == ["a", "b"]


@every
def test_a_failing_step_fails_the_run_and_what_needs_it_does_not_run(flows: Flows, kind: str) -> None:
    ran, states = ran_in(flows, kind, "- {id: a, command: exit 3}\n- {id: b, command: echo b >> log}")
    assert (ran.status, states["a"], states["b"]) == ("failed", "failed", "not_run")
    assert "the exit code is 3" in str(ran.result["summary"])
    assert not (flows.root / "log").exists()


@every
def test_a_tolerated_failure_satisfies_needs(flows: Flows, kind: str) -> None:
    body = "- {id: a, command: exit 3, continue_on_failure: true}\n- {id: b, command: echo b >> log}"
    ran, states = ran_in(flows, kind, body)
    assert (ran.status, states["a"], states["b"]) == ("done", "failed", "done")


@every
def test_continue_on_failure_covers_a_value_that_is_missing_at_run_time(flows: Flows, kind: str) -> None:
    body = """
    - {id: a, command: "printf '{}'"}
    - {id: b, command: "echo {{steps.a.json.nothing}}", continue_on_failure: true}
    - {id: c, command: "true"}
    """
    ran, states = ran_in(flows, kind, body)
    assert (ran.status, states["b"], states["c"]) == ("done", "failed", "done")
    assert "has no 'nothing'" in ran.summary(f"{CONTAINERS[kind]}b")


@every
def test_skip_if_previous_success_is_the_same_everywhere(flows: Flows, kind: str) -> None:
    body = """
    - {id: a, command: "true"}
    - {id: b, command: echo b >> log, skip_if: previous_success}
    - {id: c, command: echo c >> log, skip_if: previous_success}
    - {id: d, command: echo d >> log}
    """
    ran, states = ran_in(flows, kind, body)
    assert (states["b"], states["c"], states["d"]) == ("skipped", "skipped", "done")
    assert ran.status == "done"
    assert lines(flows.root / "log") == ["d"]


@every
def test_skip_if_a_command_skips_on_exit_0_in_the_steps_folder(flows: Flows, kind: str) -> None:
    (flows.root / "sub").mkdir()
    (flows.root / "sub/there").write_text("")
    body = """
    - {id: a, command: echo a >> log, skip_if: "sh: test -e there", workdir: sub}
    - {id: b, command: echo b >> log, skip_if: "sh: test -e there"}
    - {id: c, command: "true", skip_if: "sh: kill -9 $$"}
    """
    ran, states = ran_in(flows, kind, body)
    assert (states["a"], states["b"], states["c"], ran.status) == ("skipped", "done", "failed", "failed")


@every
def test_a_skipped_steps_output_is_empty_and_its_capture_too_with_a_warning(flows: Flows, kind: str) -> None:
    body = """
    - {id: a, command: echo x, capture: got, when: "false"}
    - {id: b, command: "echo '[{{got}}][{{steps.a.output}}]' >> log"}
    """
    ran, states = ran_in(flows, kind, body)
    assert (states["a"], states["b"]) == ("skipped", "done")
    assert lines(flows.root / "log") == ["[][]"]
    assert any("'got' is empty" in warning for warning in ran.result["warnings"])


@every
def test_when_with_always_failure_and_success(flows: Flows, kind: str) -> None:
    body = """
    - {id: a, command: exit 1}
    - {id: cleanup, command: echo cleanup >> log, when: always(), needs: [a]}
    - {id: report, command: echo report >> log, when: failure(), needs: [a]}
    - {id: ship, command: echo ship >> log, when: success(), needs: [a]}
    - {id: after, command: echo after >> log, needs: [ship]}
    """
    ran, states = ran_in(flows, kind, body)
    assert states == {"a": "failed", "cleanup": "done", "report": "done", "ship": "not_run", "after": "not_run"}
    assert ran.status == "failed"
    assert sorted(lines(flows.root / "log")) == ["cleanup", "report"]


def test_a_condition_sees_results(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: a, command: echo 3}
  - {id: b, command: echo big, when: "steps.a.output | int > 2"}
  - {id: c, command: echo small, when: "steps['a'].output == '2'"}
"""
    )
    assert ran.states == {"a": "done", "b": "done", "c": "skipped"}


def test_fail_fast_starts_nothing_new_and_lets_running_steps_finish(flows: Flows) -> None:
    ran = flows.run(
        """
pattern: dag
max_concurrency: 2
steps:
  - {id: slow, command: sleep 0.5; echo slow >> log}
  - {id: bad, command: sleep 0.1; exit 1}
  - {id: later, command: echo later >> log}
"""
    )
    assert ran.states == {"slow": "done", "bad": "failed", "later": "not_run"}
    assert lines(flows.root / "log") == ["slow"]


def test_on_error_continue_runs_what_does_not_need_the_failure(flows: Flows) -> None:
    ran = flows.run(
        """
pattern: dag
max_concurrency: 1
on_error: continue
steps:
  - {id: bad, command: exit 1}
  - {id: free, command: "true"}
  - {id: bound, command: "true", needs: [bad]}
"""
    )
    assert ran.states == {"bad": "failed", "free": "done", "bound": "not_run"}
    assert ran.status == "failed"


# Loops


def test_a_counted_loop_ends_with_success_when_a_break_holds(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: tries
    loop: {max: 5, as_index: n}
    steps:
      - {id: go, command: "echo {{n}} >> log; test \\"{{n}}\\" = 2", continue_on_failure: true, break_if: success}
"""
    )
    assert ran.status == "done"
    assert lines(flows.root / "log") == ["0", "1", "2"]


def test_break_if_failure_on_a_failing_step_ends_the_loop_with_success(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: tries
    loop: {max: 5}
    steps:
      - {id: go, command: "echo x >> log; exit 1", break_if: failure}
      - {id: never, command: echo never >> log}
  - {id: after, command: echo after >> log}
"""
    )
    assert (ran.status, ran.states["tries"], ran.states["tries[1]/never"]) == ("done", "done", "not_run")
    assert lines(flows.root / "log") == ["x", "after"]


def test_break_is_not_asked_of_a_step_that_was_skipped(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: tries
    loop: {max: 2}
    steps:
      - {id: go, command: "true", when: "false", break_if: success}
      - {id: count, command: echo x >> log}
"""
    )
    assert ran.status == "failed"
    assert lines(flows.root / "log") == ["x", "x"]


@pytest.mark.parametrize(("break_if", "status"), [("break_if: failure, ", "failed"), ("", "done")])
def test_a_counted_loop_that_is_used_up_fails_when_its_body_could_have_broken(
    flows: Flows, break_if: str, status: str
) -> None:
    ran = flows.run(f"steps:\n  - id: l\n    loop: {{max: 3}}\n    steps: [{{id: a, {break_if}command: 'true'}}]\n")
    assert ran.status == status
    assert len(ran.attempts) == 3


def test_an_inner_loops_break_is_not_the_outer_loops(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: outer
    loop: {max: 2}
    steps:
      - id: inner
        loop: {max: 3}
        steps: [{id: a, command: echo a >> log, break_if: success}]
"""
    )
    assert ran.status == "done"
    assert lines(flows.root / "log") == ["a", "a"]


def test_a_for_each_runs_over_sorted_matches_fixed_at_its_start(flows: Flows) -> None:
    for name in ("b.md", "a.md", "deep/c.md"):
        path = flows.root / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    ran = flows.run(
        """
steps:
  - id: each
    loop: {over: "docs/**/*.md", as: file, as_index: n}
    steps: [{id: show, command: "echo {{n}} {{file}} >> log; echo new > docs/z.md"}]
  - {id: all, command: "echo '{{steps.each.results.1.show.status}}'"}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert lines(flows.root / "log") == ["0 docs/a.md", "1 docs/b.md", "2 docs/deep/c.md"]
    assert "each[docs/a.md]/show" in ran.states
    assert ran.outputs["all"] == "done"


@pytest.mark.parametrize(("more", "status"), [("", "done"), (", require_matches: true", "failed")])
def test_no_match_succeeds_unless_matches_are_required(flows: Flows, more: str, status: str) -> None:
    ran = flows.run(
        f"steps:\n  - id: l\n    loop: {{over: '*.none', as: f{more}}}\n    steps: [{{id: a, command: 'true'}}]\n"
    )
    assert ran.status == status


def test_a_loop_over_values(flows: Flows) -> None:
    ran = flows.run(
        "steps:\n  - id: l\n    loop: {over: [x y, $HOME], as: v}\n"
        "    steps: [{id: a, command: 'echo \"{{v}}\" >> log'}]\n"
    )
    assert ran.status == "done"
    assert lines(flows.root / "log") == ["x y", "$HOME"]


def test_captures_of_an_iteration_stay_after_it(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: l
    loop: {max: 2, as_index: n}
    steps:
      - {id: a, command: "echo {{n}}", capture: last}
  - {id: after, command: "echo {{last}}"}
"""
    )
    assert ran.outputs["after"] == "1"


# Sub-workflows


def test_a_sub_workflow_sees_its_parameters_only_and_gives_back_its_outputs(flows: Flows) -> None:
    flows.write(
        """
params: [{name: who, required: true}, {name: mark, default: "!"}]
outputs: {said: "{{greeting}}", raw: "{{steps.say.output}}"}
steps: [{id: say, command: "printf '%s' 'hello {{who}}{{mark}}'", capture: greeting}]
""",
        "inner",
    )
    ran = flows.run(
        """
params: [{name: hidden, default: no}]
steps:
  - {id: sub, workflow: inner, params: {who: "bob"}}
  - {id: use, command: "echo '{{steps.sub.said}}' '{{steps.sub.outputs.raw}}'"}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert ran.outputs["use"] == "hello bob! hello bob!"
    assert any(
        "'hidden' is not defined" in str(problem)
        for problem in flows.problems("steps: [{id: a, command: 'echo {{hidden}}'}]")
    )


def test_an_inner_capture_does_not_leak_out(flows: Flows) -> None:
    flows.write("steps: [{id: a, command: echo x, capture: secret}]", "inner")
    text = "steps: [{id: sub, workflow: inner}, {id: b, command: 'echo {{secret}}'}]"
    assert any("'secret' is not defined here" in str(problem) for problem in flows.problems(text))


# Time


def test_one_at_a_time_never_runs_two(flows: Flows) -> None:
    steps = "\n".join(f'  - {{id: s{n}, command: "echo + >> log; sleep 0.05; echo - >> log"}}' for n in range(6))
    ran = flows.run(f"pattern: dag\nmax_concurrency: 1\nsteps:\n{steps}\n")
    assert ran.status == "done"
    assert lines(flows.root / "log") == ["+", "-"] * 6


def test_concurrency_is_used_and_never_more(flows: Flows) -> None:
    steps = "\n".join(f'  - {{id: s{n}, command: "echo + >> log; sleep 0.3; echo - >> log"}}' for n in range(7))
    ran = flows.run(f"pattern: dag\nmax_concurrency: 3\nsteps:\n{steps}\n")
    assert ran.status == "done"
    now = most = 0
    for sign in lines(flows.root / "log"):
        now += 1 if sign == "+" else -1
        most = max(most, now)
    assert most == 3


def test_a_dependant_of_an_instant_step_does_not_wait_for_a_slow_sibling(flows: Flows) -> None:
    ran = flows.run(
        """
pattern: dag
max_concurrency: 2
steps:
  - {id: slow, command: "for i in 1 2 3 4 5 6 7 8 9 10; do test -e done && exit 0; sleep 0.5; done; exit 1"}
  - {id: quick, command: "true"}
  - {id: next, command: touch done, needs: [quick]}
"""
    )
    assert ran.status == "done", "the slow step waited in vain for the dependant of the quick one"


def test_the_run_has_a_time_of_its_own(flows: Flows) -> None:
    began = time.monotonic()
    ran = flows.run('timeout: 1s\nsteps: [{id: a, command: "sleep 30"}, {id: b, command: "true"}]')
    assert time.monotonic() - began < 15
    assert ran.status == "failed"
    assert ran.states == {"a": "failed", "b": "not_run"}
    assert ran.steps["a"]["outcome"] == "timeout"


def test_a_step_has_a_time_of_its_own(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, command: "sleep 30", timeout: 0.5, continue_on_failure: true}]')
    assert (ran.status, ran.steps["a"]["outcome"]) == ("done", "timeout")


# Values


def test_output_is_exact_and_captures_may_be_json_or_have_the_error_stream(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: exact, command: "printf '  a\\n\\n b \\n\\n'"}
  - {id: obj, command: "printf '{\\"k\\": [1, \\"two\\"]}'", capture: obj, capture_format: json}
  - {id: err, command: "echo out; echo bad >&2; exit 1", capture: both, capture_stderr: true, continue_on_failure: true}
  - {id: use, command: "printf '%s|%s|%s' '{{steps.exact.output}}' '{{obj.k.1}}' '{{both}}'"}
  - {id: parsed, command: "printf '%s' '{{steps.obj.json.k.0}}'"}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert ran.outputs["use"] == "  a\n\n b |two|out\n\nSTDERR:\nbad"
    assert ran.outputs["parsed"] == "1"


def test_an_output_over_a_mebibyte_is_never_cut_but_refused_with_its_path(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: big, command: "head -c 1100000 /dev/zero | tr '\\\\0' x"}
  - {id: size, command: "wc -c < '{{steps.big.path}}'"}
  - {id: use, command: "echo '{{steps.big.output}}'"}
"""
    )
    assert (ran.states["size"], ran.states["use"], ran.status) == ("done", "failed", "failed")
    assert ran.outputs["size"].strip() == "1100000"
    assert "1100000 bytes, too many" in ran.summary("use")
    assert "`path`" in ran.summary("use")


def test_a_mebibyte_passes_whole(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: big, command: "head -c 1000000 /dev/zero | tr '\\\\0' x; echo; echo end"}
  - {id: use, command: "printf '%s' '{{steps.big.output}}' | wc -c; printf '%s' '{{steps.big.output}}' | tail -n 1"}
"""
    )
    assert ran.outputs["use"].split() == ["1000004", "end"]


def test_every_step_knows_its_run_and_key(flows: Flows) -> None:
    ran = flows.run(
        """
env: {SHARED: everywhere}
steps:
  - id: l
    loop: {max: 1}
    steps:
      - {id: a, env: {MINE: "{{run_id}}"}, command: 'echo "$RUNNER_RUN_ID $RUNNER_STEP $RUNNER_STEP_KEY $SHARED $MINE"'}
"""
    )
    run = ran.task.id
    assert ran.outputs["l[1]/a"] == f"{run} l[1]/a {run}/l[1]/a everywhere {run}"


def test_a_script_beside_the_workflow_gets_its_inputs_as_json(flows: Flows) -> None:
    script = flows.root / "workflows/double.py"
    script.write_text("#!/usr/bin/env python3\nimport json, sys\nprint(json.load(sys.stdin)['n'] * 2)\n")
    script.chmod(0o755)
    ran = flows.run('steps: [{id: a, script: double.py, script_inputs: {n: "a\'b"}, capture: got}]')
    assert ran.outputs["a"] == "a'ba'b"


def test_a_preflight_stops_the_run_before_anything_else(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: look
    preflight:
      - {command: "true"}
      - {command: "echo dirty", fail_if: non-empty, description: a clean tree}
  - {id: go, command: touch went}
"""
    )
    assert ran.states == {"look": "failed", "go": "not_run"}
    assert "preflight 'a clean tree': its output is non-empty: dirty" in ran.summary("look")


def test_any_task_type_can_be_a_step(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, task: run_script, with: {script: "echo \\"$0 {{run_id}}\\""}}]')
    assert ran.status == "done"
    assert ran.task.id in ran.outputs["a"]


def test_a_worktree_step_makes_a_place_for_those_that_follow(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - {id: tree, worktree: {branch: topic}}
  - {id: inside, command: "git rev-parse --abbrev-ref HEAD", workdir: "{{steps.tree.output}}"}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert ran.outputs["inside"] == "topic"


def test_items_of_any_kind_are_iterations_of_their_own(flows: Flows) -> None:
    items = ["a", "a", "../../../../up", "x]/a[y", "new\\nline", "l" * 300, "%"]
    listed = ", ".join(f'"{item}"' for item in items)
    ran = flows.run(f"""
steps:
  - id: each
    loop: {{over: [{listed}], as: v}}
    steps: [{{id: a, command: "printf '%s|' '{{{{v}}}}' >> log"}}]
""")
    assert ran.status == "done", ran.result["summary"]
    assert (flows.root / "log").read_text() == "|".join([*items[:4], "new\nline", *items[5:], ""])
    paths = [attempt.step for attempt in ran.attempts]
    assert len(set(paths)) == len(items)
    assert paths[:4] == ["each[a]/a", "each[a#2]/a", "each[%2e%2e/%2e%2e/%2e%2e/%2e%2e/up]/a", "each[x%5d/a%5by]/a"]
    kept, again = flows.preview(ran)
    assert (len(kept), again) == (len(items), {})
