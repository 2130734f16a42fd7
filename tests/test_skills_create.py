"""`runner skills create`: a type that works at once, registered without touching anything else, or nothing at all."""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import Runner
from tests.terminal import Terminal

FLAGS = (
    "--description=Summarise a pull request",
    "--category=backend",
    "--check=git --version",
    "--install-macos=brew install git",
    "--install-linux=sudo apt-get install -y git",
    "--task-type=summarise_pr",
)

BEFORE = """\
# Skills of our team.
skills:
    zed:   # keep me
        check: "true"      # always there
        install: {linux: 'echo  hi'}
        # the last word on zed

# the end
"""


def files(folder: Path) -> dict[str, str]:
    """Every file but the runner's own, with its text."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".runner" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(found)}


def test_the_type_is_submitted_and_run_without_touching_another_file(runner: Runner, project: Path) -> None:
    made = runner.ok("skills", "create", "summarise-pr", *FLAGS, "--format", "json").json
    assert made["task_type"] == "summarise_pr"
    before = files(project)
    assert set(before) == {"handlers/summarise_pr.py", "tests/test_handlers_summarise_pr.py", "skills.yaml"}
    task = runner.ok("submit", "--type", "summarise_pr", "--payload", '{"message": "hi"}', "--format", "json").json
    plain = runner.ok("submit", "--type", "summarise_pr", "--format", "json").json
    runner.ok("work", "--drain")
    for id, output in ((task["id"], "hi"), (plain["id"], "hello")):
        ended = runner.ok("show", id, "--format", "json").json
        assert (ended["status"], ended["result"]["output"]) == ("done", output)
    assert files(project) == before


def test_its_test_passes_with_plain_pytest_and_can_fail(runner: Runner, project: Path) -> None:
    runner.ok("skills", "create", "summarise-pr", *FLAGS)

    def pytest_says() -> int:
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
        return subprocess.run(argv, cwd=project, capture_output=True, check=False).returncode

    assert pytest_says() == 0
    handler = project / "handlers" / "summarise_pr.py"
    handler.write_text(handler.read_text().replace('echo "$1"', "echo no"))
    assert pytest_says() == 1


def test_skills_yaml_differs_only_by_the_new_entry(runner: Runner, project: Path) -> None:
    path = project / "skills.yaml"
    path.write_text(BEFORE)
    path.chmod(0o640)
    runner.ok("skills", "create", "summarise-pr", *FLAGS)
    after = path.read_text()
    changes = [line for line in difflib.ndiff(BEFORE.splitlines(), after.splitlines()) if line[0] != " "]
    assert all(line.startswith("+ ") for line in changes)
    assert list(yaml.safe_load(after)["skills"]) == ["zed", "summarise-pr"]
    assert yaml.safe_load(after)["skills"]["summarise-pr"] == {
        "description": "Summarise a pull request",
        "category": "backend",
        "check": "git --version",
        "install": {"macos": "brew install git", "linux": "sudo apt-get install -y git"},
        "task_types": ["summarise_pr"],
        "handler": "handlers/summarise_pr.py",
    }
    assert path.stat().st_mode & 0o777 == 0o640
    [item] = [one for one in runner.ok("skills", "list", "--format", "json").items if one["name"] == "summarise-pr"]
    assert (item["state"], item["category"]) == ("installed", "backend")


def test_on_a_terminal_it_asks_what_no_flag_says(runner: Runner, project: Path) -> None:
    with Terminal([*runner.argv, "skills", "create", "summarise-pr", "--check=git --version"], project) as terminal:
        for question, answer in (
            ("Description:", "Summarise it"),
            ("Category [custom]:", "mobil"),
            ("Category [custom]:", ""),
            ("Install (macos):", ""),
            ("Install (linux):", "sudo apt-get install -y git"),
            ("Task type [summarise_pr]:", ""),
        ):
            terminal.until(
                lambda question=question: terminal.lines[-1:] != [] and terminal.lines[-1].endswith(question)
            )
            terminal.type(f"{answer}\n")
        assert terminal.wait() == 0
        assert "no category is called 'mobil' (did you mean 'mobile'?)" in terminal.text
        assert "✓ Created handler: handlers/summarise_pr.py" in terminal.text
        assert "Add to machines.yaml: runner skills add MACHINE summarise_pr" in terminal.text
    entry = yaml.safe_load((project / "skills.yaml").read_text())["skills"]["summarise-pr"]
    assert entry == {
        "description": "Summarise it",
        "category": "custom",
        "check": "git --version",
        "install": {"linux": "sudo apt-get install -y git"},
        "task_types": ["summarise_pr"],
        "handler": "handlers/summarise_pr.py",
    }


def test_ctrl_c_at_a_question_leaves_nothing(runner: Runner, project: Path) -> None:
    with Terminal([*runner.argv, "skills", "create", "deploy"], project) as terminal:
        terminal.until("Description:")
        terminal.type("x\n")
        terminal.until("Category")
        terminal.type("\x03")
        assert terminal.wait() == 130
    assert files(project) == {}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("create", "git"), "error: there is a skill 'git' already"),
        (("create", "mine", "--task-type=run_script"), "error: there is a task type 'run_script' already"),
        (("create", "run-script"), "error: there is a task type 'run_script' already"),
        (("create", "../x"), "error: '../x' can't be a skill's name"),
        (("create", "x", "--task-type=../x"), "error: '../x' can't be a task type"),
        (("create", "x", "--category=mobil"), "error: no category is called 'mobil' (did you mean 'mobile'?)"),
        (("create", "x", "--description=a\nb"), "error: the description of 'x' has a line break"),
        (("create",), "error: missing argument NAME"),
    ],
)
def test_what_can_not_be_made_is_a_sentence_and_leaves_nothing(
    runner: Runner, project: Path, words: tuple[str, ...], sentence: str
) -> None:
    ended = runner("skills", *words)
    assert ended.code == 2
    assert ended.stderr.splitlines()[0].lower().startswith(sentence.lower())
    assert files(project) == {}


@pytest.mark.parametrize("taken", ["handlers/deploy.py", "tests/test_handlers_deploy.py"])
def test_it_overwrites_nothing(runner: Runner, project: Path, taken: str) -> None:
    (project / taken).parent.mkdir()
    (project / taken).write_text("# mine\n")
    ended = runner("skills", "create", "deploy")
    assert (ended.code, ended.stderr.splitlines()[0]) == (2, f"error: {taken} is there already")
    assert files(project) == {taken: "# mine\n"}


def test_the_same_name_again_is_refused_and_changes_nothing(runner: Runner, project: Path) -> None:
    runner.ok("skills", "create", "deploy")
    before = files(project)
    ended = runner("skills", "create", "deploy", "--task-type", "other")
    assert (ended.code, ended.stderr.splitlines()[0]) == (
        2,
        "error: there is a skill 'deploy' already (skills.yaml:3)",
    )
    assert files(project) == before


@pytest.mark.parametrize(
    "text",
    ["skills: [a]\n", "skills:\n  a: {chek: x}\n", "skills:\n\t- x\n", "base: &b {a: {check: x}}\nskills: *b\n"],
)
def test_a_file_that_can_not_be_added_to_leaves_nothing_half_done(runner: Runner, project: Path, text: str) -> None:
    (project / "skills.yaml").write_text(text)
    ended = runner("skills", "create", "deploy")
    assert ended.code == 2
    assert ended.stderr.startswith("error: skills.yaml:")
    assert files(project) == {"skills.yaml": text}


def test_a_folder_that_can_not_be_written_leaves_nothing_half_done(runner: Runner, project: Path) -> None:
    (project / "tests").write_text("a file")
    ended = runner("skills", "create", "deploy")
    assert (ended.code, files(project)) == (2, {"tests": "a file"})
    assert "can't write tests/test_handlers_deploy.py" in ended.stderr


def test_many_at_once_lose_no_entry(runner: Runner, project: Path) -> None:
    (project / "skills.yaml").write_text(BEFORE)
    names = [f"job-{n}" for n in range(6)]
    started = [runner.start("skills", "create", name) for name in names]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    text = (project / "skills.yaml").read_text()
    assert sorted(yaml.safe_load(text)["skills"]) == [*names, "zed"]
    assert "# keep me" in text
    assert len(list((project / "handlers").iterdir())) == len(names)


def test_of_two_that_make_the_same_one_succeeds(runner: Runner, project: Path) -> None:
    started = [runner.start("skills", "create", "deploy", "--description", f"number {n}") for n in range(3)]
    codes = sorted(process.wait(60) for process in started)
    for process in started:
        process.communicate()
    assert codes == [0, 2, 2]
    [description] = [
        one["description"] for one in yaml.safe_load((project / "skills.yaml").read_text())["skills"].values()
    ]
    assert description in (project / "handlers" / "deploy.py").read_text()
