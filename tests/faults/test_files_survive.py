"""A worker is killed at random moments of a task that writes files: what a snapshot could see is there afterwards."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import pytest

from runner.project import find_project
from tests.conftest import Runner

TASK = r"""
mkdir -p loose ignored nested
[ -d nested/.git ] || git -C nested init -q
n=$(cat "$JOURNAL.count" 2>/dev/null || echo 0)
while [ ! -e "$JOURNAL.stop" ]; do
  n=$((n + 1))
  for place in loose ignored nested; do echo "$n" > "$place/$n.txt"; done
  echo "$n $(date +%s)" >> "$JOURNAL"
  echo "$n" > "$JOURNAL.count"
  sleep 0.02
done
"""


def git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Witness:
    """What was written when, by the task's own journal outside the workspace; and what a worktree holds."""

    def __init__(self, project: Path, journal: Path, task: str) -> None:
        self.project = project
        self.journal = journal
        self.task = task

    def written_before(self, second: int) -> set[int]:
        """Numbers whose three files were whole before this second began."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        rows = [line.split() for line in lines]
        return {int(row[0]) for row in rows if len(row) == 2 and int(row[1]) < second}

    def snapshots(self) -> list[int]:
        """Times (Unix seconds) of the snapshots that are kept, oldest first."""
        refs = git(self.project, "for-each-ref", "--format=%(refname)", f"refs/runner/{self.task}/").split()
        times: set[int] = set()
        for ref in refs:
            if "nested" not in ref:
                times.update(map(int, git(self.project, "log", "--format=%ct", "--first-parent", ref).split()))
        return sorted(times)

    def seen(self) -> bool:
        """Whether something was whole before the last snapshot but one."""
        times = self.snapshots()
        return len(times) >= 2 and bool(self.written_before(times[-2]))

    def lost(self, worktree: Path, before: int) -> list[str]:
        """Files that were whole before a snapshot began, and are not in the worktree."""
        return [
            f"{place}/{n}.txt"
            for n in sorted(self.written_before(before))
            for place in ("loose", "ignored", "nested")
            if not (worktree / place / f"{n}.txt").exists()
        ]


@pytest.mark.parametrize("kills", [6, pytest.param(300, marks=pytest.mark.soak)])
def test_what_was_written_before_a_snapshot_survives_the_worker(
    project: Path, runner: Runner, tmp_path: Path, kills: int
) -> None:
    journal = tmp_path / "journal"
    (project / ".gitignore").write_text("ignored/\n")
    (project / "runner.yaml").write_text(
        f"workspace: {{snapshot_every: 0.4}}\ndefaults: {{interruptions: {3 * kills + 5}}}\n"
    )
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        git(project, *words)
    options = ("submit", "--type", "run_script", "--timeout", "1h", "--format", "json", "--payload")
    payload = json.dumps({"script": TASK, "env": {"JOURNAL": str(journal)}})
    task = runner.ok(*options, payload).json["id"]
    witness = Witness(project, journal, task)
    state = find_project(project).state
    chance = random.Random(kills)
    rounds = 0
    # On a busy machine a round may end before its first snapshot: a few more then.
    while rounds < kills or (rounds < 3 * kills and not witness.seen()):
        rounds += 1
        with runner.start("work", "--loop") as worker:
            time.sleep(0.8 + chance.random() * 1.4)
            worker.kill()
            worker.communicate(timeout=30)
    times = witness.snapshots()
    journal.with_name("journal.stop").touch()
    ended = runner("work", "--drain", timeout=120)
    assert ended.code == 0, ended.stderr
    newest = max((state / "worktrees" / task).glob("[0-9]*"), key=lambda path: int(path.name))
    # Whoever was written before one snapshot ended was there when the next began.
    assert len(times) >= 2
    assert witness.written_before(times[-2])
    assert witness.lost(newest, times[-2]) == []
    # Nothing is deleted that is not kept elsewhere, and what is kept can be had back.
    runner.ok("clean")
    into = tmp_path / "found"
    runner.ok("rescue", task, "--into", into)
    assert witness.lost(into, times[-2]) == []
