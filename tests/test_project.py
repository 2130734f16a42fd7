"""What a project is, how it is found, and what `runner init` makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.errors import ConfigError, UsageError
from runner.project import create_project, find_project, look_for_project

if TYPE_CHECKING:
    from conftest import Runner


def test_init_makes_the_pointer_a_commented_runner_yaml_and_the_state_folder(runner: Runner, folder: Path) -> None:
    made = runner.ok("init", "--yes", "--format", "json", env={"PATH": "/nonexistent"}).json

    pointer = json.loads((folder / ".runner" / "project.json").read_text())
    assert pointer == {"id": made["id"]}
    assert made["created"] is True
    assert Path(made["state"]).is_dir()
    assert Path(made["state"]).stat().st_mode & 0o777 == 0o700
    assert Path(made["state"]) == Path(os.environ["XDG_STATE_HOME"]) / "runner" / made["id"]
    lines = (folder / "runner.yaml").read_text().splitlines()
    assert lines
    assert all(line.startswith("#") for line in lines)


def test_what_the_commented_runner_yaml_suggests_is_valid(runner: Runner, folder: Path) -> None:
    runner.ok("init", "--yes", env={"PATH": "/nonexistent"})
    text = (folder / "runner.yaml").read_text()
    body = [line.removeprefix("# ") for line in text.splitlines()[2:]]
    (folder / "runner.yaml").write_text("\n".join(body) + "\n")

    timeout = runner.ok("config", "defaults.timeout", "--format", "json").json

    assert timeout == {"key": "defaults.timeout", "value": 1800.0, "origin": "runner.yaml:3"}


def test_init_again_changes_nothing(runner: Runner, folder: Path) -> None:
    first = runner.ok("init", "--yes", "--format", "json").json
    (folder / "runner.yaml").write_text("worker: {slots: 3}\n")

    second = runner.ok("init", "--yes", "--format", "json").json

    assert second["created"] is False
    assert second["id"] == first["id"]
    assert (folder / "runner.yaml").read_text() == "worker: {slots: 3}\n"


def test_init_takes_a_folder_and_makes_its_last_part(runner: Runner, folder: Path) -> None:
    made = runner.ok("init", "app", "--format", "json").json
    assert made["root"] == str(folder / "app")
    assert made["id"].startswith("app-")

    missing = runner("init", "no/such/place")
    assert missing.code == 2
    assert missing.stderr.startswith(f"error: {folder}/no/such does not exist")


def test_init_asks_nothing_without_a_terminal(runner: Runner) -> None:
    assert runner("init", input=None if os.name == "nt" else "").code == 0


def test_two_that_initialise_at_once_get_one_id(tmp_path: Path, runner: Runner, folder: Path) -> None:
    running = [runner.start("init", "--yes", "--format", "json") for _ in range(6)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert len({answer["id"] for answer in answers}) == 1
    assert [answer["created"] for answer in answers].count(True) == 1
    assert sorted(os.listdir(folder / ".runner")) == ["project.json", "schema"]
    assert os.listdir(folder / ".runner" / "schema") == ["config.json"]


def test_a_project_is_the_nearest_folder_upwards(project: Path) -> None:
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    assert find_project(deep).root == project

    inner, _ = create_project(project / "a")
    assert find_project(deep).id == inner.id
    assert find_project(project).root == project


def test_a_link_into_a_project_means_the_project(project: Path, tmp_path: Path) -> None:
    (project / "src").mkdir()
    (tmp_path / "link").symlink_to(project / "src")
    assert find_project(tmp_path / "link").root == project


def test_the_variable_names_the_project_unless_the_person_names_a_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    create_project(other)
    monkeypatch.setenv("RUNNER_PROJECT_DIR", str(project))

    assert find_project(other).root == project
    assert find_project(other, named=True).root == other

    monkeypatch.setenv("RUNNER_PROJECT_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=r"RUNNER_PROJECT_DIR is .* which has no \.runner folder"):
        find_project(other)


def test_no_project_is_one_sentence_that_names_init(runner: Runner, folder: Path) -> None:
    ended = runner("queue")
    assert ended.code == 2
    assert ended.stdout == ""
    assert ended.stderr == (f"error: no project in {folder} or any folder above\nhint: make one with: runner init\n")


def test_dash_c_works_as_if_started_there(runner: Runner, project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (project / "runner.yaml").write_text("worker: {slots: 4}\n")
    for args in (("-C", project, "config", "worker.slots"), ("config", "worker.slots", "-C", project)):
        assert runner.ok(*args, "--format", "json", cwd=elsewhere).json["value"] == 4

    wrong = runner("-C", "nowhere", "config")
    assert wrong.code == 2
    assert wrong.stderr == "error: -C nowhere: No such file or directory\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not valid JSON"),
        ("[]", "'id' must be"),
        ('{"id": "../../etc"}', "'id' must be"),
        ('{"id": 7}', "'id' must be"),
    ],
)
def test_a_damaged_pointer_is_one_sentence_with_the_file(project: Path, content: str, sentence: str) -> None:
    (project / ".runner" / "project.json").write_text(content)
    with pytest.raises(ConfigError, match=sentence) as caught:
        find_project(project)
    assert str(project / ".runner" / "project.json") in caught.value.message


def test_a_runner_folder_without_pointer_is_told_apart(folder: Path) -> None:
    (folder / ".runner").mkdir()
    with pytest.raises(UsageError, match=r"has a \.runner folder but no"):
        look_for_project(folder)


def test_a_read_only_folder_is_one_sentence(runner: Runner, folder: Path) -> None:
    target = folder / "locked"
    target.mkdir(mode=0o555)
    if os.access(target, os.W_OK):
        # The super-user may write everywhere: a file in the way refuses as well.
        target.rmdir()
        target.write_text("")
    ended = runner("init", target, "--yes")
    assert ended.code == 2
    assert ended.stderr.startswith(f"error: can't make a project in {target}: ")
    assert "Traceback" not in ended.stderr


def test_an_unusable_state_folder_is_one_sentence(runner: Runner, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = runner("init", "--yes", env={"XDG_STATE_HOME": str(tmp_path / "file")})
    assert ended.code == 2
    assert ended.stderr.startswith(f"error: can't make the folder {tmp_path}/file/runner/work-")


def test_a_folder_that_is_gone_is_one_sentence(runner: Runner, folder: Path) -> None:
    script = f"mkdir gone; cd gone; rmdir ../gone; exec {' '.join(runner.argv)} queue"
    ended = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "the current folder does not exist any more" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_project_whose_pointer_was_lost_is_taken_up_again(runner: Runner, folder: Path) -> None:
    first = runner.ok("init", "--yes", "--format", "json").json
    assert first["resumed"] is False
    runner.ok("submit", "--type", "run_script", "--payload", '{"script": "true"}')
    shutil.rmtree(folder / ".runner")

    lost = runner("queue")
    assert lost.code == 2
    assert f"{folder} was one, and its state is kept; take it up again with: runner init {folder}" in lost.stderr
    named = runner.ok("queue", "--project", first["id"], "--format", "json").items
    assert len(named) == 1
    assert runner.ok("why", named[0]["id"], "--project", first["id"]).code == 0

    again = runner.ok("init", "--yes")
    assert again.stdout == f"Again a project: {folder}\n"
    assert f"its former state is taken up: {first['id']}" in again.stderr
    assert [task["id"] for task in runner.ok("queue", "--format", "json").items] == [named[0]["id"]]


def test_a_new_project_can_be_made_where_one_was(runner: Runner, folder: Path) -> None:
    first = runner.ok("init", "--yes", "--format", "json").json
    shutil.rmtree(folder / ".runner")
    second = runner.ok("init", "--yes", "--new", "--format", "json").json
    assert second["id"] != first["id"]
    assert second["resumed"] is False


def test_init_takes_the_id_that_is_named_unless_there_is_another(runner: Runner, folder: Path) -> None:
    first = runner.ok("init", "--yes", "--format", "json").json
    os.rename(folder / ".runner", folder / "gone")
    moved = runner.ok("init", "elsewhere", "--project", first["id"], "--format", "json").json
    assert (moved["id"], moved["resumed"]) == (first["id"], True)
    other = runner("init", "elsewhere", "--project", "another")
    assert (other.code, f"is project '{first['id']}' already" in other.stderr) == (2, True)
    assert runner("init", "third", "--project", "Not An Id").code == 2
