"""`runner queue` and `runner status`, called as a program."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from played import Played, add

from runner.cli.output import _fit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner


@pytest.fixture
def played(project: Path) -> Iterator[Played]:
    played = Played(project)
    yield played
    played.close()


def test_an_empty_queue_says_so_and_is_an_empty_list(project: Path, runner: Runner) -> None:
    said = runner.ok("queue")
    assert (said.stdout, said.stderr) == ("", "Nothing is waiting or running.\n")
    assert runner.ok("queue", "--format", "json").json == {"items": []}


def test_unfinished_tasks_are_listed_newest_first(project: Path, runner: Runner, played: Played) -> None:
    done = add(project, priority=9)[0]
    assert played.run() == done
    first, second = add(project, count=2)
    assert [item["id"] for item in runner.ok("queue", "--format", "json").items] == [second, first]
    assert [item["id"] for item in runner.ok("queue", "--all", "--format", "json").items] == [second, first, done]
    lines = runner.ok("queue").stdout.splitlines()
    assert lines[0].split() == ["ID", "STATUS", "TYPE", "MACHINE", "AGENT", "PRI", "AGE", "TASK", "/", "NOTES"]
    assert [line.split()[0] for line in lines[1:]] == [second, first]


def test_a_status_may_be_given_by_any_of_its_names_and_several_at_once(
    project: Path, runner: Runner, played: Played
) -> None:
    add(project, count=3)
    done, human = played.run(), played.run("needs_human", question="Which one?")

    def ids(*args: str) -> set[str]:
        return {item["id"] for item in runner.ok("queue", "--format", "json", *args).items}

    assert ids("--status", "done") == ids("--status", "completed") == {done}
    assert (
        ids("--status", "blocked_on_human,done") == ids("--status", "needs_human", "--status", "done") == {done, human}
    )
    assert len(ids("--status=todo")) == 1
    assert ids("--all", "--status", "done") == {done}


def test_an_unknown_status_is_refused_with_the_nearest(project: Path, runner: Runner) -> None:
    ended = runner("queue", "--status", "pendng")
    assert (ended.code, ended.stderr) == (2, "error: 'pendng' is not a status (did you mean 'pending'?)\n")


def test_filters_narrow_the_list(project: Path, runner: Runner) -> None:
    add(project)
    [other] = add(project, type="bake", agent="cook", machine="mini", unit="wu-1", payload={"script": "Make A CAKE"})
    for args in (
        ("--type", "bake"),
        ("--agent", "cook"),
        ("--machine", "mini"),
        ("--work-unit", "wu-1"),
        ("-k", "cake make"),
    ):
        assert [item["id"] for item in runner.ok("queue", "--format", "json", *args).items] == [other], args
    assert runner.ok("queue", "-k", "cake hello", "--format", "json").items == []


def test_a_targeted_task_shows_its_machine_with_an_arrow_until_it_is_claimed(
    project: Path, runner: Runner, played: Played
) -> None:
    add(project, machine="box")
    assert "→box" in runner.ok("queue").stdout
    [claim] = played.claim()
    text = runner.ok("queue").stdout
    assert "→box" not in text
    assert "box" in text
    [item] = runner.ok("queue", "--format", "json").items
    assert item["claim"]["worker"] == "played-1"
    assert item["claim"]["epoch"] == claim.epoch == 1
    assert item["claim"]["lease_until"] > item["created_at"]


def test_a_task_that_waits_for_another_says_for_what(project: Path, runner: Runner) -> None:
    for key in ("oven", "cwd:/srv/app"):
        add(project, count=2, limit_key=key)
    [folder, key] = [line for line in runner.ok("queue").stdout.splitlines() if "blocked" in line]
    assert "[waits: its folder]" in folder
    assert "[waits: its limit key]" in key


def test_a_limit_is_kept(project: Path, runner: Runner) -> None:
    ids = add(project, count=5)
    assert [item["id"] for item in runner.ok("queue", "--limit", "2", "--format", "json").items] == ids[:-3:-1]
    assert runner("queue", "--limit", "0").code == 2


def test_a_long_list_is_whole_in_a_pipe_and_a_page_on_a_terminal(project: Path, runner: Runner) -> None:
    ids = add(project, count=620)
    assert [line.split()[0] for line in runner.ok("queue").stdout.splitlines()[1:]] == ids[::-1]
    lines = runner.ok("queue", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[::-1]
    shown = on_a_terminal(runner, 70, "queue")
    rows = [line for line in shown.splitlines() if line[:12] in ids]
    assert [row[:12] for row in rows] == ids[:-51:-1]
    assert max(map(len, shown.splitlines())) <= 70
    assert "--limit" in shown


def on_a_terminal(runner: Runner, columns: int, *args: str) -> str:
    """What a terminal of so many columns shows of a call."""
    mine, its = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"}
    with subprocess.Popen([*runner.argv, *args], cwd=runner.cwd, env=env, stdout=its, stderr=its) as process:
        os.close(its)
        data = b""
        while True:
            try:
                part = os.read(mine, 65536)
            except OSError:
                break
            if not part:
                break
            data += part
        assert process.wait(30) == 0
    os.close(mine)
    return data.decode().replace("\r\n", "\n")


def test_a_reader_that_had_enough_is_no_error(project: Path, runner: Runner) -> None:
    add(project, count=3000, payload={"prompt": "x" * 100})
    for form in ("text", "json", "jsonl"):
        command = f"{' '.join(runner.argv)} queue --format {form} | head -n 2"
        done = subprocess.run(["sh", "-c", command], cwd=project, capture_output=True, text=True, check=False)
        assert len(done.stdout.splitlines()) == 2
        assert done.stderr == "", form


def test_a_payload_can_not_drive_the_terminal(project: Path, runner: Runner) -> None:
    [id] = add(project, payload={"prompt": "clear\x1b[2Jall\x07"})
    for args in (("queue",), ("show", id), ("why", id), ("status", id)):
        text = runner.ok(*args).stdout
        assert "\x1b" not in text, args
        assert "\x07" not in text, args


def test_tasks_of_another_project_in_the_same_store_are_not_shown(project: Path, runner: Runner) -> None:
    add(project)
    assert len(runner.ok("queue", "--format", "json").items) == 1
    assert runner.ok("queue", "--format", "json", "--project", "other").items == []


def test_status_counts_tasks_and_workers_and_lists_what_runs(project: Path, runner: Runner, played: Played) -> None:
    ids = add(project, count=4)
    played.run("needs_human", question="Which?")
    played.run()
    [claim] = played.claim()
    played.start(claim)
    value = runner.ok("status", "--format", "json").json
    assert value["counts"] == {"pending": 1, "in_progress": 1, "needs_human": 1, "done": 1}
    assert (value["workers_online"], value["workers_total"]) == (1, 1)
    assert value["workers"][0]["machine"] == "box"
    assert [task["id"] for task in value["active"]] == [claim.key]
    assert value["store"]["ok"] is True
    text = runner.ok("status").stdout
    assert "1/1 online" in text
    assert claim.key in text
    assert "runner review" in text
    assert ids[3] not in text


def test_a_worker_that_was_killed_is_not_online(project: Path, runner: Runner) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        played = Played(project, pid=process.pid)
        try:
            assert runner.ok("status", "--format", "json").json["workers_online"] == 1
            process.kill()
            process.wait()
            assert runner.ok("status", "--format", "json").json["workers_online"] == 0
        finally:
            played.close()


def test_status_tells_how_long_a_task_is_held_not_how_old_it_is(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    time.sleep(1.2)
    before = time.time()
    [claim] = played.claim()
    held = on_a_terminal(runner, 200, "status").splitlines()[-1].split()
    assert held[:3] == [id, "claimed", "box"]
    assert float(held[3].removesuffix("s")) < time.time() - before + 0.6
    assert "preparing it, for " in runner.ok("status", id).stdout
    played.start(claim)
    running = runner.ok("status").stdout.splitlines()[-1].split()
    assert running[:2] == [id, "in_progress"]


def test_status_lists_parked_accounts_and_how_to_go_on(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project, account="kitchen")
    assert runner.ok("status", "--format", "json").json["parked"] == []
    played.run("auth", retry_at=4102444800.0)
    [account] = runner.ok("status", "--format", "json").json["parked"]
    assert account == {
        "account": "kitchen",
        "until": "2100-01-01T00:00:00.000Z",
        "reason": "auth",
        "command": f"runner retry {id}",
    }
    text = runner.ok("status").stdout
    assert "parked   account 'kitchen' until 2100-01-01" in text
    assert f"runner retry {id}   # after logging in" in text
    runner.ok("retry", id)
    assert "parked" not in runner.ok("status").stdout


def test_a_narrow_terminal_cuts_no_id(project: Path, runner: Runner) -> None:
    [id] = add(project, payload={"prompt": "word " * 40}, agent="a-long-agent", machine="a-long-machine")
    shown = on_a_terminal(runner, 60, "queue")
    assert id in shown
    assert max(map(len, shown.splitlines())) <= 60


def test_digests_give_way_before_names() -> None:
    columns = ("REF", "NAME", "TYPE", "SIZE", "TASK", "AGE", "SHA256")
    assert _fit(columns, [12, 20, 10, 8, 12, 3, 64], 74) == [12, 20, 10, 8, 12, 3, 9]
    assert _fit(columns, [12, 20, 10, 8, 12, 3, 64], 68) == [12, 15, 10, 8, 12, 3, 8]


def test_status_hides_the_stores_password(project: Path, runner: Runner) -> None:
    ended = runner("status", "--store", "postgresql://me:sesame@127.0.0.1:9/queue")
    assert ended.code == 4
    assert "sesame" not in ended.stdout + ended.stderr


def test_status_of_one_task_is_its_json(project: Path, runner: Runner) -> None:
    [id] = add(project)
    assert runner.ok("status", id, "--format", "json").json["status"] == "pending"
    assert id in runner.ok("status", id[:8]).stdout
    assert runner("status", "zzz").code == 2


@pytest.mark.parametrize("command", ["queue", "show", "status"])
def test_the_commands_of_every_moment_import_nothing_heavy(project: Path, runner: Runner, command: str) -> None:
    [id] = add(project)
    script = (
        "import sys\n"
        "from runner.cli.main import run\n"
        f"code = run([{command!r}, *{[id] if command == 'show' else []!r}, '--format', 'json'])\n"
        "heavy = 'pydantic sqlite_utils yaml rich subprocess asyncio psycopg'.split()\n"
        "sys.stderr.write(' '.join(name for name in heavy if name in sys.modules))\n"
        "sys.exit(code)\n"
    )
    runner.ok("queue")  # the configuration is cached by now
    done = subprocess.run([runner.argv[0], "-c", script], cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
