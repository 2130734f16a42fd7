"""`runner submit`, called as a program."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pexpect
import pytest
from played import Played

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Runner

HELLO = '"""Say hello."""\n\n\ndef run(payload, context):\n    return "hi"\n'


@pytest.fixture
def hello(project: Path) -> Path:
    """A project with the type `hello`, which takes any payload."""
    (project / "handlers").mkdir()
    (project / "handlers" / "hello.py").write_text(HELLO)
    return project


@pytest.fixture
def runner(hello: Path, runner: Runner) -> Runner:
    return runner


def test_a_task_is_queued_and_named_in_one_line(runner: Runner) -> None:
    said = runner.ok("submit", "--type", "hello", "--payload", '{"to": "you"}')
    [task] = runner.ok("queue", "--format", "json").items
    assert said.stdout == f"Task {task['id']} queued\n"
    assert (task["type"], task["status"], task["payload"]) == ("hello", "pending", {"to": "you"})


def test_json_is_the_task_itself(runner: Runner, hello: Path) -> None:
    task = runner.ok("submit", "--type", "hello", "--priority", "3", "--key", "k", "--format", "json").json
    assert task["created"] is True
    assert (task["status"], task["priority"], task["key"], task["cwd"]) == ("pending", 3, "k", str(hello))
    assert task["created_at"].endswith("Z")
    for name in (
        "outcome",
        "work_unit",
        "machine",
        "agent",
        "claim",
        "result",
        "question",
        "started_at",
        "finished_at",
    ):
        assert task[name] is None
    assert (task["attempts"], task["interruptions"], task["artifacts"], task["requires"]) == (0, 0, [], [])


def test_a_prompt_is_an_agent_run(runner: Runner) -> None:
    task = runner.ok("submit", "Fix it", "--agent", "script", "--format", "json").json
    assert (task["type"], task["agent"], task["payload"]) == ("agent_run", "script", {"prompt": "Fix it"})
    assert task["requires"] == ["agent:script"]


def test_a_prompt_may_come_from_standard_input(runner: Runner) -> None:
    task = runner.ok("submit", "-", "--agent", "script", "--format", "json", input="Fix\nit\n").json
    assert task["payload"] == {"prompt": "Fix\nit\n"}


def test_a_payload_may_come_from_a_file_or_standard_input(runner: Runner, hello: Path) -> None:
    (hello / "p.json").write_text('{"x": 1}')
    submit = ("submit", "--type", "hello", "--format", "json", "--payload")
    assert runner.ok(*submit, "@p.json").json["payload"] == {"x": 1}
    assert runner.ok(*submit, "@-", input='{"x": 2}').json["payload"] == {"x": 2}


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["--type", "helo"], "did you mean 'hello'?"),
        (["--type", "hello", "--payload", "{x: 1}"], "--payload: not JSON"),
        (["--type", "hello", "--payload", "[1]"], "a JSON object is expected, not a list"),
        (["--type", "hello", "--payload", "@none.json"], "can't read none.json"),
        (["--type", "hello", "--check", "file_exits: a"], "did you mean 'file_exists'?"),
        (["--type", "hello", "--not-before", "soon"], "'soon' is not a time"),
        (["--type", "hello", "--after", "zzz"], "no task 'zzz' to wait for"),
        (["--type", "hello", "--timeout", "0"], "timeout"),
        (["--type", "run_script", "--payload", '{"scrpt": "x"}'], "did you mean 'script'?"),
        (["x", "--agent", "scrpt"], "did you mean 'script'?"),
        ([], "nothing to do is named"),
        (["--from", "none.jsonl"], "can't read none.jsonl"),
        (["x", "--from", "none.jsonl"], "beside it"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(runner: Runner, args: list[str], part: str) -> None:
    ended = runner("submit", *args)
    assert ended.code == 2
    assert ended.stdout == ""
    assert part in ended.stderr
    assert "Traceback" not in ended.stderr
    assert runner.ok("queue", "--format", "json").items == []


def test_an_error_in_json_is_an_object_on_stdout(runner: Runner) -> None:
    ended = runner("submit", "--type", "helo", "--format", "json")
    assert ended.code == 2
    assert ended.error == {"code": "usage", "message": "no task type is called 'helo'", "hint": "did you mean 'hello'?"}


def test_the_same_key_is_the_same_task(runner: Runner) -> None:
    first = runner.ok("submit", "--type", "hello", "--key", "k", "--format", "json").json
    again = runner.ok("submit", "--type", "hello", "--key", "k")
    assert again.stdout == f"Task {first['id']} is there already: pending\n"
    other = runner("submit", "--type", "hello", "--key", "k", "--payload", '{"x": 1}')
    assert other.code == 1
    assert f"key 'k' names task {first['id']}" in other.stderr


def test_a_time_in_the_future_and_a_parent_keep_a_task_back(runner: Runner) -> None:
    first = runner.ok("submit", "--type", "hello", "--not-before", "+1h", "--format", "json").json
    assert first["status"] == "scheduled"
    assert first["not_before"] > first["created_at"]
    second = runner.ok("submit", "--type", "hello", "--after", first["id"][:9])
    assert second.stdout.endswith("queued (blocked)\n")


def test_a_held_task_waits_in_planning_until_it_is_retried(runner: Runner) -> None:
    task = runner.ok("submit", "--type", "hello", "--hold", "--format", "json").json
    assert task["status"] == "planning"
    runner.ok("retry", task["id"])
    assert runner.ok("show", task["id"], "--format", "json").json["status"] == "pending"


def test_a_dry_run_shows_the_task_and_stores_nothing(runner: Runner, hello: Path) -> None:
    (hello / "runner.yaml").write_text("routes:\n  - {match: {type: hello}, machine: mini, reason: it greets best}\n")
    plan = runner.ok("submit", "--type", "hello", "--dry-run", "--format", "json").json
    assert (plan["machine"], plan["route"], plan["policy"]["attempts"]) == ("mini", "it greets best", 3)
    assert "it greets best" in runner.ok("submit", "--type", "hello", "--dry-run").stdout
    assert runner.ok("queue", "--format", "json").items == []


def test_lines_of_a_file_are_tasks_all_or_none(runner: Runner, hello: Path) -> None:
    lines = [
        {"type": "hello", "name": "build", "payload": {"text": "a\u2028b"}},
        {"type": "hello", "name": "ship", "after": ["build"], "priority": 2},
    ]
    good = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (hello / "bad.jsonl").write_text(good + '{"type": "helo"}\n')
    ended = runner("submit", "--from", "bad.jsonl")
    assert ended.code == 2
    assert ended.stderr == "error: bad.jsonl:3: no task type is called 'helo' (did you mean 'hello'?)\n"
    assert runner.ok("queue", "--format", "json").items == []

    said = runner.ok("submit", "--from", "-", input=good).stdout
    build, ship = (line.split()[1] for line in said.splitlines())
    assert said == f"Task {build} queued (build)\nTask {ship} queued (blocked) (ship)\n"
    assert runner.ok("show", ship, "--format", "json").json["after"] == [build]


def test_lines_as_json_are_a_list_with_names(runner: Runner) -> None:
    text = '{"type": "hello", "name": "a"}\n{"type": "hello", "name": "b", "after": "a"}\n'
    items = runner.ok("submit", "--from", "-", "--format", "json", input=text).items
    assert [(item["name"], item["created"], item["status"]) for item in items] == [
        ("a", True, "pending"),
        ("b", True, "blocked"),
    ]
    again = runner.ok("submit", "--from", "-", "--format", "jsonl", input='{"type": "hello"}\n' * 3)
    assert len([json.loads(line)["id"] for line in again.stdout.splitlines()]) == 3


def test_a_file_that_is_not_text_names_the_line(runner: Runner, hello: Path) -> None:
    (hello / "bytes.jsonl").write_bytes(b'{"type": "hello"}\n{"type": "h\xff"}\n')
    ended = runner("submit", "--from", "bytes.jsonl")
    assert (ended.code, ended.stderr) == (2, "error: bytes.jsonl:2: not UTF-8 text\n")


def test_a_child_of_a_task_submits_in_its_name(runner: Runner) -> None:
    task = runner.ok("submit", "--type", "hello", "--format", "json", env={"RUNNER_TASK_ID": "parent1"}).json
    [event] = [
        e for e in runner.ok("why", task["id"], "--format", "json").json["events"] if e["kind"] == "task.submitted"
    ]
    assert event["by"] == "task:parent1"


def test_a_long_file_shows_on_a_terminal_how_far_it_is(runner: Runner, hello: Path) -> None:
    (hello / "many.jsonl").write_text('{"type": "hello", "limit_key": ""}\n' * 600)
    argv = [*runner.argv[1:], "submit", "--from", "many.jsonl"]
    child = pexpect.spawn(runner.argv[0], argv, cwd=str(hello), timeout=30)
    child.expect_exact("100 of 600 tasks checked")
    child.expect_exact("600 of 600 tasks checked")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    quiet = runner.ok("submit", "--from", "many.jsonl")
    assert (len(quiet.stdout.splitlines()), quiet.stderr) == (600, "")


@pytest.mark.soak
def test_ten_thousand_lines_are_quick(runner: Runner) -> None:
    text = "".join(f'{{"type": "hello", "limit_key": "", "payload": {{"n": {n}}}}}\n' for n in range(10_000))
    began = time.monotonic()
    said = runner.ok("submit", "--from", "-", input=text)
    assert len(said.stdout.splitlines()) == 10_000
    assert time.monotonic() - began < 15


def test_a_zero_that_was_given_counts(runner: Runner) -> None:
    ended = runner("submit", "--type", "hello", "--attempts", "0")
    assert (ended.code, ended.stderr) == (2, "error: attempts: 0 is not between 1 and 1000\n")
    task = runner.ok("submit", "--type", "hello", "--repairs", "0", "--format", "json").json
    assert task["policy"]["repairs"] == 0


def test_a_dry_run_is_in_words_and_calls_parents_by_their_names(runner: Runner, hello: Path) -> None:
    lines = [
        {"type": "hello", "name": "build", "payload": {"text": "a b"}, "checks": ["exit_code: 0"]},
        {"type": "hello", "name": "test", "after": "build", "timeout": 90, "artifacts": ["a", "b"]},
    ]
    (hello / "tasks.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = runner.ok("submit", "--from", "tasks.jsonl", "--dry-run").stdout
    assert not set("{}[]'\"") & set(text), text
    said = [line.split(maxsplit=1) for line in text.splitlines() if line.startswith("  ")]
    for pair in (["after", "build"], ["text", "a b"], ["checks", "exit_code: 0"], ["timeout", "1m30s"]):
        assert pair in said
    assert ["artifacts", "a, b"] in said
    items = runner.ok("submit", "--from", "tasks.jsonl", "--dry-run", "--format", "json").items
    assert items[1]["after"] == ["build"]


def test_work_in_a_repository_without_a_commit_is_told_to_happen_in_the_folder(runner: Runner, hello: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=hello, check=True)
    agent = ("submit", "--agent", "script", "[[say: hi]]")
    assert (
        "is in a git repository without a commit: the task will work in the folder itself" in runner.ok(*agent).stderr
    )
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "first"], cwd=hello, check=True)
    assert "without a commit" not in runner.ok(*agent).stderr


def test_a_task_for_an_agent_that_nobody_has_is_queued_with_a_warning(runner: Runner, hello: Path) -> None:
    (hello / "runner.yaml").write_text("agents:\n  cook: {program: no-such-cook}\n")
    warning = "warning: nobody offers agent 'cook' yet: its program `no-such-cook` is not installed here\n"
    assert runner.ok("submit", "--agent", "cook", "Bake").stderr == warning
    assert runner.ok("submit", "--agent", "cook", "--machine", "mini", "Bake").stderr == ""
    played = Played(hello, capabilities=("agent:cook",))
    try:
        assert runner.ok("submit", "--agent", "cook", "Bake").stderr == ""
    finally:
        played.close()


def test_an_agent_that_a_declared_machine_has_is_no_surprise(project: Path, runner: Runner) -> None:
    (project / "runner.yaml").write_text("agents: {far: {program: no-such-program-here}}\n")
    noted = runner.ok("submit", "--agent", "far", "x")
    assert "nobody offers agent 'far' yet" in noted.stderr
    (project / "machines.yaml").write_text("machines: {mini: {os: macos, agents: [far]}}\n")
    assert "nobody offers" not in runner.ok("submit", "--agent", "far", "x").stderr
