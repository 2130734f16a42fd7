"""The worker, from the command line: what it runs, what it reports, what survives its end."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Runner


def script(text: str, **more: Any) -> str:
    return json.dumps({"script": text, **more})


def submit(runner: Runner, text: str, *options: str, **payload: Any) -> str:
    """A run_script task → its id."""
    ended = runner.ok(
        "submit", "--type", "run_script", "--payload", script(text, **payload), *options, "--format", "json"
    )
    id: str = ended.json["id"]
    return id


def show(runner: Runner, id: str) -> dict[str, Any]:
    task: dict[str, Any] = runner.ok("show", id, "--format", "json").json
    return task


def wait_for(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_script_goes_from_submit_to_a_checked_result_with_its_artifact(folder: Path, runner: Runner) -> None:
    runner.ok("init", "--yes")
    runner.ok(
        "submit", "--type", "run_script", "--payload", script("echo hi > out.txt"),
        "--check", "file_exists: out.txt", "--artifact", "out.txt",
    )  # fmt: skip
    runner.ok("work", "--drain")
    [task] = runner.ok("queue", "--all", "--format", "json").items
    assert (task["status"], task["outcome"]) == ("done", "ok")
    [artifact] = runner.ok("artifact", "list", "--format", "json").items
    assert artifact["name"] == "out.txt"
    assert artifact["sha256"] == hashlib.sha256(b"hi\n").hexdigest()
    assert artifact["task"] == task["id"]


def test_a_script_that_fails_is_failed_with_its_exit_code_and_the_worker_says_so(project: Path, runner: Runner) -> None:
    id = submit(runner, "echo no >&2; exit 3")
    assert runner("work", "--drain").code == 1
    task = show(runner, id)
    assert task["status"] == "failed"
    assert task["outcome"] == "check_failed"
    assert task["result"]["exit_code"] == 3
    assert "no" in runner.ok("logs", id, "--stderr").stdout


def test_a_missing_declared_file_fails_the_task(project: Path, runner: Runner) -> None:
    id = submit(runner, "true", "--artifact", "report.html")
    assert runner("work", "--drain").code == 1
    assert "report.html" in show(runner, id)["result"]["summary"]


def test_once_runs_one_task_and_leaves_the_others(project: Path, runner: Runner) -> None:
    for n in range(3):
        submit(runner, f"echo {n} > file-{n}")
    runner.ok("work", "--once")
    assert len(list(project.glob("file-*"))) == 1


def test_nothing_to_do_is_no_failure(project: Path, runner: Runner) -> None:
    assert runner("work", "--drain").code == 0
    assert runner("work", "--once").code == 0


def test_json_of_a_drain_counts_what_came_of_it(project: Path, runner: Runner) -> None:
    submit(runner, "true")
    submit(runner, "false")
    ended = runner("work", "--drain", "--format", "json")
    assert ended.code == 1
    assert ended.json["counts"] == {"done": 1, "failed": 1}
    assert {item["status"] for item in ended.json["items"]} == {"done", "failed"}


def test_slots_work_at_the_same_time_and_one_folder_takes_one_task(project: Path, runner: Runner) -> None:
    folders = [project / name for name in "ab"]
    for place in folders:
        place.mkdir()
        # Each waits for the other: only two at a time can pass.
        other = folders[1] if place == folders[0] else folders[0]
        submit(runner, f"touch here; while [ ! -e {other}/here ]; do sleep 0.05; done", cwd=str(place), timeout=20)
    runner.ok("work", "--drain", "--slots", "2")
    apart = [submit(runner, "mkdir lock && sleep 0.2 && rmdir lock", cwd=str(folders[0])) for _ in range(3)]
    runner.ok("work", "--drain", "--slots", "3")
    assert {show(runner, id)["status"] for id in apart} == {"done"}


def test_a_task_waits_for_its_parent_and_a_failed_parent_holds_it(project: Path, runner: Runner) -> None:
    first = submit(runner, "echo 1 >> order")
    second = submit(runner, "echo 2 >> order", "--after", first, "--priority", "50")
    broken = submit(runner, "false")
    held = submit(runner, "echo never >> order", "--after", broken)
    assert runner("work", "--drain").code == 1
    assert (project / "order").read_text() == "1\n2\n"
    assert show(runner, second)["status"] == "done"
    assert show(runner, held)["status"] == "blocked"
    runner.ok("resolve", broken, "done", "--notes", "by hand")
    runner.ok("work", "--drain")
    assert show(runner, held)["status"] == "done"


def test_a_handler_dropped_into_the_project_runs_at_once(project: Path, runner: Runner) -> None:
    (project / "handlers").mkdir()
    (project / "handlers" / "greet.py").write_text(
        '"""Greet somebody."""\n\n\ndef run(payload, context):\n    return f"hello {payload[\'name\']}"\n'
    )
    runner.ok("submit", "--type", "greet", "--payload", '{"name": "Ada"}')
    runner.ok("work", "--drain")
    [task] = runner.ok("queue", "--all", "--format", "json").items
    assert task["result"]["output"] == "hello Ada"


def test_a_handler_that_raises_is_crashed_with_its_file_and_line(project: Path, runner: Runner) -> None:
    (project / "handlers").mkdir()
    (project / "handlers" / "burn.py").write_text("def run(payload, context):\n    raise ValueError('too hot')\n")
    ended = runner.ok("submit", "--type", "burn", "--payload", "{}", "--attempts", "2", "--format", "json")
    assert runner("work", "--drain").code == 3
    task = show(runner, ended.json["id"])
    assert (task["status"], task["outcome"], task["attempts"]) == ("needs_human", "crashed", 2)
    assert "ValueError: too hot" in task["result"]["summary"]
    assert "burn.py:2" in task["result"]["summary"]


def test_a_handler_that_exits_is_crashed_and_the_worker_lives(project: Path, runner: Runner) -> None:
    (project / "handlers").mkdir()
    (project / "handlers" / "leave.py").write_text("import sys\n\n\ndef run(payload, context):\n    sys.exit(3)\n")
    id = runner.ok("submit", "--type", "leave", "--payload", "{}", "--attempts", "1", "--format", "json").json["id"]
    other = submit(runner, "true")
    assert runner("work", "--drain").code == 3
    assert show(runner, id)["outcome"] == "crashed"
    assert "SystemExit: 3" in show(runner, id)["result"]["summary"]
    assert show(runner, other)["status"] == "done"


def test_a_child_knows_whose_work_it_does(project: Path, runner: Runner) -> None:
    id = submit(runner, "env | grep ^RUNNER_ | sort > env.txt")
    runner.ok("work", "--drain", "--machine", "box")
    env = dict(line.split("=", 1) for line in (project / "env.txt").read_text().splitlines())
    assert env["RUNNER_TASK_ID"] == env["RUNNER_RUN_ID"] == env["RUNNER_WORK_UNIT_ID"] == id
    assert env["RUNNER_STEP_KEY"] == f"{id}/main"
    assert (env["RUNNER_ATTEMPT"], env["RUNNER_EPOCH"], env["RUNNER_DEVICE_ID"]) == ("1", "1", "box")
    assert Path(env["RUNNER_PROJECT_DIR"]) == project
    assert env["RUNNER_STORE"].startswith("sqlite:////")


def test_a_step_keeps_its_key_over_attempts(project: Path, runner: Runner) -> None:
    (project / "handlers").mkdir()
    (project / "handlers" / "twice.py").write_text(
        "def run(payload, context):\n"
        "    with open(context.workspace / 'seen', 'a') as file:\n"
        "        print(context.env['RUNNER_STEP_KEY'], context.env['RUNNER_ATTEMPT'], file=file)\n"
        "    if context.attempt == 1:\n"
        "        raise RuntimeError('the first time')\n"
    )
    id = runner.ok("submit", "--type", "twice", "--payload", "{}", "--format", "json").json["id"]
    runner.ok("work", "--drain")
    assert (project / "seen").read_text() == f"{id}/main 1\n{id}/main 2\n"
    assert show(runner, id)["attempts"] == 2


def test_a_submit_inside_a_task_lands_in_the_same_store(project: Path, runner: Runner) -> None:
    python = os.environ.get("PYTHON", "")
    import sys

    python = sys.executable
    submit(
        runner,
        f'cd / && {python} -m runner submit --type run_script --payload \'{{"script":"true"}}\' --limit-key other',
    )
    runner.ok("work", "--drain")
    assert len(runner.ok("queue", "--all", "--format", "json").items) == 2


def test_a_task_for_another_machine_is_never_seen_here(project: Path, runner: Runner) -> None:
    id = submit(runner, "true", "--machine", "elsewhere")
    runner.ok("work", "--drain", "--machine", "here")
    assert show(runner, id)["status"] == "pending"
    runner.ok("work", "--drain", "--machine", "elsewhere")
    assert show(runner, id)["status"] == "done"


def test_a_running_task_is_cancelled_and_nothing_of_it_is_left(project: Path, runner: Runner) -> None:
    id = submit(runner, "echo $$ > pid; sleep 300", timeout=400)
    with runner.start("work", "--drain") as worker:
        wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text().strip())
        runner.ok("cancel", id)
        worker.communicate(timeout=30)
    assert show(runner, id)["status"] == "cancelled"
    assert not Path(f"/proc/{(project / 'pid').read_text().strip()}").exists()


def test_the_first_interrupt_finishes_what_runs(project: Path, runner: Runner) -> None:
    id = submit(runner, "touch started; sleep 1; touch finished")
    submit(runner, "touch never")
    with runner.start("work", "--loop") as worker:
        wait_for((project / "started").exists)
        worker.send_signal(signal.SIGINT)
        worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert (project / "finished").exists()
    assert show(runner, id)["status"] == "done"
    assert not (project / "never").exists()


def test_the_second_interrupt_ends_it_and_hands_the_claim_back(project: Path, runner: Runner) -> None:
    id = submit(runner, "echo $$ > pid; sleep 300", timeout=400)
    with runner.start("work", "--loop") as worker:
        wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text().strip())
        worker.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert worker.poll() is None
        worker.send_signal(signal.SIGINT)
        worker.communicate(timeout=30)
    assert worker.returncode == 130
    task = show(runner, id)
    assert (task["status"], task["interruptions"], task["attempts"]) == ("pending", 1, 0)
    assert not Path(f"/proc/{(project / 'pid').read_text().strip()}").exists()


def test_a_killed_workers_task_goes_on_at_once_with_a_new_epoch(project: Path, runner: Runner) -> None:
    id = submit(runner, "echo $$ >> pids; [ $RUNNER_EPOCH -gt 1 ] || sleep 300", timeout=400)
    with runner.start("work", "--loop") as worker:
        wait_for(lambda: (project / "pids").exists() and (project / "pids").read_text().strip())
        worker.kill()
        worker.communicate(timeout=30)
    began = time.monotonic()
    runner.ok("work", "--drain")
    task = show(runner, id)
    assert (task["status"], task["interruptions"]) == ("done", 1)
    assert time.monotonic() - began < 20  # far less than the lease of 300 s
    first, *_ = (project / "pids").read_text().split()
    assert not Path(f"/proc/{first}").exists()


def test_a_loop_wakes_for_a_new_task(project: Path, runner: Runner) -> None:
    with runner.start("work", "--loop", env={"RUNNER_WORKER_POLL": "60"}) as worker:
        time.sleep(1.0)
        began = time.monotonic()
        submit(runner, "touch woken")
        wait_for((project / "woken").exists, 10)
        assert time.monotonic() - began < 10
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)
    assert worker.returncode == 0


def test_a_limit_of_a_type_holds_over_all_workers(project: Path, runner: Runner) -> None:
    (project / "runner.yaml").write_text("limits: {types: {run_script: 1}}\n")
    for n in range(4):
        (project / f"d{n}").mkdir()
        submit(runner, f"mkdir {project}/lock && sleep 0.1 && rmdir {project}/lock", cwd=str(project / f"d{n}"))
    with runner.start("work", "--drain", "--slots", "2") as one, runner.start("work", "--drain", "--slots", "2") as two:
        one.communicate(timeout=60)
        two.communicate(timeout=60)
    runner("work", "--drain")
    assert {task["status"] for task in runner.ok("queue", "--all", "--format", "json").items} == {"done"}


def test_secrets_of_the_environment_are_in_no_log_and_no_result(project: Path, runner: Runner, isolated: Path) -> None:
    secret = "correct-horse-battery-staple"
    id = submit(runner, "echo token is $DEPLOY_TOKEN")
    runner.ok("work", "--drain", env={"DEPLOY_TOKEN": secret})
    assert secret not in runner.ok("logs", id).stdout
    assert secret not in json.dumps(show(runner, id))
    found = subprocess.run(
        ["grep", "-rlF", secret, str(isolated), str(project)], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


@pytest.mark.parametrize("mode", ["--once", "--drain"])
def test_a_worker_without_a_terminal_and_with_a_full_pipe_ends(project: Path, runner: Runner, mode: str) -> None:
    submit(runner, "true")
    read, write = os.pipe()
    os.close(read)
    with runner.start("work", mode, "--format", "jsonl", stdout=write) as worker:
        os.close(write)
        worker.communicate(timeout=30)
    [task] = runner.ok("queue", "--all", "--format", "json").items
    assert task["status"] == "done"


def test_a_stopped_workers_child_is_ended_before_somebody_else_may_start(project: Path, runner: Runner) -> None:
    env = {"RUNNER_WORKER_LEASE": "2"}
    id = submit(runner, "echo $$ >> pids; [ $RUNNER_EPOCH -gt 1 ] || sleep 300", timeout=400)
    with runner.start("work", "--loop", env=env) as stopped:
        wait_for(lambda: (project / "pids").exists() and (project / "pids").read_text().strip())
        stopped.send_signal(signal.SIGSTOP)
        child = (project / "pids").read_text().split()[0]
        wait_for(lambda: not Path(f"/proc/{child}").exists(), 3)
        with runner.start("work", "--loop", env=env) as other:
            wait_for(lambda: show(runner, id)["status"] == "done", 30)
            stopped.send_signal(signal.SIGCONT)
            time.sleep(1.0)
            for worker in (other, stopped):
                worker.send_signal(signal.SIGINT)
                worker.communicate(timeout=30)
    task = show(runner, id)
    assert (task["status"], task["interruptions"]) == ("done", 1)


def test_plugins_hear_of_what_the_worker_committed(project: Path, runner: Runner) -> None:
    (project / "plugins").mkdir()
    (project / "plugins" / "ear.py").write_text(
        "from runner import hookimpl\n\n\n@hookimpl\ndef on_event(event):\n"
        "    with open('heard', 'a') as file:\n        print(event.kind, event.task, file=file)\n"
        "    raise RuntimeError('deaf')\n"
    )
    id = submit(runner, "true")
    ended = runner.ok("work", "--drain")
    assert (project / "heard").read_text() == f"task.claimed {id}\nattempt.started {id}\ntask.settled {id}\n"
    assert "on_event: RuntimeError: deaf" in ended.stderr


def test_old_tasks_go_when_the_configuration_says_so(project: Path, runner: Runner) -> None:
    (project / "runner.yaml").write_text("retention: {count: 2}\n")
    for n in range(5):
        submit(runner, f"echo {n}")
    runner.ok("work", "--drain")
    submit(runner, "true")
    runner.ok("work", "--drain")
    assert len(runner.ok("queue", "--all", "--format", "json").items) == 3


def test_what_a_handler_prints_is_in_its_log_and_not_in_the_data(project: Path, runner: Runner) -> None:
    (project / "handlers").mkdir()
    (project / "handlers" / "chatty.py").write_text(
        "def run(payload, context):\n    print('a word')\n    return 'said'\n"
    )
    runner.ok("submit", "--type", "chatty", "--payload", "{}")
    ended = runner.ok("work", "--drain", "--format", "json")
    assert ended.json["counts"] == {"done": 1}
    [task] = runner.ok("queue", "--all", "--format", "json").items
    assert "a word" in (Path(task["result"]["folder"]) / "log.txt").read_text()


def test_a_drain_says_what_it_leaves(project: Path, runner: Runner) -> None:
    submit(runner, "true", "--machine", "elsewhere")
    ended = runner.ok("work", "--drain", "--format", "json")
    assert (ended.json["counts"], ended.json["waiting"]) == ({}, 1)
    assert "1 task still waits" in runner.ok("work", "--drain").stderr


def test_a_drain_waits_for_what_a_killed_workers_keeper_still_ends(project: Path, runner: Runner) -> None:
    id = submit(
        runner, "trap '' TERM; echo $$ >> pids; [ $RUNNER_EPOCH -gt 1 ] || while :; do sleep 1; done", timeout=400
    )
    with runner.start("work", "--loop") as worker:
        wait_for(lambda: (project / "pids").exists() and (project / "pids").read_text().strip())
        worker.kill()
        worker.communicate(timeout=30)
    runner.ok("work", "--drain")
    assert show(runner, id)["status"] == "done"


def test_a_project_that_was_moved_goes_on_and_a_missing_folder_asks_a_person(project: Path, runner: Runner) -> None:
    (project / "sub").mkdir()
    here = submit(runner, "touch made")
    below = submit(runner, "touch made", cwd=str(project / "sub"))
    moved = project.with_name("moved")
    project.rename(moved)
    runner.ok("work", "--drain", cwd=moved)
    assert (moved / "made").exists()
    assert (moved / "sub" / "made").exists()
    gone = runner.ok(
        "submit",
        "--type",
        "run_script",
        "--payload",
        script("true", cwd=str(moved / "sub")),
        "--format",
        "json",
        cwd=moved,
    ).json["id"]
    (moved / "sub" / "made").unlink()
    (moved / "sub").rmdir()
    assert runner("work", "--drain", cwd=moved).code == 3
    task = runner.ok("show", gone, "--format", "json", cwd=moved).json
    assert (task["status"], task["attempt"]) == ("needs_human", 0)
    assert "is not on this machine" in task["question"]
    (moved / "sub").mkdir()
    runner.ok("resolve", gone, "pending", cwd=moved)
    runner.ok("work", "--drain", cwd=moved)
    states = {t["id"]: t["status"] for t in runner.ok("queue", "--all", "--format", "json", cwd=moved).items}
    assert states == {here: "done", below: "done", gone: "done"}


LOOP = "def run(payload, context):\n    open('looping', 'w').close()\n    while True:\n        pass\n"


def test_a_handler_that_loops_past_its_time_is_interrupted(project: Path, runner: Runner) -> None:
    (project / "handlers").mkdir()
    (project / "handlers" / "loop.py").write_text(LOOP)
    id = runner.ok(
        "submit", "--type", "loop", "--payload", "{}", "--attempts", "1", "--timeout", "1", "--format", "json"
    ).json["id"]
    assert runner("work", "--drain").code == 3
    assert show(runner, id)["outcome"] == "timeout"


def test_a_handler_that_loops_is_ended_by_the_second_interrupt(project: Path, runner: Runner) -> None:
    (project / "handlers").mkdir()
    (project / "handlers" / "loop.py").write_text(LOOP)
    id = runner.ok("submit", "--type", "loop", "--payload", "{}", "--format", "json").json["id"]
    with runner.start("work", "--loop") as worker:
        wait_for((project / "looping").exists)
        worker.send_signal(signal.SIGINT)
        time.sleep(0.5)
        worker.send_signal(signal.SIGINT)
        worker.communicate(timeout=60)
    assert worker.returncode == 130
    assert show(runner, id)["status"] == "pending"


def test_a_worker_whose_store_is_away_still_ends_at_the_second_signal(project: Path, runner: Runner) -> None:
    submit(runner, "touch started; sleep 2")
    from runner.project import find_project
    from runner_plugins.sql.turnstile import Turnstile

    state = find_project(project).state
    with runner.start("work", "--loop", env={"RUNNER_SQLITE_TIMEOUT": "0.5"}) as worker:
        wait_for((project / "started").exists)
        lock = Turnstile(state / "store.db")
        lock.acquire()
        time.sleep(3)
        worker.send_signal(signal.SIGINT)
        time.sleep(0.5)
        worker.send_signal(signal.SIGINT)
        worker.communicate(timeout=60)
        lock.release()
        lock.close()
    assert worker.returncode in (4, 130)
