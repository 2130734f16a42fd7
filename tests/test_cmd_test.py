"""`runner test`: each way in which an agent can be unfit for work is told apart, with what to do about it."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Runner
from tests.keeping import running, until

if TYPE_CHECKING:
    from tests.conftest import Ended

NAP = f"88.{os.getpid()}"
"""Seconds of sleep that no other process of the tests asks for."""

CHECKS = ["installed", "version", "logged_in", "answers", "writes", "resumes"]

PROGRAM = r"""#!/bin/sh
if [ "$1" = --version ]; then {version}; exit; fi
prompt=$(cat)
memory="$HOME/memory-$2"
word=$(printf %s "$prompt" | grep -o 'pelican-[0-9a-f]*' | head -1)
case "$prompt" in
  Reply*) echo "$word" >"$memory"; {answer} ;;
  Create*) {write} ;;
  Which*) {resume} ;;
esac
"""
GOOD = {
    "version": 'echo "good 1.2.3 (abc)"',
    "answer": 'echo "$word"',
    "write": 'echo "$word" >runner-test.txt; echo done',
    "resume": 'cat "$memory"',
}
AGENTS: dict[str, dict[str, str]] = {
    "good": {},
    "noversion": {"version": "echo broken node >&2; exit 3"},
    "slowversion": {"version": f"sleep {NAP}1"},
    "loggedout": {"answer": 'echo "error: 401 invalid api key" >&2; exit 1'},
    "hangs": {"answer": f"sleep {NAP}2"},
    "mute": {"answer": "true"},
    "chats": {"answer": 'echo "How can I help?"'},
    "nowrite": {"write": 'echo "I have written the file."'},
    "forgets": {"resume": 'echo "Which word?"'},
    "noresume": {"resume": 'echo "no such session" >&2; exit 1'},
}


@pytest.fixture
def fleet(folder: Path, tmp_path: Path, runner: Runner, isolated: Path) -> Path:
    """A PATH with the agents above, described in the person's own configuration: no project is needed."""
    bin = tmp_path / "bin"
    bin.mkdir()
    agents: dict[str, Any] = {
        "absent": {"program": "absent-cli", "install": "npm install -g absent"},
        "unset": {"program": "good", "env": {"GOOD_KEY": "${NOT_SET_HERE}"}},
        "single": {"program": "good"},
        "reader": {"program": "good", "permission": "read-only"},
    }
    for name, changes in AGENTS.items():
        text = PROGRAM
        for key, value in {**GOOD, **changes}.items():
            text = text.replace("{" + key + "}", value)
        (bin / name).write_text(text)
        (bin / name).chmod(0o755)
        agents[name] = {
            "program": name,
            "argv": ["--session", "{session}"],
            "resume": ["--resume", "{session}"],
            "errors": {"invalid api key": "auth"},
            "install": f"get {name}",
            "login": f"{name} login",
        }
    place = isolated / "config" / "runner"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(json.dumps({"agents": agents}))
    runner.env["PATH"] = f"{bin}{os.pathsep}{os.environ['PATH']}"
    return bin


def states(ended: Ended, agent: str) -> dict[str, str]:
    [item] = [item for item in ended.items if item["agent"] == agent]
    return {row["check"]: row["state"] for row in item["checks"]}


@pytest.mark.parametrize("agent", ["good", "script"])
def test_an_agent_that_works_passes_every_row(fleet: Path, runner: Runner, agent: str) -> None:
    ended = runner.ok("test", agent, "--format", "json")
    assert states(ended, agent) == dict.fromkeys(CHECKS, "ok")
    [item] = ended.items
    assert item["ok"]
    for row in item["checks"][3:]:
        assert (Path(row["folder"]) / "prompt.md").is_file()
        assert (Path(row["folder"]) / "stdout.log").is_file()


@pytest.mark.parametrize(
    ("agent", "failed", "says", "fix"),
    [
        ("absent", "installed", "'absent-cli' is not on the PATH", "npm install -g absent"),
        ("noversion", "version", "exited with 3: broken node", "install it again: get noversion"),
        ("slowversion", "version", "did not end within", "install it again"),
        ("loggedout", "logged_in", "invalid api key", "loggedout login"),
        ("unset", "logged_in", "NOT_SET_HERE", "set NOT_SET_HERE"),
        ("hangs", "answers", "longer than its time limit", "--timeout"),
        ("mute", "answers", "it said nothing", "see what it printed"),
        ("chats", "answers", "How can I help?", "see what it printed"),
        ("nowrite", "writes", "the file is not there", "agents.nowrite.permissions"),
        ("forgets", "resumes", "without its memory", "agents.forgets.resume"),
        ("noresume", "resumes", "no such session", "logs"),
    ],
)
def test_what_is_wrong_is_told_with_its_fix_and_what_follows_is_not_tried(
    fleet: Path, runner: Runner, agent: str, failed: str, says: str, fix: str
) -> None:
    ended = runner("test", agent, "--timeout", "2s", "--format", "json")
    assert ended.code == 1
    [item] = ended.items
    [row] = [row for row in item["checks"] if row["state"] == "failed"]
    assert row["check"] == failed
    assert says in row["text"]
    assert fix in row["fix"]
    assert {row["state"] for row in item["checks"][CHECKS.index(failed) + 1 :]} <= {"skipped"}
    assert not running(NAP)


def test_what_an_agent_has_not_is_no_failure(fleet: Path, runner: Runner) -> None:
    ended = runner.ok("test", "single", "reader", "--format", "json")
    assert states(ended, "single")["resumes"] == "skipped"
    assert states(ended, "reader")["writes"] == "skipped"


def test_the_table_shows_all_and_each_failure_with_its_fix(fleet: Path, runner: Runner) -> None:
    ended = runner("test", "good", "loggedout")
    assert ended.code == 1
    head, good, bad, *rest = ended.stdout.splitlines()
    assert head.split() == ["AGENT", "INSTALLED", "VERSION", "LOGGED", "IN", "ANSWERS", "WRITES", "RESUMES"]
    assert good.split() == ["good", "ok", "1.2.3", "ok", "ok", "ok", "ok"]
    assert bad.split() == ["loggedout", "ok", "1.2.3", "FAILED", "-", "-", "-"]
    assert "  fix: loggedout login" in rest
    assert "loggedout: logged in: failed" in ended.stderr


def test_quick_starts_no_agent(fleet: Path, runner: Runner, isolated: Path) -> None:
    ended = runner.ok("test", "--quick", "loggedout", "--format", "json")
    assert states(ended, "loggedout") == {"installed": "ok", "version": "ok"}
    assert not list(isolated.glob("memory-*"))


def test_without_names_all_that_are_installed_are_tested_and_the_others_named(fleet: Path, runner: Runner) -> None:
    for name in AGENTS:
        if name != "good":
            (fleet / name).unlink()
    ended = runner("test", "--quick", "--format", "json")
    assert ended.code == 0
    by_name = {item["agent"]: item for item in ended.items}
    assert by_name["good"]["tested"]
    assert by_name["script"]["tested"]
    assert not by_name["absent"]["tested"]
    assert not by_name["hangs"]["tested"]
    assert "absent" in runner("test", "--quick").stderr


def test_an_unknown_name_is_refused_with_a_suggestion(fleet: Path, runner: Runner) -> None:
    ended = runner("test", "goood")
    assert ended.code == 2
    assert "did you mean 'good'?" in ended.stderr


def test_agents_are_tested_side_by_side(fleet: Path, runner: Runner) -> None:
    began = time.monotonic()
    runner("test", "hangs", "slowversion", "unset", "--timeout", "4s")
    assert time.monotonic() - began < 7.5


def test_ctrl_c_leaves_no_process(fleet: Path, runner: Runner) -> None:
    with runner.start("test", "hangs", "good") as process:
        assert until(lambda: running(f"{NAP}2"))
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in talk
    assert not running(f"{NAP}2")
