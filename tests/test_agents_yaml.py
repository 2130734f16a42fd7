"""Agents as data: five lines of runner.yaml are an agent, one line changes one, a mistake is told with its place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runner.testing.agent import FakeCli, fake_cli
from tests.conftest import Runner

FIVE_LINES = """\
agents:
  robo:
    program: robo-cli
    argv: [--task, "{prompt}", "--dir={cwd}"]
    errors: {"quota exceeded": rate_limited, "please log in": auth}
"""


@pytest.fixture
def bin(tmp_path: Path, runner: Runner) -> Path:
    """A folder at the front of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    runner.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return folder


def write(project: Path, text: str) -> None:
    (project / "runner.yaml").write_text(text)


def ask(runner: Runner, agent: str, *options: str) -> str:
    runner("run", agent, *options, "--format", "json", "say hello")
    [task] = runner.ok("queue", "--all", "--format", "json").items
    return str(task["id"])


def robo(bin: Path, text: str = "hello\n", exit_code: int = 0) -> FakeCli:
    return fake_cli(bin, "robo-cli", text.encode(), exit_code=exit_code)


def test_five_lines_are_an_agent(project: Path, runner: Runner, bin: Path) -> None:
    cli = robo(bin)
    write(project, FIVE_LINES)
    assert runner.ok("run", "robo", "say", "hello").stdout == "hello\n"
    [call] = cli.calls()
    assert call["argv"] == ["--task", "say hello", f"--dir={project}"]
    assert call["stdin"] == ""


def test_its_work_is_checked_and_kept_like_any_agent_s(project: Path, runner: Runner, bin: Path) -> None:
    (bin / "robo-cli").write_text("#!/bin/sh\necho made >made.txt\necho done\n")
    (bin / "robo-cli").chmod(0o755)
    write(project, FIVE_LINES)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    id = runner.ok("submit", "--agent", "robo", "--check", "file_exists: made.txt", "go", "--format", "json").json["id"]
    runner.ok("work", "--drain")
    task = runner.ok("show", id, "--format", "json").json
    assert (task["status"], task["outcome"], task["result"]["agent"]) == ("done", "ok", "robo")


@pytest.mark.parametrize(
    ("said", "code", "outcome"),
    [("quota exceeded", 0, "rate_limited"), ("please log in", 1, "auth"), ("boom", 4, "crashed"), ("yes", 0, "ok")],
)
def test_its_known_error_texts_are_its_outcomes(
    project: Path, runner: Runner, bin: Path, said: str, code: int, outcome: str
) -> None:
    robo(bin, said, code)
    write(project, FIVE_LINES)
    id = ask(runner, "robo")
    assert runner.ok("show", id, "--format", "json").json["outcome"] == outcome


def test_an_exit_code_of_its_own_means_what_the_file_says(project: Path, runner: Runner, bin: Path) -> None:
    robo(bin, "", 75)
    write(project, FIVE_LINES + "    exit_codes: {75: rate_limited}\n")
    id = ask(runner, "robo")
    assert runner.ok("show", id, "--format", "json").json["outcome"] == "rate_limited"


def test_one_line_changes_one_field_of_a_built_in_agent(project: Path, runner: Runner, bin: Path) -> None:
    answer = b'{"type": "result", "subtype": "success", "is_error": false, "result": "So it is.", "session_id": "s"}\n'
    cli = fake_cli(bin, "my-claude", answer)
    write(project, "agents: {claude: {program: my-claude, model: opus}}\n")
    assert runner.ok("run", "claude", "is it so?").stdout == "So it is.\n"
    [call] = cli.calls()
    assert call["argv"][:3] == ["-p", "--output-format", "stream-json"]
    assert call["argv"][call["argv"].index("--model") + 1] == "opus"
    assert call["stdin"] == "is it so?"


def test_an_agent_extends_another_under_a_name_of_its_own(project: Path, runner: Runner, bin: Path) -> None:
    cli = fake_cli(bin, "robo-cli", b"hello\n")
    write(project, FIVE_LINES + "  careful: {extends: robo, env: {ROBO_MODE: slow}}\n")
    assert runner.ok("run", "careful", "go").stdout == "hello\n"
    [call] = cli.calls()
    assert call["env"]["ROBO_MODE"] == "slow"


@pytest.mark.parametrize(
    ("line", "says", "hint"),
    [
        ("promt: stdin", "unknown key 'promt'", "did you mean 'prompt'?"),
        ("prompt: pipe", "agents.robo.prompt can't be 'pipe'", "stdin"),
        ("timeout: soon", "agents.robo.timeout", ""),
        ("permission: root", "agents.robo.permission can't be 'root'", "read-only"),
        ("format: josn", "no output format is called 'josn'", "known"),
        ("errors: {boom: explode}", "there is no outcome 'explode'", "known"),
        ("errors: {boom: rate_limit}", "there is no outcome 'rate_limit'", "did you mean 'rate_limited'?"),
        ("errors: {'(': auth}", "is not a regular expression", ""),
        ("exit_codes: {3: zzz}", "there is no outcome 'zzz'", "known"),
        ("exit_codes: {three: auth}", "must be a whole number", ""),
        ('argv: [--task, "{promt}"]', "nothing fills in {promt}", "did you mean 'prompt'?"),
        ('argv: ["--task={promt}"]', "nothing fills in {promt}", "did you mean 'prompt'?"),
        ('resume: ["{prompt}", "{sesion}"]', "nothing fills in {sesion}", "did you mean 'session'?"),
        ('argv: ["{prompt}", "--allow={permissions}"]', "{permissions} stands for several words", "permissions"),
        ('argv: ["{prompt}"]\n    prompt: stdin', "{prompt} in `argv` would be empty", "prompt: argv"),
        ("argv: [--task]\n    prompt: argv", "`argv` has no {prompt}", "put {prompt} where it belongs"),
        ('resume: [--again, "{session}"]\n    prompt: argv', "`resume` has no {prompt}", "put {prompt}"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_what_is_meant(
    project: Path, runner: Runner, line: str, says: str, hint: str
) -> None:
    key = line.partition(":")[0]
    own = "" if key == "argv" else '    argv: ["{prompt}"]\n'
    write(project, f"agents:\n  robo:\n    program: robo-cli\n    {line}\n{own}")
    ended = runner("run", "robo", "go")
    assert ended.code == 2
    assert says in ended.stderr
    assert hint in ended.stderr
    assert "runner.yaml:" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("word", ["awk '{print}'", '{"a": 1}', "{}", "a{promt}b"])
def test_braces_inside_other_text_are_left_alone(project: Path, runner: Runner, bin: Path, word: str) -> None:
    cli = robo(bin)
    text = word.replace("'", "''")
    write(project, f"agents:\n  robo: {{program: robo-cli, argv: ['{text}', '{{prompt}}']}}\n")
    runner.ok("run", "robo", "go")
    assert cli.calls()[0]["argv"] == [word, "go"]


def test_the_editor_s_schema_knows_the_outcomes(folder: Path, runner: Runner) -> None:
    schema = runner.ok("schema", "config").json
    errors = schema["$defs"]["AgentSettings"]["properties"]["errors"]
    assert "rate_limited" in str(errors)
