"""Steps that run on another machine: two state folders and two clones stand for two machines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.workspace import fetched, make_bundle
from tests.conftest import Runner
from tests.workflows.flows import git


@dataclass
class Pair:
    """Machine `here` with the project, machine `mac` with a clone of it; one store, one artifact store."""

    runner: Runner
    here: Path
    there: Path
    shared: dict[str, str]
    tmp: Path

    def call(self, *words: str) -> Any:
        return self.runner(*words, cwd=self.here, env={**self.shared, "RUNNER_DEVICE_ID": "here"})

    def worker(self) -> subprocess.Popen[str]:
        env = {**self.shared, "RUNNER_DEVICE_ID": "mac", "XDG_STATE_HOME": str(self.tmp / "other-state")}
        with open(self.tmp / "worker.log", "a") as log:
            return self.runner.start("work", "--loop", "--slots", "1", cwd=self.there, env=env, stdout=log, stderr=log)


@pytest.fixture
def pair(project: Path, runner: Runner, tmp_path: Path) -> Iterator[Pair]:
    git(project, "init", "-q", "-b", "main")
    (project / "a.txt").write_text("one\n")
    (project / ".gitignore").write_text(".runner/\n")
    (project / "runner.yaml").write_text("worker: {poll: 0.2}\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    there = tmp_path / "there"
    git(tmp_path, "clone", "-q", str(project), str(there))
    shutil.copytree(project / ".runner", there / ".runner")
    shared = {"RUNNER_STORE": f"sqlite:///{tmp_path}/shared.db", "RUNNER_ARTIFACTS": f"file://{tmp_path}/artifacts"}
    (project / "workflows").mkdir()
    pair = Pair(runner, project, there, shared, tmp_path)
    worker = pair.worker()
    yield pair
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)


FLOW = """
steps:
  - {id: make, command: "echo made here > b.txt"}
  - id: away
    task: run_script
    with: {script: "cat a.txt b.txt; echo from $RUNNER_DEVICE_ID; echo built > built.txt; exit ${CODE:-0}"}
    machine: mac
    returns: changes
  - {id: after, command: "cat built.txt; cat <<'EOF'\\n{{steps.away.output}}\\nEOF"}
"""


def run(pair: Pair, text: str, *words: str) -> dict[str, Any]:
    (pair.here / "workflows/flow.yaml").write_text(text)
    ended = pair.call("workflow", "run", "flow", "--worktree", "--format", "json", *words)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_step_travels_with_the_work_so_far_and_its_changes_come_back(pair: Pair) -> None:
    ran = run(pair, FLOW)
    steps = {step["path"]: step for step in ran["steps"]}
    assert ran["status"] == "done", ran["summary"]
    assert steps["away"]["output"].split("\n") == ["one", "made here", "from mac"]
    assert steps["after"]["output"].startswith("built\none\nmade here")
    assert git(pair.here, "show", f"{ran['branch']}:built.txt") == "built"
    assert git(pair.there, "status", "--porcelain") == ""


def test_from_a_folder_what_is_not_committed_goes_along_and_what_comes_back_is_not_committed(pair: Pair) -> None:
    (pair.here / "a.txt").write_text("one, changed\n")
    (pair.here / "workflows/flow.yaml").write_text(FLOW)
    ran = json.loads(pair.call("workflow", "run", "flow", "--format", "json").stdout)
    steps = {step["path"]: step for step in ran["steps"]}
    assert ran["status"] == "done", ran["summary"]
    assert steps["away"]["output"].split("\n") == ["one, changed", "made here", "from mac"]
    assert (pair.here / "built.txt").read_text() == "built\n"
    assert (pair.here / "a.txt").read_text() == "one, changed\n"
    assert git(pair.here, "log", "--format=%s") == "first"


def test_without_returns_nothing_comes_back(pair: Pair) -> None:
    ran = run(pair, FLOW.replace("    returns: changes\n", "").replace("cat built.txt;", "test ! -e built.txt;"))
    assert ran["status"] == "done", ran["summary"]


def test_a_failure_there_is_the_steps_failure_here(pair: Pair) -> None:
    ran = run(pair, FLOW.replace("${CODE:-0}", "3"))
    steps = {step["path"]: step for step in ran["steps"]}
    assert (ran["status"], steps["away"]["status"], steps["after"]["status"]) == ("failed", "failed", "not_run")
    assert "the exit code is 3" in steps["away"]["summary"]


def test_what_it_may_spend_goes_along_and_what_it_cost_comes_back(pair: Pair) -> None:
    text = """
budget: {tokens: BUDGET}
steps:
  - {id: here, agent: script, expects: answer, prompt: "[[usage: 10 5 0]] [[say: x]]"}
  - {id: away, agent: script, machine: mac, expects: answer, retries: 3, prompt: "[[usage: 10 5 0.5]] [[exit: 7]]"}
"""
    ran = run(pair, text.replace("BUDGET", "40"))
    assert ran["status"] == "needs_human"
    assert ran["usage"] == {"cost_usd": 1.0, "tokens": 45, "turns": 0}
    assert "its budget is spent (30 of 25 tokens)" in ran["summary"]


def test_the_time_of_what_is_around_it_ends_it_there(pair: Pair) -> None:
    text = (
        "steps: [{id: box, timeout: 2, steps: [{id: away, task: run_script, with: {script: sleep 60}, machine: mac}]}]"
    )
    ran = run(pair, text)
    steps = {step["path"]: step for step in ran["steps"]}
    assert (ran["status"], steps["box/away"]["outcome"]) == ("failed", "timeout")
    assert "the time for it was over" in ran["summary"]


def test_a_run_that_is_killed_while_it_waits_finds_the_task_again(pair: Pair) -> None:
    (pair.here / "workflows/flow.yaml").write_text(
        FLOW.replace("echo built >", "echo once >> TALLY; sleep 3; echo built >").replace(
            "TALLY", str(pair.tmp / "tally")
        )
    )
    env = {**pair.shared, "RUNNER_DEVICE_ID": "here"}
    process = pair.runner.start("workflow", "run", "flow", "--worktree", cwd=pair.here, env=env)
    end = time.monotonic() + 60
    while not (pair.tmp / "tally").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    [item] = pair.call("runs", "--format", "json").items
    ended = pair.call("workflow", "resume", item["run"], "--format", "json")
    assert json.loads(ended.stdout)["status"] == "done", ended.stderr
    assert (pair.tmp / "tally").read_text() == "once\n"


def test_who_is_told_to_end_ends_the_task_there(pair: Pair) -> None:
    (pair.here / "workflows/flow.yaml").write_text(
        FLOW.replace("echo built >", "touch STARTED; sleep 60; echo built >").replace(
            "STARTED", str(pair.tmp / "started")
        )
    )
    env = {**pair.shared, "RUNNER_DEVICE_ID": "here"}
    process = pair.runner.start("workflow", "run", "flow", "--worktree", cwd=pair.here, env=env)
    end = time.monotonic() + 60
    while not (pair.tmp / "started").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    [item] = pair.call("runs", "--format", "json").items
    pair.call("cancel", item["run"])
    process.communicate(timeout=60)
    while True:
        rest = [one["status"] for one in pair.call("queue", "--all", "--format", "json").items]
        if set(rest) == {"cancelled"}:
            break
        assert time.monotonic() < end, rest
        time.sleep(0.3)


def test_runs_that_wait_for_each_others_machine_take_no_slot(pair: Pair) -> None:
    """With one slot on each machine, runs on both that travel to the other one end; never two steps on one."""
    beat = "echo in >> BEAT-$RUNNER_DEVICE_ID; sleep 0.3; echo out >> BEAT-$RUNNER_DEVICE_ID".replace(
        "BEAT", str(pair.tmp / "beat")
    )
    # Both machines have begun with a run before any of them sends a step away.
    meet = "touch MET-$RUNNER_DEVICE_ID; until test -e MET-here -a -e MET-mac; do sleep 0.1; done".replace(
        "MET", str(pair.tmp / "met")
    )
    for start, to in (("here", "mac"), ("mac", "here")):
        text = f"""
steps:
  - {{id: first, command: "{meet}; {beat}"}}
  - {{id: away, task: run_script, with: {{script: "{beat}"}}, machine: {to}}}
  - {{id: last, command: "{beat}"}}
"""
        (pair.here / f"workflows/from-{start}.yaml").write_text(text)
    runs = []
    for _ in range(3):
        for start in ("here", "mac"):
            queued = pair.call("workflow", "run", f"from-{start}", "--queue", "--machine", start, "--format", "json")
            assert queued.code == 0, queued.stderr
            runs.append(json.loads(queued.stdout)["run"])
    env = {**pair.shared, "RUNNER_DEVICE_ID": "here"}
    ended = pair.runner("work", "--drain", "--slots", "1", cwd=pair.here, env=env, timeout=120)
    assert ended.code == 0, ended.stderr
    end = time.monotonic() + 60
    while True:
        left = [one["status"] for one in pair.call("queue", "--all", "--format", "json").items]
        if set(left) == {"done"}:
            break
        assert time.monotonic() < end, left
        time.sleep(0.3)
    for machine in ("here", "mac"):
        beats = (pair.tmp / f"beat-{machine}").read_text().split()
        assert beats == ["in", "out"] * (len(beats) // 2), machine
        assert len(beats) == 2 * 3 * 3


def test_the_same_commit_travels_twice_at_the_same_time_and_leaves_no_name_behind(tmp_path: Path) -> None:
    repo, other = tmp_path / "repo", tmp_path / "other"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path, "clone", "-q", str(repo), str(other))
    git(repo, "commit", "-q", "--allow-empty", "-m", "second")
    commit = git(repo, "rev-parse", "HEAD")
    with ThreadPoolExecutor(8) as pool:
        files = [tmp_path / f"{n}.bundle" for n in range(16)]
        list(pool.map(lambda file: make_bundle(repo, commit, file), files))
    for place in (repo, other):
        with fetched(place, files[7], commit):
            assert git(place, "cat-file", "-t", commit) == "commit"
        assert git(place, "for-each-ref", "refs/runner-travel") == ""
