"""Gates and their time, the journal and its folder, steps side by side."""

from __future__ import annotations

import json
import time
from pathlib import Path

from runner.app import App
from tests.conftest import Runner
from tests.workflows.flows import Flows, Ran, lines


def folder_of(flows: Flows, ran: Ran) -> Path:
    app = App.open(start=flows.root)
    app.close()
    return app.project.state / "runs" / ran.task.id


# Gates


def test_the_time_of_the_run_does_not_go_on_while_it_waits_for_a_person(flows: Flows) -> None:
    ran = flows.run('timeout: 1.5s\nsteps: [{id: ask, gate: "Go?"}, {id: a, command: sleep 0.2; echo a >> log}]')
    time.sleep(1.6)
    more = flows.resolve(ran, answer="yes")
    assert (more.status, lines(flows.root / "log")) == ("done", ["a"]), more.result["summary"]


def test_an_answer_in_time_goes_before_the_default_and_one_too_late_does_not(flows: Flows) -> None:
    text = """
steps:
  - {id: a, gate: "A?", options: [x, y], deadline: TIME, default: y}
  - {id: b, command: "echo {{steps.a.answer}}"}
"""
    assert flows.resolve(flows.run(text.replace("TIME", "1h")), answer="x").outputs["b"] == "x"
    ran = flows.run(text.replace("TIME", "0.1"))
    time.sleep(0.2)
    assert flows.resume(ran).outputs["b"] == "y"


def test_a_run_that_goes_on_does_not_begin_the_time_of_a_gate_anew(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, gate: "A?", options: [x, y], deadline: 1.5, default: y}]')
    time.sleep(0.5)
    again = flows.resume(ran)
    assert again.status == "needs_human"
    time.sleep(1.1)
    assert flows.resume(again).status == "done"


def test_while_a_gate_waits_the_files_stay_for_what_comes_after(trees: Flows) -> None:
    ran = trees.run(
        """
steps:
  - {id: make, command: "echo one > made.txt"}
  - {id: ask, gate: "Go?"}
  - {id: use, command: "cat made.txt"}
"""
    )
    assert ran.status == "needs_human"
    assert trees.resolve(ran, answer="yes").outputs["use"] == "one"


def test_every_iteration_asks_for_itself(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - id: each
    loop: {over: [p, q], as: v}
    steps: [{id: ask, gate: "{{v}}?"}, {id: say, command: "echo {{v}} {{steps.ask.answer}} >> log"}]
"""
    )
    assert [one["path"] for one in ran.result["waiting"]] == ["each[p]/ask"]
    more = flows.resolve(ran, answer="yes")
    assert [one["path"] for one in more.result["waiting"]] == ["each[q]/ask"]
    assert flows.resolve(more, answer="no").status == "done"
    assert lines(flows.root / "log") == ["p yes", "q no"]


def test_an_answer_queues_the_run_again_and_a_worker_goes_on(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text('steps: [{id: ask, gate: "Go?"}, {id: a, command: "echo a >> log"}]')
    run = runner.ok("workflow", "run", "flow", "--queue").stdout.strip()
    runner("work", "--drain")
    assert runner.ok("show", run, "--format", "json").json["status"] == "needs_human"
    runner.ok("resolve", run, "--answer", "go")
    runner.ok("work", "--drain")
    assert runner.ok("show", run, "--format", "json").json["status"] == "done"


def test_without_a_terminal_a_gate_ends_the_call_with_3(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text('steps: [{id: ask, gate: "Go?"}]')
    assert runner("workflow", "run", "flow").code == 3


# The journal and its folder


def test_the_end_of_a_step_and_the_beginning_of_the_next_are_one_commit(flows: Flows) -> None:
    ran = flows.run("steps: [{id: a, command: 'true'}, {id: b, command: 'true'}, {id: c, command: 'false'}]")
    for before, after in zip(ran.attempts, ran.attempts[1:], strict=False):
        assert before.ended_at == after.started_at


def test_each_attempt_has_a_folder_with_what_it_was_given_and_what_came_of_it(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: each
    loop: {over: [docs/x.md], as: v}
    steps:
      - id: a
        agent: script
        retries: 1
        prompt: "[[usage: 10 5 0.1]] [[on-attempt 1: [[exit: 7]] ]] [[write: b <<x]] [[say: made]]"
        verify: [{file_exists: b}]
      - {id: quiet, command: "true"}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    steps = folder_of(repo, ran) / "steps"
    found = {str(path.relative_to(steps)) for path in steps.rglob("*") if path.is_file()}
    [one, two] = sorted({path.rsplit("/", 1)[0] for path in found if "/quiet/" not in path})
    assert (one.endswith("/a/1"), two.endswith("/a/2")) == (True, True)
    names = {path.rsplit("/", 1)[1] for path in found if path.startswith(f"{two}/")}
    assert {"prompt.md", "argv.json", "stdout.log", "output.txt", "verdicts.json", "usage.json"} <= names
    assert (steps / two / "output.txt").read_text().strip() == "made"
    assert "verdicts.json" not in {path.rsplit("/", 1)[1] for path in found if path.startswith(f"{one}/")}
    assert all((steps / path).stat().st_size for path in found if not path.endswith(".log"))
    assert not [path for path in found if "/quiet/" in path and not path.endswith(".log")]


def test_a_step_has_one_name_everywhere(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text(
        "steps: [{id: each, loop: {over: ['p q'], as: v}, steps: [{id: a, command: 'echo \"$RUNNER_STEP\"; exit 1'}]}]"
    )
    ended = runner("workflow", "run", "flow", "--format", "json", "--junit", "out.xml")
    path = "each[p q]/a"
    told = ended.json
    assert path in {one["path"] for one in told["steps"]}
    run = str(told["run"])
    assert path in (project / "out.xml").read_text()
    assert runner.ok("logs", run, path).stdout.strip() == path
    assert path in runner("why", run, path).stdout
    events = [json.loads(line) for line in runner.ok("show", run, "--format", "jsonl").stdout.splitlines()]
    assert path in json.dumps(events)


# Agents side by side


def test_all_steps_that_run_count_wherever_they_stand(flows: Flows) -> None:
    one = 'command: "echo + >> log; sleep 0.25; echo - >> log"'
    flows.write(f"pattern: dag\nmax_concurrency: 9\nsteps: [{{id: x, {one}}}, {{id: y, {one}}}]", "inner")
    ran = flows.run(
        f"""
pattern: dag
max_concurrency: 2
steps:
  - {{id: g, pattern: dag, steps: [{{id: x, {one}}}, {{id: y, {one}}}]}}
  - {{id: sub, workflow: inner}}
  - {{id: l, loop: {{max: 1}}, pattern: dag, steps: [{{id: x, {one}}}, {{id: y, {one}}}]}}
"""
    )
    assert ran.status == "done"
    now = most = 0
    for sign in lines(flows.root / "log"):
        now += 1 if sign == "+" else -1
        most = max(most, now)
    assert most == 2


def test_an_isolated_steps_work_is_in_nobodys_way_until_it_is_merged(repo: Flows) -> None:
    ran = repo.run(
        """
pattern: dag
max_concurrency: 2
steps:
  - {id: a, agent: script, writes: isolated, prompt: "[[write: b.txt <<x]] [[run: touch ../a-wrote; sleep 0.6]]"}
  - {id: look, command: "sleep 0.3; test ! -e b.txt"}
  - {id: after, needs: [a], command: "cat b.txt"}
"""
    )
    assert (ran.states["look"], ran.outputs["after"]) == ("done", "x"), ran.result["summary"]
