"""A worker that was stopped past its lease comes back: it is refused everywhere, and its work is kept as evidence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.testing import faults, history

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.store import Store
    from tests.faults.conftest import Field

LEASE = 2.0


@pytest.fixture
def repository(crowd_field: Field) -> Field:
    """The project is a git repository; `echo` commits."""
    crowd_field.settings(lease=LEASE, renew=0.5, interruptions=10)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first", "--allow-empty"]):
        _git(crowd_field.root, *words)
    return crowd_field


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout


def _submit(field: Field, script: str, *more: str) -> str:
    payload = json.dumps({"script": script})
    ended = field.runner.ok(
        "submit", "--type", "run_script", "--payload", payload, "--format", "json", *more, env=field.env
    )
    task: str = ended.json["id"]
    field.ids.append(task)
    return task


def _until(condition: Callable[[], bool], what: str, timeout: float = 40.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not so after {timeout} s"
        time.sleep(0.02)


def _overtake(field: Field, store: Store, task: str, when: Callable[[], bool]) -> tuple[faults.Crew, faults.Member]:
    """One worker starts the task and is stopped `when`; another one does it → the first, stopped."""
    first = field.crew(1)
    first.fill()
    _until(when, "the first worker is where it is to be stopped")
    member = first.stop()
    assert member is not None
    field.runner.ok("work", "--drain", env=field.env, timeout=90)
    done = store.queue.get(task)
    assert done is not None
    if done.status != "done":  # --drain found nothing to do yet: the lease was still good
        _until(lambda: _drained(field, store, task), "another worker does the task")
    return first, member


def _drained(field: Field, store: Store, task: str) -> bool:
    field.runner.ok("work", "--drain", env=field.env, timeout=90)
    found = store.queue.get(task)
    return found is not None and found.status == "done"


def test_a_worker_that_was_overtaken_changes_nothing_and_its_output_is_kept(repository: Field) -> None:
    field = repository
    log = field.effects
    script = f"echo words of epoch $RUNNER_EPOCH\n{history.effect_lines(log, 0.6)}echo $RUNNER_EPOCH > out.txt\n"
    task = _submit(field, script, "--artifact", "out.txt")
    store = field.open()
    crew, zombie = _overtake(field, store, task, lambda: bool(history.read_effects(log)))
    before = _truth(field, store, task)
    crew.resume(zombie)
    _until(lambda: bool(store.queue.attempts(task)[0].late), "the late evidence is kept")
    assert crew.close() == [0], crew.words()
    assert _truth(field, store, task) == before

    first, second = store.queue.attempts(task)
    assert first.epoch < second.epoch
    assert f"words of epoch {first.epoch}" in json.dumps(first.late) + _kept_output(field, task, first.n)
    assert not second.late
    winner = str(second.epoch)
    [artifact] = store.records.artifacts(task=task)
    assert artifact.epoch == second.epoch
    branches = re.findall(r"runner/\S+", _git(field.root, "branch", "--list", "--all", "runner/*"))
    assert len(branches) == 1, branches
    assert _git(field.root, "show", f"{branches[0]}:out.txt").strip() == winner
    assert "lost" in crew.words()
    report = field.proof(store)  # nothing of the zombie ran beside the next holder: nobody is excused
    assert (report.claims, report.reclaims, report.settled) == (2, 1, {"done": 1})


def test_what_a_zombie_started_is_ended_before_the_next_holder_starts(repository: Field) -> None:
    field = repository
    script = (
        f'echo start $RUNNER_TASK_ID $RUNNER_EPOCH $RUNNER_ATTEMPT $$ >> "{field.effects}"\n'
        f'[ "$RUNNER_ATTEMPT" = 1 ] && {{ trap "" TERM; while :; do sleep 0.1; done; }}\n'
        f'echo end $RUNNER_TASK_ID $RUNNER_EPOCH $RUNNER_ATTEMPT $$ >> "{field.effects}"\n'
    )
    task = _submit(field, script)
    store = field.open()
    crew, zombie = _overtake(field, store, task, lambda: bool(history.read_effects(field.effects)))
    [of_zombie, *_] = history.read_effects(field.effects)
    assert not _runs(of_zombie.pid), "the tree of a stopped worker outlived its lease"
    crew.resume(zombie)
    assert crew.close() == [0]
    field.proof(store)


def test_a_child_of_a_lost_claim_cannot_add_artifacts(repository: Field) -> None:
    field = repository
    task = _submit(field, history.effect_lines(field.effects, 0.6))
    store = field.open()
    crew, zombie = _overtake(field, store, task, lambda: bool(history.read_effects(field.effects)))
    [first, *_] = history.read_effects(field.effects)
    (field.root / "late.txt").write_text("late")
    env = {**field.env, "RUNNER_TASK_ID": task, "RUNNER_EPOCH": str(first.epoch)}
    ended = field.runner("artifact", "upload", "late.txt", "--format", "json", env=env)
    assert ended.code == 1
    assert ended.error["code"] == "lost_claim"
    assert store.records.artifacts(task=task) == []
    crew.resume(zombie)
    assert crew.close() == [0]
    field.proof(store)


def _truth(field: Field, store: Store, task: str) -> list[object]:
    """All that the zombie must not change."""
    found = store.queue.get(task)
    assert found is not None
    return [
        (found.status, found.outcome, found.epoch, found.attempt, found.attempts, found.result),
        store.records.artifacts(task=task),
        _git(field.root, "for-each-ref", "refs/heads"),
        [(a.n, a.epoch, a.outcome) for a in store.queue.attempts(task)],
    ]


def _kept_output(field: Field, task: str, n: int) -> str:
    """What the log of an attempt holds, found below the state folder."""
    found = Path(os.environ["XDG_STATE_HOME"]).glob(f"runner/*/runs/{task}/steps/*/{n}/*stdout.log")
    return "".join(path.read_text() for path in found)


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie of the kernel's kind."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
