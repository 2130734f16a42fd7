"""`notify:` tells a command how tasks end, and never harms the work."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.conftest import Runner


def configure(project: Path, command: str, **more: object) -> None:
    section = {"command": command, **more}
    (project / "runner.yaml").write_text(json.dumps({"notify": section}))


def script(runner: Runner, text: str) -> str:
    id: str = runner.ok(
        "submit", "--type", "run_script", "--payload", json.dumps({"script": text}), "--format", "json"
    ).json["id"]
    return id


def test_the_command_gets_the_event_and_the_names(project: Path, runner: Runner) -> None:
    configure(
        project,
        "cat >> told.jsonl; echo >> told.jsonl;"
        ' echo "$RUNNER_TASK_ID $RUNNER_STATUS $RUNNER_OUTCOME $RUNNER_SUMMARY" >> names',
    )
    good, bad = script(runner, "true"), script(runner, "exit 3")
    assert runner("work", "--drain").code == 1
    [line] = (project / "told.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["task"], told["kind"], told["data"]["status"]) == (bad, "task.settled", "failed")
    assert (project / "names").read_text() == f"{bad} failed check_failed the exit code is 3, not 0\n"
    assert good not in line


def test_which_ends_are_told_is_chosen(project: Path, runner: Runner) -> None:
    configure(project, 'echo "$RUNNER_STATUS" >> names', on=["done", "cancelled"])
    script(runner, "true")
    script(runner, "exit 3")
    runner("work", "--drain")
    assert (project / "names").read_text() == "done\n"


def test_a_command_that_fails_is_reported_and_changes_nothing(project: Path, runner: Runner) -> None:
    configure(project, "echo no mail today; exit 4", on=["done"])
    script(runner, "true")
    ended = runner.ok("work", "--drain")
    assert "notify: the command exited with 4: no mail today" in ended.stderr


def test_a_command_that_hangs_is_ended_with_what_it_started(project: Path, runner: Runner) -> None:
    configure(project, "sleep 300 & sleep 300", on=["done"], timeout=1)
    script(runner, "true")
    began = time.monotonic()
    ended = runner.ok("work", "--drain")
    assert "did not end within 1 s" in ended.stderr
    assert time.monotonic() - began < 30


def test_text_of_a_task_is_never_a_part_of_the_command(project: Path, runner: Runner) -> None:
    configure(project, 'printf %s "$RUNNER_SUMMARY" > names')
    script(runner, "echo '$(touch pwned); `touch pwned`' >&2; exit 1")
    runner("work", "--drain")
    assert "$(touch pwned)" in (project / "names").read_text()
    assert not (project / "pwned").exists()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"comand": "x"}, "unknown key 'comand' (did you mean 'command'?)"),
        ({"command": "x", "on": ["finished"]}, "can't be 'finished'"),
    ],
)
def test_a_wrong_section_is_one_sentence(project: Path, runner: Runner, section: dict[str, object], said: str) -> None:
    (project / "runner.yaml").write_text(json.dumps({"notify": section}))
    ended = runner("queue")
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
