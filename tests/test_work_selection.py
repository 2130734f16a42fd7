"""Which tasks a drain takes, and the reports it leaves: -k, --lf, --dry-run, --junit, --durations."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from runner.cli.selection import expression
from runner.errors import UsageError
from tests.conftest import Runner


def script(runner: Runner, text: str, *options: str) -> str:
    payload = json.dumps({"script": text})
    id: str = runner.ok("submit", "--type", "run_script", "--payload", payload, *options, "--format", "json").json["id"]
    return id


def status(runner: Runner, id: str) -> str:
    found: str = runner.ok("show", id, "--format", "json").json["status"]
    return found


# The expression


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("login", True),
        ("LOGIN", True),
        ("slow", False),
        ("not slow", True),
        ("login and slow", False),
        ("login or slow", True),
        ("slow or fix and login", True),
        ("(slow or fix) and not login", False),
        ("not (slow or nothing)", True),
        ("not not login", True),
        ("'fix the'", True),
        ("'the fix'", False),
        ('"and"', True),
        ("'not'", False),
    ],
)
def test_an_expression_is_words_with_and_or_not(text: str, taken: bool) -> None:
    assert expression(text)("fix the login and the logout") is taken


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the expression is empty"),
        ("  ", "the expression is empty"),
        ("a b", "'and' or 'or' is expected at column 3, not 'b'"),
        ("a and", "a word is expected at the end"),
        ("and a", "a word is expected at column 1, not 'and'"),
        ("not", "a word is expected at the end"),
        ("(a", "')' is expected at the end"),
        ("(a b)", "'and' or 'or' is expected at column 4, not 'b'"),
        ("a)", "'and' or 'or' is expected at column 2, not ')'"),
        ("()", "a word is expected at column 2, not ')'"),
        ("a or 'b", "a quote at column 6 has no end"),
        ("(" * 5000, "nested too deeply"),
        ("not " * 5000 + "a", "nested too deeply"),
    ],
)
def test_an_expression_that_makes_no_sense_says_where(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        expression(text)
    assert message in str(caught.value)


# What a drain takes


def test_only_tasks_that_match_are_taken(project: Path, runner: Runner) -> None:
    wanted = script(runner, "echo login")
    slow = script(runner, "echo login slowly # slow")
    other = script(runner, "echo logout")
    runner.ok("work", "--drain", "-k", "login and not slow")
    assert status(runner, wanted) == "done"
    assert {status(runner, id) for id in (slow, other)} == {"pending", "blocked"}


def test_many_that_do_not_match_are_passed_over(project: Path, runner: Runner) -> None:
    lines = [{"type": "run_script", "payload": {"script": f"echo other {n}"}} for n in range(1200)]
    (project / "many.jsonl").write_text("\n".join(map(json.dumps, lines)))
    runner.ok("submit", "--from", "many.jsonl")
    wanted = [script(runner, f"echo needle {n}", "--limit-key", "") for n in range(3)]
    runner.ok("work", "--drain", "-k", "needle", "--slots", "2")
    assert [status(runner, id) for id in wanted] == ["done"] * 3
    counts = runner.ok("work", "--dry-run", "--format", "json").items
    assert len(counts) == 1200


def test_a_narrowed_worker_still_takes_only_what_it_can_run(project: Path, runner: Runner) -> None:
    far = script(runner, "echo needle", "--machine", "elsewhere")
    near = script(runner, "echo needle")
    runner.ok("work", "--drain", "-k", "needle")
    assert [status(runner, id) for id in (far, near)] == ["pending", "done"]


def test_a_dependant_that_matches_runs_after_its_parent(project: Path, runner: Runner) -> None:
    first = script(runner, "echo needle 1")
    second = script(runner, "echo needle 2", "--after", first)
    third = script(runner, "echo other", "--after", first)
    runner.ok("work", "--drain", "-k", "needle")
    assert [status(runner, id) for id in (first, second, third)] == ["done", "done", "pending"]


def test_a_wrong_expression_runs_nothing(project: Path, runner: Runner) -> None:
    id = script(runner, "true")
    ended = runner("work", "--drain", "-k", "a and")
    assert ended.code == 2
    assert "Traceback" not in ended.stderr
    assert status(runner, id) == "pending"


# --lf


def test_the_tasks_that_failed_run_again_and_no_others(project: Path, runner: Runner) -> None:
    good = script(runner, "true")
    bad = script(runner, "test -e fixed")
    assert runner("work", "--drain").code == 1
    later = script(runner, "true")
    listed = runner.ok("work", "--lf", "--dry-run", "--format", "json").items
    assert [item["id"] for item in listed] == [bad]
    assert status(runner, bad) == "failed"
    (project / "fixed").touch()
    ended = runner.ok("work", "--lf", "--format", "json")
    assert [item["id"] for item in ended.json["items"]] == [bad]
    assert [status(runner, id) for id in (good, bad, later)] == ["done", "done", "pending"]
    again = runner.ok("work", "--lf")
    assert "no task failed last" in again.stderr
    assert status(runner, later) == "pending"


def test_of_the_tasks_that_failed_only_those_that_match(project: Path, runner: Runner) -> None:
    one, two = script(runner, "false # one"), script(runner, "false # two")
    runner("work", "--drain")
    runner("work", "--lf", "-k", "two")
    attempts = [runner.ok("show", id, "--format", "json").json["attempt"] for id in (one, two)]
    assert attempts == [1, 2]


def test_a_question_is_no_failure(project: Path, runner: Runner) -> None:
    runner.ok("submit", "--agent", "script", "[[ask: which?]]")
    assert runner("work", "--drain").code == 3
    assert runner.ok("work", "--lf", "--dry-run", "--format", "json").items == []


@pytest.mark.parametrize("option", [["--lf"], ["--junit", "x.xml"], ["--durations", "3"]])
def test_reports_belong_to_work_that_ends(project: Path, runner: Runner, option: list[str]) -> None:
    assert runner("work", "--loop", *option).code == 2


# --junit and --durations


def suite(path: Path) -> Any:
    return ElementTree.parse(path).getroot()[0]


def test_junit_tells_every_task(project: Path, runner: Runner) -> None:
    good = script(runner, "printf 'fine \\033[31m\\001\\n'")
    red = script(runner, "echo out; echo broken >&2; exit 3")
    crashed = script(runner, "kill -9 $$", "--attempts", "1")
    left = script(runner, "true", "--machine", "elsewhere")
    runner("work", "--drain", "--junit", "report.xml")
    found = suite(project / "report.xml")
    assert dict(found.attrib)["tests"] == "4"
    assert (found.attrib["failures"], found.attrib["errors"], found.attrib["skipped"]) == ("1", "1", "1")
    cases = {
        next(p.attrib["value"] for p in case.iter("property") if p.attrib["name"] == "task"): case for case in found
    }
    assert cases[good].find("failure") is None
    assert "fine \ufffd[31m\ufffd" in cases[good].find("system-out").text
    assert cases[red].find("failure").attrib["type"] == "check_failed"
    assert "exit code is 3" in cases[red].find("failure").attrib["message"]
    assert cases[crashed].find("error").attrib["type"] == "crashed"
    assert cases[left].find("skipped") is not None
    assert cases[good].attrib["classname"] == "run_script"
    assert float(cases[red].attrib["time"]) > 0
    assert not list(project.glob(".report.xml*"))


def test_a_task_that_was_tried_again_is_one_testcase(project: Path, runner: Runner) -> None:
    runner.ok("submit", "--agent", "script", "--attempts", "3", "[[crash]]")
    runner("work", "--drain", "--junit", "report.xml")
    assert len(suite(project / "report.xml")) == 1


def test_a_drain_that_is_interrupted_still_writes_its_report(project: Path, runner: Runner) -> None:
    script(runner, "true")
    script(runner, "touch began; sleep 60", "--priority", "-9")
    process = runner.start("work", "--drain", "--junit", "report.xml")
    limit = time.monotonic() + 30
    while not (project / "began").exists() and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    found = suite(project / "report.xml")
    assert (found.attrib["tests"], found.attrib["skipped"]) == ("2", "1")


@pytest.mark.parametrize("name", ["no/such/folder.xml", "."])
def test_a_report_that_can_not_be_written_is_said_before_anything_runs(
    project: Path, runner: Runner, name: str
) -> None:
    id = script(runner, "true")
    ended = runner("work", "--drain", "--junit", name)
    assert ended.code == 2
    assert "--junit" in ended.stderr
    assert status(runner, id) == "pending"


def test_the_slowest_tasks_are_shown(project: Path, runner: Runner) -> None:
    slow = script(runner, "sleep 0.6")
    quick = script(runner, "true")
    ended = runner.ok("work", "--drain", "--durations", "1")
    assert slow in ended.stdout
    assert quick not in ended.stdout
    quiet = script(runner, "true")
    ended = runner.ok("work", "--drain", "--durations", "0", "--format", "json")
    assert [item["id"] for item in ended.json["items"]] == [quiet]


def test_who_waits_behind_a_task_that_is_not_wanted_goes_before_it(project: Path, runner: Runner) -> None:
    """Without a repository the tasks of a folder run one after the other: `-k` must not wait for the first."""
    first = script(runner, "echo other", "--limit-key", "one")
    wanted = [script(runner, f"echo needle {n}", "--limit-key", "one") for n in range(3)]
    assert [status(runner, id) for id in (first, *wanted)] == ["pending"] + ["blocked"] * 3
    ended = runner.ok("work", "--drain", "-k", "needle", "--slots", "3", "--format", "json")
    assert [item["id"] for item in ended.json["items"]] == wanted
    assert status(runner, first) == "pending"
    runner.ok("work", "--drain")
    assert status(runner, first) == "done"


def test_the_same_in_a_work_unit(project: Path, runner: Runner) -> None:
    first, wanted = (script(runner, f"echo {word}", "--work-unit", "u1") for word in ("other", "needle"))
    runner.ok("work", "--drain", "-k", "needle")
    assert [status(runner, id) for id in (first, wanted)] == ["pending", "done"]
    runner.ok("work", "--drain")
    assert status(runner, first) == "done"
