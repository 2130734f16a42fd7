"""The example workflows: they validate, their cases pass, and they run in a real repository with programs as agents."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY, Ended, Runner
from tests.pages import programs

EXAMPLES = ("bug-fix", "feature", "dependency-upgrade", "release", "overnight")
AGENT = """#!{python}
import json, os, pathlib, subprocess, sys
plays, step = pathlib.Path(os.environ["PLAYS"]), os.environ["RUNNER_STEP"]
name = step.rpartition("/")[2]
(plays / (name + ".prompt")).write_text(sys.stdin.read())
with open(plays / "calls", "a") as file:
    file.write(step + "\\n")
done = subprocess.run(["sh", str(plays / name)], stdout=subprocess.PIPE, text=True)
if done.returncode:
    sys.exit(done.returncode)
print(json.dumps({{"event": "final", "text": done.stdout.strip() or "done"}}))
"""
STATS = "def mean(numbers):\n    return sum(numbers) / len(numbers)\n"
FIXED = STATS.replace("len(numbers)", "(len(numbers) or 1)")
RED = """import unittest
from src.stats import mean


class TestNothing(unittest.TestCase):
    def test_nothing(self):
        try:
            found = mean([])
        except ZeroDivisionError:
            found = None
        self.assertEqual(found, 0)
"""


@dataclass
class Team:
    """A repository with an example in it; its agents are programs that do what `plays[STEP]` says, a shell script."""

    root: Path
    plays: Path
    runner: Runner

    def play(self, **plays: str) -> None:
        for name, text in plays.items():
            (self.plays / name).write_text(text)

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        return self._told(self.runner("workflow", *words, "--format", "json", cwd=self.root))

    @staticmethod
    def _told(ended: Ended) -> tuple[int, dict[str, Any]]:
        assert ended.stdout, ended.stderr
        return ended.code, json.loads(ended.stdout)

    @property
    def calls(self) -> list[str]:
        return (self.plays / "calls").read_text().split()

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True, check=True).stdout.strip()


def laid_out(folder: Path, example: str, files: Mapping[str, str]) -> None:
    """The example's files in `workflows/`, as its README says, and a project's own."""
    for path in (REPOSITORY / "examples" / example).iterdir():
        if path.name != "README.md":
            (folder / "workflows").mkdir(exist_ok=True)
            shutil.copy2(path, folder / "workflows")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def on_path(tmp_path: Path, runner: Runner) -> Path:
    """A folder on PATH with python3, and programs by the names of the agents: nothing calls them."""
    bin = programs(tmp_path / "bin")
    for name in ("claude", "codex"):
        (bin / name).write_text("#!/bin/sh\nexit 70\n")
        (bin / name).chmod(0o755)
    runner.env["PATH"] = f"{bin}:{os.environ['PATH']}"
    return bin


@pytest.fixture
def team(request: pytest.FixtureRequest, project: Path, on_path: Path, tmp_path: Path, runner: Runner) -> Team:
    files = {
        "src/__init__.py": "",
        "src/stats.py": STATS,
        "tests/__init__.py": "",
        "tests/test_stats.py": RED.replace("mean([])", "mean([0])"),
        ".gitignore": "__pycache__/\n/.runner/\n",
        "runner.yaml": "agents:\n"
        + "".join(
            f"  {name}: {{extends: script, program: {tmp_path}/agent, argv: [], resume: [],"
            f" env: {{PLAYS: {tmp_path}/plays}}}}\n"
            for name in ("claude", "codex")
        ),
    }
    laid_out(project, request.param, files)
    (tmp_path / "agent").write_text(AGENT.format(python=sys.executable))
    (tmp_path / "agent").chmod(0o755)
    (tmp_path / "plays").mkdir()
    made = Team(project, tmp_path / "plays", runner)
    made.git("init", "-q", "-b", "main")
    made.git("add", "-A")
    made.git("commit", "-q", "-m", "start")
    return made


def fixing(**others: str) -> dict[str, str]:
    """Agents that do well."""
    good = {
        "test": f"cat > tests/test_regression.py <<'END'\n{RED}\nEND",
        "fix": f"cat > src/stats.py <<'END'\n{FIXED}\nEND",
        "review": """echo '{"approved": true, "why": "The cause."}'""",
    }
    return {**good, **others}


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_validates_without_a_warning(project: Path, on_path: Path, runner: Runner, example: str) -> None:
    laid_out(project, example, {})
    names = [str(path) for path in (project / "workflows").glob("*.yaml") if not path.name.startswith("test_")]
    ended = runner("workflow", "validate", "--strict", *names)
    assert ended.code == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("example", EXAMPLES)
def test_its_cases_pass_and_some_of_them_stop_it(project: Path, on_path: Path, runner: Runner, example: str) -> None:
    laid_out(project, example, {})
    ended = runner("workflow", "test", "-n", "2", "--format", "json", timeout=300)
    assert [item for item in ended.items if item["state"] != "passed"] == []
    assert ended.code == 0, ended.stderr
    test = yaml.safe_load((project / "workflows" / f"test_{example}.yaml").read_text())
    stopped = [case for case in test["cases"] if case["expect"].get("status") in ("failed", "needs_human")]
    assert stopped
    assert all(case["expect"].get("not_ran") or "question" in case["expect"] for case in stopped)


@pytest.mark.parametrize("team", ["bug-fix"], indirect=True)
def test_a_test_that_is_mended_by_hand_counts_and_no_agent_writes_it_again(team: Team) -> None:
    team.play(**fixing(test="date +'import no_such_thing # %N' > tests/test_regression.py"))
    code, ran = team.run("run", "bug-fix", "--param", "bug=mean of nothing is 0")
    assert (code, ran["status"]) == (1, "failed")
    assert team.calls == ["red[1]/test", "red[2]/test", "red[3]/test"]
    assert "ModuleNotFoundError" in (team.plays / "test.prompt").read_text()
    (team.root / "tests" / "test_regression.py").write_text(RED)
    code, ran = team.run("resume", ran["run"], "--from", "red[3]/prove")
    assert (code, ran["status"]) == (0, "done"), ran["summary"]
    assert team.calls[3:] == ["fix", "review"]
    assert team.git("show", "--stat", "--format=%s%n%b", "HEAD").startswith("Fix a bug\nmean of nothing is 0")
    assert team.git("status", "--porcelain") == ""


@pytest.mark.parametrize("team", ["bug-fix"], indirect=True)
def test_a_fix_by_hand_after_the_last_repair_is_taken(team: Team) -> None:
    team.play(**fixing(fix="echo '# tried' >> src/stats.py"))
    code, ran = team.run("run", "bug-fix", "--param", "bug=mean of nothing is 0")
    assert (code, ran["status"]) == (3, "needs_human")
    assert team.calls.count("fix") == 3
    (team.root / "src" / "stats.py").write_text(FIXED)
    team.runner.ok("resolve", ran["run"], "done", "--yes", cwd=team.root)
    code, ran = team.run("resume", ran["run"])
    assert (code, ran["status"]) == (0, "done"), ran["summary"]
    assert team.calls.count("fix") == 3
    assert team.git("show", "HEAD:src/stats.py") == FIXED.strip()


@pytest.mark.parametrize("team", ["bug-fix"], indirect=True)
def test_killed_in_the_middle_it_goes_on_where_it_was(team: Team) -> None:
    team.play(**fixing(fix=f"touch {team.plays}/begun; sleep 60"))
    argv = [*team.runner.argv, "workflow", "run", "bug-fix", "--param", "bug=mean of nothing is 0"]
    env = {**os.environ, **team.runner.env}
    process = subprocess.Popen(argv, cwd=team.root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (team.plays / "begun").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    team.play(**fixing())
    [run] = team.runner.ok("runs", "--format", "json", cwd=team.root).items
    code, ran = team.run("resume", run["run"])
    assert (code, ran["status"]) == (0, "done"), ran["summary"]
    assert team.calls == ["red[1]/test", "fix", "fix", "review"]


@pytest.mark.parametrize("team", ["bug-fix"], indirect=True)
def test_a_reviewers_no_asks_a_person_who_answers_by_resolve(team: Team) -> None:
    team.play(**fixing(review="""echo '{"approved": false, "why": "It hides the cause."}'"""))
    code, ran = team.run("run", "bug-fix", "--param", "bug=mean of nothing is 0")
    assert (code, ran["status"]) == (3, "needs_human")
    refused = team.runner("resolve", ran["run"], "--answer", "comit", cwd=team.root)
    assert refused.code == 2
    assert "did you mean 'commit'?" in refused.stderr
    team.runner.ok("resolve", ran["run"], "--answer", "commit", cwd=team.root)
    code, ran = team.run("resume", ran["run"])
    assert (code, ran["status"]) == (0, "done"), ran["summary"]
    assert team.git("log", "-1", "--format=%s") == "Fix a bug"


@pytest.mark.parametrize("team", ["bug-fix"], indirect=True)
def test_in_a_worktree_the_branch_has_one_commit_and_the_folder_is_untouched(team: Team) -> None:
    team.play(**fixing())
    code, ran = team.run("run", "bug-fix", "--param", "bug=mean of nothing is 0", "--worktree")
    assert (code, ran["status"]) == (0, "done"), ran["summary"]
    assert team.git("log", "--format=%s", f"main..runner/{ran['run']}") == "Fix a bug"
    assert team.git("status", "--porcelain") == ""
    assert (team.root / "src" / "stats.py").read_text() == STATS


@pytest.mark.parametrize("queued", [False, True], ids=["here", "by a worker"])
@pytest.mark.parametrize("team", ["overnight"], indirect=True)
def test_a_night_leaves_a_branch_for_each_task_and_nothing_on_main(team: Team, queued: bool) -> None:
    laid_out(team.root, "overnight", {f"backlog/{name}.md": f"Add {name}" for name in ("1-good", "2-bad", "3-last")})
    team.git("add", "backlog")
    team.git("commit", "-q", "-m", "backlog")
    team.play(
        work='case $RUNNER_STEP in *2-bad*) echo 1/0 > src/__init__.py;; *) echo x = 1 > "src/new.py";; esac',
        report="echo Two are ready, one is half done.",
    )
    if queued:
        id = team.runner.ok("workflow", "run", "overnight", "--queue", cwd=team.root).stdout.strip()
        team.runner.ok("work", "--drain", cwd=team.root)
        assert team.runner.ok("show", id, "--format", "json", cwd=team.root).json["status"] == "done"
    else:
        assert team.run("run", "overnight")[0] == 0
    last = {name: team.git("log", "-1", "--format=%s", f"overnight/{name}") for name in ("1-good", "2-bad", "3-last")}
    assert last == {"1-good": "1-good", "2-bad": "Half done: backlog/2-bad.md", "3-last": "3-last"}
    assert team.git("show", "overnight/1-good:src/new.py") == "x = 1"
    assert team.git("log", "--format=%s", "main").splitlines() == ["backlog", "start"]
    assert "overnight/2-bad | Half done" in (team.plays / "report.prompt").read_text()
    assert team.git("symbolic-ref", "--short", "HEAD") == "main"


@pytest.mark.parametrize("team", ["release"], indirect=True)
def test_nobody_answers_until_the_deadline_and_nothing_is_released(team: Team) -> None:
    fast = "name: fast\nextends: release.yaml\noverride: {approve: {deadline: 1s}}\n"
    laid_out(team.root, "release", {"CHANGELOG.md": "# Changes\n", "workflows/fast.yaml": fast})
    team.git("add", "-A")
    team.git("commit", "-q", "-m", "News")
    team.play(changelog="printf '\\n## 1.0.0\\n\\n- News.\\n' >> CHANGELOG.md")
    code, ran = team.run("run", "fast", "--param", "version=1.0.0")
    assert (code, ran["status"]) == (3, "needs_human"), ran["summary"]
    time.sleep(1)
    code, ran = team.run("resume", ran["run"])
    assert (code, ran["status"]) == (0, "done"), ran["summary"]
    assert team.git("tag") == ""
    assert team.git("status", "--porcelain") == ""
    assert team.git("log", "-1", "--format=%s") == "News"
