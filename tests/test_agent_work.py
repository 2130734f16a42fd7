"""What a queued agent can do, and what it can't get away with: evidence instead of belief."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Runner

CHECK = "command: python3 -m pytest -q -p no:cacheprovider"


def git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def broken(project: Path) -> Path:
    """A repository whose one test is red: `add` subtracts."""
    (project / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (project / "test_calc.py").write_text("from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "A bug")
    return project


def ask(runner: Runner, prompt: str, *options: str) -> str:
    """A task for the scripted agent → its id."""
    id: str = runner.ok("submit", "--agent", "script", *options, prompt, "--format", "json").json["id"]
    return id


def show(runner: Runner, id: str) -> dict[str, Any]:
    task: dict[str, Any] = runner.ok("show", id, "--format", "json").json
    return task


def test_red_then_repair_then_green_and_the_branch_holds_the_fix(broken: Path, runner: Runner) -> None:
    id = ask(
        runner,
        "Make add() add.\n"
        "[[on-first: [[edit: calc.py :: a - b :: a * b]] [[say: fixed]] ]]\n"
        "[[on-repair: [[edit: calc.py :: a * b :: a + b]] [[say: really fixed]] ]]",
        "--check",
        CHECK,
    )
    runner.ok("work", "--drain")
    task = show(runner, id)
    assert (task["status"], task["outcome"]) == ("done", "ok")
    assert git(broken, "show", f"runner/{id}:calc.py") == "def add(a, b):\n    return a + b"
    assert git(broken, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert git(broken, "status", "--porcelain", "--", "calc.py", "test_calc.py") == ""
    attempts = sorted(Path(task["result"]["folder"]).parent.iterdir())
    verdicts = [json.loads((folder / "verdicts.json").read_text()) for folder in attempts]
    assert [v["ok"] for attempt in verdicts for v in attempt if v["evidence"]["check"] == "command"] == [False, True]
    red = next(v for v in verdicts[0] if v["evidence"]["check"] == "command")
    assert any(Path(str(value)).exists() for value in red["evidence"].values() if str(value).startswith("/"))


@pytest.mark.parametrize(
    ("prompt", "file"),
    [
        ("[[edit: test_calc.py :: == 5 :: == -1]]", "test_calc.py"),
        ("[[delete: test_calc.py]] [[write: calc.py <<def add(a, b): return a - b - 0]]", "test_calc.py"),
        ("[[write: conftest.py <<collect_ignore = ['test_calc.py']]]", "conftest.py"),
        ("[[write: pytest.py <<raise SystemExit(0)]]", "pytest.py"),
        ("[[write: sitecustomize.py <<import os; os._exit(0)]]", "sitecustomize.py"),
    ],
)
def test_an_agent_that_edits_the_gate_is_caught_and_not_repaired(
    broken: Path, runner: Runner, prompt: str, file: str
) -> None:
    id = ask(runner, f"{prompt} [[say: All tests pass.]]", "--check", CHECK)
    assert runner("work", "--drain").code == 3
    task = show(runner, id)
    assert (task["status"], task["outcome"]) == ("needs_human", "check_failed")
    assert "the gate was edited" in task["question"]
    assert file in task["question"]
    assert len(list(Path(task["result"]["folder"]).parent.iterdir())) == 1
    names = {a["name"] for a in runner.ok("artifact", "list", "--task", id, "--format", "json").items}
    assert "BLOCKED-main.md" in names


def test_adding_a_test_is_no_offence(broken: Path, runner: Runner) -> None:
    id = ask(
        runner,
        "[[edit: calc.py :: a - b :: a + b]]"
        "[[write: test_more.py <<from calc import add\n\n\ndef test_more():\n    assert add(1, 1) == 2\n]]",
        "--check",
        CHECK,
    )
    runner.ok("work", "--drain")
    assert show(runner, id)["status"] == "done"


def test_a_step_whose_job_is_the_test_may_edit_it(broken: Path, runner: Runner) -> None:
    id = ask(runner, "[[edit: test_calc.py :: == 5 :: == -1]]", "--check", CHECK, "--may-edit", "test_calc.py")
    runner.ok("work", "--drain")
    assert show(runner, id)["status"] == "done"


def test_an_agent_that_only_says_done_did_nothing(broken: Path, runner: Runner) -> None:
    (broken / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    git(broken, "commit", "-qam", "green already")
    id = ask(runner, "[[say: done]]", "--check", CHECK)
    assert runner("work", "--drain").code == 1
    task = show(runner, id)
    assert (task["status"], task["outcome"], task["attempts"]) == ("failed", "no_op", 3)


def test_repairs_are_counted_and_then_a_person_is_asked(broken: Path, runner: Runner) -> None:
    id = ask(runner, "[[append: calc.py <<# again]] [[say: done]]", "--check", CHECK, "--repairs", "2")
    assert runner("work", "--drain").code == 3
    task = show(runner, id)
    assert (task["status"], task["outcome"]) == ("needs_human", "check_failed")
    assert len(list(Path(task["result"]["folder"]).parent.iterdir())) == 3
    runner.ok("resolve", id, "done", "--notes", "seen")
    task = show(runner, id)
    assert (task["status"], task["result"]["human"]["notes"]) == ("done", "seen")


def test_an_agent_asks_a_person_and_goes_on_with_the_answer(broken: Path, runner: Runner) -> None:
    id = ask(runner, "[[ask: plus or minus?]] [[edit: calc.py :: a - b :: a + b]]", "--check", CHECK)
    assert runner("work", "--drain").code == 3
    assert show(runner, id)["question"] == "plus or minus?"
    runner.ok("resolve", id, "pending", "--answer", "plus")
    runner.ok("work", "--drain")
    assert show(runner, id)["status"] == "done"


def test_a_crash_is_tried_again_and_then_shown_to_a_person(broken: Path, runner: Runner) -> None:
    id = ask(runner, "[[crash]]", "--attempts", "2")
    assert runner("work", "--drain").code == 3
    task = show(runner, id)
    assert (task["status"], task["outcome"], task["attempts"]) == ("needs_human", "crashed", 2)


def test_a_hanging_agent_ends_at_its_limit(broken: Path, runner: Runner) -> None:
    id = ask(runner, "[[deaf]] [[hang]]", "--timeout", "1", "--attempts", "1")
    began = time.monotonic()
    assert runner("work", "--drain").code == 3
    assert show(runner, id)["outcome"] == "timeout"
    assert time.monotonic() - began < 30


def test_a_daemon_that_an_agent_leaves_behind_is_gone(broken: Path, runner: Runner, tmp_path: Path) -> None:
    pid = tmp_path / "daemon.pid"
    id = ask(runner, f"[[fork-daemon: {pid}]] [[edit: calc.py :: a - b :: a + b]]", "--check", CHECK)
    runner.ok("work", "--drain")
    assert show(runner, id)["status"] == "done"
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_a_rate_limit_parks_the_account_and_spends_no_attempt(broken: Path, runner: Runner) -> None:
    first = ask(runner, "[[rate-limit: 3600]]")
    second = ask(runner, "[[edit: calc.py :: a - b :: a + b]]", "--priority", "-5")
    runner.ok("work", "--drain")
    task = show(runner, first)
    assert (task["status"], task["attempts"]) == ("scheduled", 0)
    assert show(runner, second)["status"] == "pending"
    assert "parked" in runner.ok("why", second).stdout


def test_two_tasks_of_a_unit_work_in_one_worktree_on_one_branch(broken: Path, runner: Runner) -> None:
    ask(runner, "[[edit: calc.py :: a - b :: a + b]]", "--work-unit", "cart")
    ask(runner, "[[append: calc.py <<# and more]]", "--work-unit", "cart", "--check", CHECK)
    runner.ok("work", "--drain", "--slots", "2")
    assert git(broken, "show", "runner/cart:calc.py") == "def add(a, b):\n    return a + b\n# and more"


def test_uncommitted_and_untracked_work_is_committed_for_the_branch(broken: Path, runner: Runner) -> None:
    id = ask(runner, "[[write: docs/new.md <<hello]] [[edit: calc.py :: a - b :: a + b]]")
    runner.ok("work", "--drain")
    assert git(broken, "show", f"runner/{id}:docs/new.md") == "hello"


def test_the_branch_of_a_worker_that_died_after_the_settle_is_moved_by_the_next(broken: Path, runner: Runner) -> None:
    from runner.app import App
    from runner.store import ClaimTasks, Register, Settle, StartAttempt
    from runner.worker.identity import make_worker

    id = ask(runner, "[[say: nothing]]", "--expects", "answer")
    head = git(broken, "rev-parse", "HEAD")
    with App.open(broken, code=True) as app:
        worker = make_worker(app, machine=os.uname().nodename, types=(), slots=1)
        publish = {"repo": str(broken), "ref": f"refs/heads/runner/{id}", "new": head, "old": None}
        _, [claim] = app.store.commit([Register(worker=worker), ClaimTasks(worker=worker, limit=1)])
        app.store.commit([StartAttempt(fence=claim), Settle(fence=claim, outcome="ok", publish=publish)])
    runner.ok("work", "--drain")
    assert git(broken, "rev-parse", f"runner/{id}") == head


class Memory(threading.Thread):
    """Watches the largest sum of resident memory of some processes, in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.most = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            total = 0
            for pid in [str(self.pid), *_children(self.pid)]:
                if "program.py" in _text(f"/proc/{pid}/cmdline") or pid == str(self.pid):
                    total += _resident(pid)
            self.most = max(self.most, total)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _children(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += _text(str(task)).split()
    return found


def _resident(pid: str) -> int:
    for line in _text(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.mark.parametrize("size", ["100M", pytest.param("1G", marks=pytest.mark.soak)])
def test_an_agent_that_floods_its_output_costs_no_memory(broken: Path, runner: Runner, size: str) -> None:
    id = ask(runner, f"[[flood: {size}]] [[edit: calc.py :: a - b :: a + b]]")
    with runner.start("work", "--drain") as worker:
        memory = Memory(worker.pid)
        memory.start()
        worker.communicate(timeout=240)
        memory.over.set()
    assert show(runner, id)["status"] == "done"
    assert 10 << 20 < memory.most < 150 << 20


def test_a_retry_is_held_to_the_gate_before_the_first_attempt(broken: Path, runner: Runner) -> None:
    id = ask(
        runner,
        "[[on-attempt 1: [[edit: test_calc.py :: == 5 :: == -1]] [[crash]] ]] [[append: calc.py <<# x]]",
        "--check",
        CHECK,
    )
    assert runner("work", "--drain").code == 3
    assert "the gate was edited: test_calc.py" in show(runner, id)["question"]


def test_the_whole_worktree_is_sealed_for_a_task_in_a_subfolder(broken: Path, runner: Runner) -> None:
    (broken / "sub").mkdir()
    (broken / "sub" / "keep").write_text("")
    git(broken, "add", "-A")
    git(broken, "commit", "-qm", "sub")
    id = ask(
        runner,
        "[[edit: ../test_calc.py :: == 5 :: == -1]]",
        "--check",
        "command: cd .. && python3 -m pytest -q",
        "--cwd",
        "sub",
    )
    assert runner("work", "--drain").code == 3
    assert "test_calc.py" in show(runner, id)["question"]


def test_a_repair_may_not_edit_what_the_step_may(broken: Path, runner: Runner) -> None:
    id = ask(
        runner,
        "[[on-first: [[append: test_calc.py <<# looked at]] ]] [[on-repair: [[edit: test_calc.py :: == 5 :: == -1]] ]]",
        "--check", CHECK, "--may-edit", "test_calc.py",
    )  # fmt: skip
    assert runner("work", "--drain").code == 3
    assert "the gate was edited: test_calc.py" in show(runner, id)["question"]


def test_a_person_who_queues_a_task_again_lifts_the_park_of_its_account(broken: Path, runner: Runner) -> None:
    id = ask(runner, "[[on-attempt 1: [[auth]] ]] [[edit: calc.py :: a - b :: a + b]]")
    other = ask(runner, "[[append: calc.py <<# x]]", "--priority", "-5")
    runner.ok("work", "--drain")
    assert show(runner, id)["status"] == "scheduled"
    runner.ok("retry", id)
    runner.ok("work", "--drain")
    assert {show(runner, one)["status"] for one in (id, other)} == {"done"}


def test_a_snapshot_that_fails_is_an_event_for_people_to_see(broken: Path, runner: Runner) -> None:
    (broken / "runner.yaml").write_text("workspace: {snapshot_every: 0.2}\n")
    objects = "$(git rev-parse --git-common-dir)/objects"
    script = f'o={objects}; echo x > a.txt; mv "$o" "$o-away"; sleep 1.5; mv "$o-away" "$o"'
    payload = json.dumps({"script": script})
    id: str = runner.ok("submit", "--type", "run_script", "--payload", payload, "--format", "json").json["id"]
    runner.ok("work", "--drain")
    events = [e for e in runner.ok("why", id, "--format", "json").json["events"] if e["kind"] == "snapshot.failed"]
    assert len(events) == 1, "the same reason is told once"
    assert "no snapshot of" in events[0]["data"]["reason"]
    assert show(runner, id)["status"] == "done"
