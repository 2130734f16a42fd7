"""Killed at any moment: everything that was written before the last snapshot is there again, or listed as left out."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from workspaces import Lab, make_lab

from runner.workspace import Kept, LeftOut, list_kept, plan_clean, remove, restore

# Writes numbered files of every kind, and says after each round of them what is on disk.
WRITER = """
import os, pathlib, subprocess, sys
root, journal, n, KEEP = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for name in ("u", "made.log.d", "nest/in"):
    (root / name).mkdir(parents=True, exist_ok=True)
git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gc.auto=0"]
if not (root / "nest/.git/HEAD").exists():
    subprocess.run([*git, "init", "-q"], cwd=root / "nest", check=True)
for lock in (root / "nest/.git").glob("*.lock"):
    lock.unlink()
(root / "growing.new").write_text("".join(f"{i}\\n" for i in range(1, n + 1)))
os.replace(root / "growing.new", root / "growing.txt")
while True:
    n += 1
    text = f"{n}\\n" * (1 + n % 400)
    (root / f"u/{n}.txt").write_text(text)
    (root / f"made.log.d/{n}.log").write_text(text)
    (root / f"nest/in/{n}.txt").write_text(text)
    with open(root / "growing.txt", "a") as file:
        file.write(f"{n}\\n")
    (root / "replaced.new").write_text(str(n)); os.replace(root / "replaced.new", root / "replaced.txt")
    (root / "large.bin").write_bytes(b"%d " % n * 2000)
    # Old ones go, so that the worktree does not grow for ever.
    for name in (f"u/{n - KEEP}.txt", f"made.log.d/{n - KEEP}.log", f"nest/in/{n - KEEP}.txt"):
        (root / name).unlink(missing_ok=True)
    if n % 7 == 0:
        subprocess.run([*git, "add", "-A"], cwd=root / "nest", check=True)
        subprocess.run([*git, "commit", "-q", "-m", f"commit {n}"], cwd=root / "nest", check=True)
    with open(journal + ".new", "w") as file:
        file.write(str(n))
    os.replace(journal + ".new", journal)
"""

# Holds the unit: opens its workspace, starts the writer, takes snapshots until it is killed.
HOLDER = """
import os, pathlib, random, subprocess, sys, time
from runner.workspace import Caps, open_workspace
repo, base, state, epoch, writer, journal, confirmed, seed, keep = sys.argv[1:]
work = open_workspace(repo=pathlib.Path(repo), base=base, subdir="", unit="u1", epoch=int(epoch),
    state=pathlib.Path(state), resume_from=None, reclaimed=epoch != "1", cwd=pathlib.Path(repo),
    caps=Caps(max_file=1_000_000))
print(work.path, flush=True)
start = sys.stdin.readline().strip()
agent = subprocess.Popen([sys.executable, "-c", writer, work.path, journal, start, keep])
print(agent.pid, flush=True)
dice = random.Random(int(seed))
while True:
    time.sleep(dice.random() * 0.05)
    sure = pathlib.Path(journal).read_text() if os.path.exists(journal) else "0"
    shot = work.snapshot(int(epoch), "timer")
    pathlib.Path(confirmed + ".new").write_text(sure)
    os.replace(confirmed + ".new", confirmed)
"""


KEEP = 60
"""So many rounds are there at a time."""


def number(path: Path) -> int:
    return int(path.read_text() or 0) if path.exists() else 0


@dataclass
class Progress:
    """`sure`: up to which round a snapshot is known to hold all. `gone`: up to which the writer may have deleted."""

    sure: int = 0
    gone: int = 0

    def read(self, top: Path) -> None:
        self.sure = max(self.sure, number(top / "confirmed"))
        self.gone = max(self.gone, number(top / "journal") + 1 - KEEP)


def assert_whole(root: Path, progress: Progress, left_out: tuple[LeftOut, ...]) -> None:
    """Everything of the rounds up to `sure` that was not deleted is below `root`, or listed."""
    listed = {item.path for item in left_out}
    sure = progress.sure
    for n in range(max(0, progress.gone) + 1, sure + 1):
        for name in names_of(n):
            assert name in listed or (root / name).read_text() == text_of(n), name
    if sure:
        grown = (root / "growing.txt").read_text().split("\n")
        assert grown[:sure] == [str(n) for n in range(1, sure + 1)]
        assert int((root / "replaced.txt").read_text()) >= sure
    if sure >= 7:
        assert f"commit {sure - sure % 7}" in commits(root)
        fsck = ["git", "fsck", "--connectivity-only"]
        assert subprocess.run(fsck, cwd=root / "nest", capture_output=True, check=False).returncode == 0


def rounds_in(root: Path, n: int) -> int:
    """The last of the rounds of which every file, whole, and the commit is in `root`."""
    done = commits(root)
    while all(has(root / name, text_of(n + 1)) for name in names_of(n + 1)):
        if (n + 1) % 7 == 0 and f"commit {n + 1}" not in done:
            break
        n += 1
    return n


def names_of(n: int) -> tuple[str, str, str]:
    return f"u/{n}.txt", f"made.log.d/{n}.log", f"nest/in/{n}.txt"


def text_of(n: int) -> str:
    return f"{n}\n" * (1 + n % 400)


def has(path: Path, text: str) -> bool:
    # A writer that was killed leaves a file that is there and not whole.
    return path.exists() and path.read_text() == text


def commits(root: Path) -> list[str]:
    """The subjects of the nested repository's commits."""
    if not (root / "nest/.git").exists():
        return []
    done = subprocess.run(["git", "log", "--format=%s"], cwd=root / "nest", capture_output=True, text=True, check=False)
    return done.stdout.split("\n")


def newest(lab: Lab) -> Kept | None:
    kept = [item for item in list_kept(lab.repo, lab.state) if item.ref.rpartition("/")[2].isdecimal()]
    return kept[-1] if kept else None


def one_life(lab: Lab, epoch: int, dice: random.Random, progress: Progress, top: Path) -> None:
    """A holder lives, works and is killed."""
    journal, confirmed = top / "journal", top / "confirmed"
    base = lab.git("rev-parse", "main")
    words = [lab.repo, base, lab.state, epoch, WRITER, journal, confirmed, dice.randrange(10**6), KEEP]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    agent = 0
    try:
        if dice.random() < 0.15:
            # Sometimes it does not even get to open its workspace.
            time.sleep(dice.random() * 0.3)
            return
        path = Path(holder.stdout.readline().strip())
        kept = newest(lab)
        assert_whole(path, progress, kept.left_out if kept else ())
        # Goes on after the last round that is there in full, as an agent would.
        there = rounds_in(path, progress.sure)
        journal.write_text(str(there))
        print(there, file=holder.stdin, flush=True)
        agent = int(holder.stdout.readline())
        time.sleep(dice.random() * 0.7)
    finally:
        holder.kill()
        holder.wait()
        if agent:
            with contextlib.suppress(ProcessLookupError):
                os.kill(agent, signal.SIGKILL)
        holder.stdin.close()
        holder.stdout.close()
        progress.read(top)


def live_and_die(lab: Lab, kills: int, top: Path) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    dice = random.Random(seed)
    progress = Progress()
    for epoch in range(1, kills + 1):
        one_life(lab, epoch, dice, progress, top)
        kept = newest(lab)
        if kept is not None and dice.random() < 0.5:
            out = top / f"out-{epoch}"
            restore(kept, out)
            assert_whole(out, progress, kept.left_out)
            shutil.rmtree(out)
        if kept is not None and dice.random() < 0.3:
            # The machine's disk is lost, too: only the snapshot is left.
            shutil.rmtree(lab.state / "worktrees/u1", ignore_errors=True)
        elif dice.random() < 0.3:
            for removal in plan_clean(lab.state, set(), {"u1": "failed"}):
                if removal.allowed:
                    remove(removal)
            last = newest(lab)
            if last is not None:
                restore(last, top / "after-clean")
                assert_whole(top / "after-clean", progress, last.left_out)
                shutil.rmtree(top / "after-clean")
    assert progress.sure > 0
    assert subprocess.run(["git", "fsck"], cwd=lab.repo, capture_output=True, check=False).returncode == 0


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


def test_killed_at_fifteen_random_moments_nothing_is_lost(lab: Lab, tmp_path: Path) -> None:
    live_and_die(lab, 15, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_at_three_hundred_random_moments_nothing_is_lost(lab: Lab, tmp_path: Path) -> None:
    live_and_die(lab, 300, tmp_path)
