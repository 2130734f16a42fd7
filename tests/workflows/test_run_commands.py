"""`runner workflow …`, `runs`, `why RUN STEP`, `logs RUN STEP` as people and programs call them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.conftest import Runner

FLOW = """\
name: ship
description: What it does
params: [{name: what, required: true}, {name: how, default: slowly}]
outputs: {said: "{{steps.b.output}}"}
steps:
  - {id: a, command: "echo a >> log; printf %s '{{what}}'"}
  - {id: b, command: "echo b >> log; echo '{{steps.a.output}} {{how}}'"}
  - {id: c, command: "echo c >> log; test -e ok || { echo why >&2; exit 4; }"}
"""


@pytest.fixture
def flow(project: Path) -> Path:
    (project / "workflows").mkdir()
    path = project / "workflows/ship.yaml"
    path.write_text(FLOW)
    return path


def log(project: Path) -> list[str]:
    return (project / "log").read_text().split()


def test_a_run_ends_with_its_json_and_exit_code(project: Path, runner: Runner, flow: Path) -> None:
    ended = runner("workflow", "run", "ship", "it's", "--param", "how=fast", "--format", "json")
    assert ended.code == 1
    found = ended.json
    assert (found["workflow"], found["status"], found["outcome"]) == ("ship", "failed", "check_failed")
    a, b, c = found["steps"]
    assert (a["path"], a["status"], a["attempts"], a["output"]) == ("a", "done", 1, "it's")
    assert b["output"] == "it's fast"
    assert (c["status"], c["outcome"], c["summary"]) == ("failed", "check_failed", "the exit code is 4, not 0: why")
    (project / "ok").write_text("")
    again = runner.ok("workflow", "resume", found["run"], "--format", "json").json
    assert (again["status"], again["outputs"]) == ("done", {"said": "it's fast"})
    assert log(project) == ["a", "b", "c", "c"]


def test_each_change_is_a_line_of_json(project: Path, runner: Runner, flow: Path) -> None:
    (project / "ok").write_text("")
    lines = [
        json.loads(line) for line in runner.ok("workflow", "run", "ship", "x", "--format", "jsonl").stdout.splitlines()
    ]
    assert [(one["path"], one["status"]) for one in lines[:-1]] == [
        (path, status) for path in "abc" for status in ("running", "done")
    ]
    assert lines[-1]["status"] == "done"


def test_people_get_a_line_for_each_step(project: Path, runner: Runner, flow: Path) -> None:
    ended = runner("workflow", "run", "ship", "x")
    assert "a done (" in ended.stderr
    assert "c FAILED (" in ended.stderr
    assert "the exit code is 4" in ended.stderr
    assert ended.stdout.startswith("run ")
    assert "step c failed: the exit code is 4, not 0: why" in ended.stdout
    assert "go on: runner workflow resume" in ended.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ship"], "needs the parameter 'what'"),
        (["ship", "x", "y", "z"], "gets 3 values"),
        (["ship", "x", "--param", "waht=y"], "has no parameter 'waht' (did you mean 'what'?)"),
        (["ship", "x", "--param", "what=y"], "is given twice"),
        (["ship", "x", "--param", "y"], "write NAME=VALUE"),
        (["shipp", "x"], "there is no workflow 'shipp' (did you mean 'ship'?)"),
        (["ship", "x", "--until", "z"], "has no step 'z'"),
        (["ship", "x", "--from", "c"], "no run of workflow 'ship' has ended here yet"),
        (["ship", "x", "--previous-run-id", "abc"], "needs --start-from"),
    ],
)
def test_wrong_calls_are_told_in_a_sentence(runner: Runner, flow: Path, words: list[str], message: str) -> None:
    ended = runner("workflow", "run", *words)
    assert ended.code == 2
    assert message in ended.stderr.replace("\nhint: ", " (").rstrip() + ")"
    assert "Traceback" not in ended.stderr
    assert runner.ok("runs", "--format", "json").items == []


def test_a_wrong_file_is_told_with_its_place(runner: Runner, flow: Path) -> None:
    flow.write_text(FLOW.replace("{{steps.a.output}}", "{{steps.aa.output}}"))
    ended = runner("workflow", "run", "ship", "x")
    assert ended.code == 2
    assert "workflows/ship.yaml:7:5: command: there is no step 'aa' here" in ended.stderr


def test_dry_run_shows_the_plan_and_runs_nothing(project: Path, runner: Runner, flow: Path) -> None:
    ended = runner.ok("workflow", "run", "ship", "x", "--dry-run", "--format", "json")
    assert ended.json["waves"] == [["a"], ["b"], ["c"]]
    assert not (project / "log").exists()


def test_from_begins_in_the_middle_with_the_last_run(project: Path, runner: Runner, flow: Path) -> None:
    first = runner("workflow", "run", "ship", "x", "--format", "json").json
    (project / "ok").write_text("")
    (project / "log").unlink()
    found = runner.ok("workflow", "run", "ship", "other", "--from", "b", "--format", "json").json
    assert found["outputs"] == {"said": "x slowly"}
    assert log(project) == ["b", "c"]
    more = runner.ok(
        "workflow", "run", "ship", "z", "--start-from", "c", "--previous-run-id", first["run"], "--format", "json"
    ).json
    assert (more["status"], log(project)) == ("done", ["b", "c", "c"])


def test_until_runs_a_part(project: Path, runner: Runner, flow: Path) -> None:
    runner.ok("workflow", "run", "ship", "x", "--until", "b")
    assert log(project) == ["a", "b"]


def test_a_report_for_whatever_shows_test_reports(project: Path, runner: Runner, flow: Path) -> None:
    runner("workflow", "run", "ship", "x", "--junit", project / "report.xml")
    suite = ElementTree.parse(project / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "0")
    [failure] = suite.iter("failure")
    assert failure.get("message") == "the exit code is 4, not 0: why"


def test_runs_are_listed_and_their_steps_explained(project: Path, runner: Runner, flow: Path) -> None:
    run = runner("workflow", "run", "ship", "x", "--format", "json").json["run"]
    [item] = runner.ok("runs", "--format", "json").items
    assert (item["run"], item["workflow"], item["counts"]) == (run, "ship", {"done": 2, "failed": 1})
    assert runner.ok("runs", "--workflow", "other", "--format", "json").items == []
    assert runner.ok("runs", "--status", "done", "--format", "json").items == []
    assert runner("runs", "--status", "doen").code == 2
    table = runner.ok("runs").stdout
    assert "ship" in table
    assert "2/3" in table
    why = runner.ok("why", run, "c").stdout
    assert why.startswith("c is failed: the exit code is 4")
    assert "attempt 1 of c" in why
    assert runner.ok("why", run, "c", "--format", "json").json["history"][0]["outcome"] == "check_failed"
    assert runner.ok("logs", run, "c", "--stderr").stdout == "why\n"
    assert runner("why", run, "d").code == 2
    assert "did you mean" in runner("logs", run, "cc").stderr or "known" in runner("logs", run, "cc").stderr


def test_a_run_in_the_queue_is_any_workers(project: Path, runner: Runner, flow: Path) -> None:
    (project / "ok").write_text("")
    run = runner.ok("workflow", "run", "ship", "x", "--queue").stdout.strip()
    assert runner.ok("queue", "--format", "json").items[0]["type"] == "workflow"
    runner.ok("work", "--drain")
    shown = runner.ok("show", run, "--format", "json").json
    assert (shown["status"], shown["payload"]) == (
        "done",
        {"workflow": "ship", "params": {"what": "x", "how": "slowly"}},
    )


def test_a_workflow_is_submitted_like_any_task(project: Path, runner: Runner, flow: Path) -> None:
    (project / "ok").write_text("")
    payload = json.dumps({"workflow": "ship", "params": {"what": "x"}})
    run = runner.ok("submit", "--type", "workflow", "--payload", payload, "--format", "json").json["id"]
    runner.ok("work", "--drain")
    assert runner.ok("show", run, "--format", "json").json["status"] == "done"
    assert "is only for steps of workflows" in runner("submit", "--type", "shell", "--payload", "{}").stderr


def test_a_retried_run_in_the_queue_runs_what_failed(project: Path, runner: Runner, flow: Path) -> None:
    run = runner.ok("workflow", "run", "ship", "x", "--queue").stdout.strip()
    assert runner("work", "--drain").code == 1
    (project / "ok").write_text("")
    runner.ok("retry", run)
    runner.ok("work", "--drain")
    assert log(project) == ["a", "b", "c", "c"]


def test_resume_says_beforehand_what_stays_and_what_runs(project: Path, runner: Runner, flow: Path) -> None:
    (project / "ok").write_text("")
    run = runner.ok("workflow", "run", "ship", "x", "--format", "json").json["run"]
    flow.write_text(FLOW.replace("echo b >> log", "echo B >> log"))
    ended = runner.ok("workflow", "resume", run, "--dry-run", "--format", "json").json
    assert ended == {
        "run": run,
        "kept": ["a"],
        "again": [{"path": "b", "why": "definition changed"}, {"path": "c", "why": "an input changed"}],
    }
    text = runner.ok("workflow", "resume", run, "--dry-run").stdout
    assert text.split("\n")[:3] == ["1 result stays", "  runs: b (definition changed)", "  runs: c (an input changed)"]
    assert log(project) == ["a", "b", "c"]


def test_a_worktree_run_asks_about_the_files_when_a_finished_step_runs_again(
    project: Path, runner: Runner, flow: Path
) -> None:
    import subprocess

    (project / "ok").write_text("")
    subprocess.run("git init -q . && git add -A && git commit -qm x", shell=True, cwd=project, check=True)
    run = runner.ok("workflow", "run", "ship", "x", "--worktree", "--format", "json").json["run"]
    flow.write_text(FLOW.replace("echo b >> log", "echo B >> log"))
    ended = runner("workflow", "resume", run)
    assert ended.code == 2
    assert "say --workspace rewind, or --workspace keep" in ended.stderr
    runner.ok("workflow", "resume", run, "--workspace", "rewind")
    shown = runner.ok("show", run, "--format", "json").json
    done = subprocess.run(
        ["git", "show", f"{shown['result']['branch']}:log"], cwd=project, capture_output=True, text=True
    )
    assert done.stdout.split() == ["a", "B", "c"]


def test_ones_own_folder_is_never_rewound(runner: Runner, project: Path, flow: Path) -> None:
    (project / "ok").write_text("")
    run = runner.ok("workflow", "run", "ship", "x", "--format", "json").json["run"]
    ended = runner("workflow", "resume", run, "--from", "b", "--workspace", "rewind")
    assert ended.code == 2
    assert "your own folder, which is never rewound" in ended.stderr


def test_validate_tells_everything_with_places_and_codes(runner: Runner, flow: Path) -> None:
    runner.ok("workflow", "validate", "ship")
    flow.write_text(FLOW.replace("{{how}}", "{{who}}"))
    ended = runner("workflow", "validate", "ship", "--format", "json")
    assert ended.code == 2
    [item] = [one for one in ended.items if not one["warning"]]
    assert item["place"] == "workflows/ship.yaml:7:5"


def test_new_writes_a_workflow_that_is_valid_and_overwrites_nothing(runner: Runner, project: Path) -> None:
    runner.ok("workflow", "new", "mine", "--agent", "script")
    runner.ok("workflow", "validate", "mine")
    runner.ok("workflow", "test")
    assert runner("workflow", "new", "mine").code == 2
    assert runner("workflow", "new", "../mine").code == 2
    listed = runner.ok("workflow", "list", "--format", "json").items
    assert [one["name"] for one in listed] == ["mine"]


def test_show_prints_the_native_form(runner: Runner, flow: Path) -> None:
    shown = runner.ok("workflow", "show", "ship").stdout
    (flow.parent / "again.yaml").write_text(shown)
    assert runner.ok("workflow", "show", "again").stdout == shown


def test_which_workflows_may_run_beside_each_other(runner: Runner, project: Path, flow: Path) -> None:
    for name, keys in {
        "web": "packages: [web]",
        "core": "packages: [core]",
        "both": "packages: [web, core]",
        "last": "packages: [docs]\nrequires_before: [web]",
    }.items():
        (flow.parent / f"{name}.yaml").write_text(f"{keys}\nsteps: [{{id: a, command: 'true'}}]\n")
    found = runner.ok("workflow", "plan", "web", "core", "both", "last", "--format", "json").json
    assert found["waves"] == [["web", "core"], ["both", "last"]]
    assert runner.ok("workflow", "plan", "web", "core", "both", "last", "--wave", "2").stdout == "both\nlast\n"
    wrong = runner("workflow", "plan", "web", "core", "--wave", "3")
    assert (wrong.code, wrong.stderr) == (2, "error: there is no wave 3\nhint: there are 1\n")


def test_python_runs_a_workflow_with_a_typed_result(project: Path, runner: Runner) -> None:
    from runner import workflow
    from runner.errors import ConfigError

    heard: list[tuple[str, str]] = []
    flow = (
        workflow("py")
        .param("who")
        .step("a", command="printf %s '{{who}}'")
        .step("b", command="echo '{{steps.a.output}}' >&2; exit 3", needs=["a"])
    )
    assert flow.dry_run()["waves"] == [["a"], ["b"]]
    ended = flow.run(cwd=project, params={"who": "me"}, on_event=lambda one: heard.append((one["path"], one["status"])))
    assert (ended.ok, ended.status, ended.steps["a"].output, ended.steps["b"].outcome) == (
        False,
        "failed",
        "me",
        "check_failed",
    )
    assert heard == [("a", "running"), ("a", "done"), ("b", "running"), ("b", "failed")]
    with pytest.raises(ConfigError, match=r"test_run_commands.py:\d+: command: 'nobody' is not defined here"):
        workflow("x").step("a", command="echo {{nobody}}").run(cwd=project)
    assert runner("workflow", "resume", ended.run).code == 1
