"""A run that is killed while an isolated step's work comes into the folder: nothing is lost, nothing comes twice."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Runner
from tests.workflows.flows import git, lines

KILLER = '''
"""Ends the process with SIGKILL at a moment of an isolated step's merge."""
import os, signal
from runner.engine import isolated, workplace
from runner.workspace import bringing, unmerged

def die(*args, **more):
    os.kill(os.getpid(), signal.SIGKILL)

def before(holder, name):
    setattr(holder, name, die)

def after(holder, name):
    do = getattr(holder, name)
    def done(*args, **more):
        do(*args, **more)
        die()
    setattr(holder, name, done)

def halfway():
    delete = bringing._delete
    bringing._delete = lambda *args: (delete(*args), die())

{
    "": lambda: None,
    "merge": lambda: before(workplace.Workplace, "merge"),
    "decided": lambda: after(unmerged.Unmerged, "decide"),
    "half written": halfway,
    "written": lambda: after(bringing, "_turn"),
    "half known": lambda: after(unmerged.Unmerged, "_drop"),
    "known": lambda: after(unmerged.Unmerged, "end"),
    "clearing": lambda: before(workplace, "clear"),
    "cleared": lambda: after(workplace, "clear"),
}[os.environ.get("KILL_IN", "")]()
'''

FLOW = """
steps:
  - {id: before, command: "echo theirs >> list; echo old > gone"}
  - id: a
    agent: script
    writes: isolated
    KEYS
    prompt: "[[run: echo tried >> TRIES; grep -qx mine list || sed -i '1s/.*/mine/' list; rm -f gone; echo x > b.txt]]"
  - {id: after, command: cat list b.txt}
"""

MOMENTS = ("merge", "decided", "half written", "written", "half known", "known", "clearing", "cleared")


@pytest.fixture
def place(project: Path) -> Path:
    git(project, "init", "-q", "-b", "main")
    (project / "list").write_text("1\n2\n3\n4\n5\n")
    git(project, "add", "list")
    git(project, "commit", "-qm", "first")
    for folder in ("plugins", "workflows"):
        (project / folder).mkdir(exist_ok=True)
    (project / "plugins/killer.py").write_text(KILLER)
    (project / ".gitignore").write_text("plugins\n")
    return project


def dies(place: Path, runner: Runner, moment: str, keys: str) -> str:
    """A run that is killed at that moment → its id."""
    text = FLOW.replace("KEYS", keys).replace("TRIES", str(place.parent / "tries"))
    (place / "workflows/flow.yaml").write_text(text)
    ended = runner("workflow", "run", "flow", env={"KILL_IN": moment})
    assert ended.code == -9, (ended.stdout, ended.stderr)
    return str(runner.ok("runs", "--format", "json").items[0]["run"])


def resumed(runner: Runner, run: str) -> dict[str, Any]:
    ended = runner("workflow", "resume", run, "--format", "json")
    assert ended.code == 0, (ended.stdout, ended.stderr)
    found: dict[str, Any] = ended.json
    return found


def proof(place: Path, found: dict[str, Any]) -> None:
    """All of it is in the folder once, nothing is committed, nothing of the merge is left."""
    steps = {step["path"]: step for step in found["steps"]}
    assert (found["status"], steps["after"]["status"]) == ("done", "done")
    assert lines(place / "list") == ["mine", "2", "3", "4", "5", "theirs"]
    assert (lines(place / "b.txt"), (place / "gone").exists()) == (["x"], False)
    assert git(place, "log", "--format=%s") == "first"
    assert git(place, "diff", "--cached", "--name-only") == ""
    assert git(place, "for-each-ref", "refs/runner/*/base", "refs/runner/*/decided") == ""


@pytest.mark.parametrize("moment", MOMENTS[1::2])
def test_it_is_tried_again_on_what_is_there(place: Path, runner: Runner, moment: str) -> None:
    run = dies(place, runner, moment, "on_unknown: retry")
    found = resumed(runner, run)
    proof(place, found)
    assert lines(place.parent / "tries") == ["tried", "tried"]
    assert found["unknown"][0]["path"] == "a"
    runner.ok("clean")
    assert git(place, "worktree", "list", "--porcelain").count("worktree ") == 1


@pytest.mark.parametrize("moment", MOMENTS[::2])
def test_where_the_checks_say_that_it_is_done_nothing_is_run_again(place: Path, runner: Runner, moment: str) -> None:
    run = dies(place, runner, moment, "on_unknown: verify\n    verify: [{file_exists: b.txt}]")
    proof(place, resumed(runner, run))
    assert lines(place.parent / "tries") == ["tried"]


def test_what_a_person_changed_since_is_kept(place: Path, runner: Runner) -> None:
    run = dies(place, runner, "half written", "on_unknown: retry")
    with open(place / "list", "a") as file:
        file.write("and mine\n")
    ended = runner("workflow", "resume", run)
    assert ended.code == 0, ended.stderr
    assert lines(place / "list") == ["mine", "2", "3", "4", "5", "theirs", "and mine"]


def test_the_same_lines_changed_since_are_a_conflict(place: Path, runner: Runner) -> None:
    run = dies(place, runner, "decided", "on_unknown: retry")
    (place / "list").write_text("a person's\n2\n3\n4\n5\ntheirs\n")
    ended = runner("workflow", "resume", run)
    assert (ended.code, "can't be merged: list" in ended.stderr + ended.stdout) == (1, True)
    assert lines(place / "list")[0] == "a person's"
    assert not (place / "b.txt").exists()
    kept = subprocess.run(
        ["git", "for-each-ref", "--format=%(refname)", f"refs/runner/{run}-*/*"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    assert any(
        git(place, "show", f"{ref}:b.txt") == "x" for ref in kept.stdout.split() if ref.rpartition("/")[2].isdecimal()
    )
    assert os.path.exists(place / "gone")
