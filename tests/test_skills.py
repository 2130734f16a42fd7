"""The registry of skills, their checks on this machine, and what a worker offers because of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import yaml

from runner.errors import ConfigError, UsageError
from runner.skills import CATEGORIES, Skill, json_schema, load_skills
from runner.skills.checking import check_here, check_one
from runner.skills.found import AGE, found_file, found_here, remember
from runner.skills.registry import read_file
from tests.conftest import REPOSITORY, Runner
from tests.terminal import Terminal

TYPES = {"agent_run", "run_script", "git_pull", "ios_build", "android_build", "npm_build", "test_run", "lint"}


# -- the registry ---------------------------------------------------------------------------------------------


def test_the_shipped_registry_has_skills_of_four_categories() -> None:
    skills = load_skills(None)
    assert len(skills) >= 24
    assert skills.categories() == CATEGORIES
    for category in CATEGORIES:
        assert len(skills.of_category(category)) >= 5
    assert {type for skill in skills.values() for type in skill.task_types} == TYPES


@pytest.mark.parametrize("skill", load_skills(None).values(), ids=lambda skill: skill.name)
def test_every_shipped_skill_is_whole(skill: Skill) -> None:
    assert skill.description
    assert skill.check
    assert skill.task_types
    if skill.handler is not None:
        type = Path(skill.handler).stem
        assert type in skill.task_types
        assert (REPOSITORY / skill.handler).is_file()
    assert set(skill.install) == set(skill.os or ("macos", "linux"))
    for command in (skill.check, *skill.install.values()):
        assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0, command
    for command in skill.install.values():
        # A machine without a person must not wait for an answer.
        assert "apt-get install" not in command or "apt-get install -y" in command


def test_an_entry_of_the_project_replaces_the_shipped_one_and_says_so(runner: Runner, project: Path) -> None:
    (project / "skills.yaml").write_text("skills:\n  git: {check: 'echo mine'}\n  own: {check: 'true'}\n")
    skills = load_skills(project)
    assert (skills["git"].check, skills["git"].category, skills["git"].overrides) == ("echo mine", "custom", True)
    assert (skills["own"].overrides, skills["own"].origin, skills["node"].origin) == (False, "project", "shipped")
    ended = runner.ok("skills", "list")
    assert "'git' is the one of skills.yaml:2; it replaces the shipped one" in ended.stderr
    assert re.search(r"^git +custom +installed +mine", ended.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("skils: {}\n", "skills.yaml:1: unknown key 'skils' (did you mean 'skills'?)"),
        ("skills:\n  a:\n    chek: x\n", "skills.yaml:3: unknown key 'chek' (did you mean 'check'?)"),
        ("skills:\n  a:\n    install: {linx: x}\n", "skills.yaml:3: unknown key 'linx' (did you mean 'linux'?)"),
        ("skills:\n  a:\n    os: [mac]\n", "skills.yaml:3: skills.a.os.0 can't be 'mac' (did you mean 'macos'?)"),
        ("skills:\n  a:\n\n    check: 5\n", "skills.yaml:4: skills.a.check must be text, not 5"),
        ("skills:\n  a:\n    check: ' '\n", "skills.yaml:3: skills.a.check: is empty"),
        ("skills:\n  a:\n    task_types: x\n", "skills.yaml:3: skills.a.task_types must be a list, not 'x'"),
        ("skills:\n  a: x\n", "skills.yaml:2: skills.a must be a mapping, not 'x'"),
        ("skills:\n  a b: {}\n", "skills.yaml:2: skills.a b: 'a b' is not a name"),
        ("skills:\n  a:\n    handler: ../x.py\n", "skills.yaml:3: skills.a.handler: '../x.py' is not a handler"),
        ("- x\n", "skills.yaml:1: the file must be a mapping"),
        ("skills:\n  a: {}\n  a: {}\n", "skills.yaml:3:3: key 'a' is there twice"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "skills.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_skills(tmp_path)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "skills:\n", "skills: {}\n", "\ufeffskills:\r\n  a:\r\n    check: x\r\n"]
)
def test_a_file_with_little_in_it_is_fine(tmp_path: Path, text: str) -> None:
    (tmp_path / "skills.yaml").write_text(text)
    assert set(read_file(tmp_path / "skills.yaml", "project")) <= {"a"}


def test_the_schema_takes_the_shipped_file_and_refuses_mistakes() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(yaml.safe_load((REPOSITORY / "skills.yaml").read_text()))
    for wrong in ({"skils": {}}, {"skills": {"a": {"chek": "x"}}}, {"skills": {"a": {"os": ["win"]}}}):
        assert not validator.is_valid(wrong), wrong


def test_a_name_is_found_by_either_spelling_and_a_wrong_one_suggests() -> None:
    skills = load_skills(None)
    assert skills.named("android_sdk") is skills["android-sdk"]
    with pytest.raises(UsageError, match="did you mean 'docker'"):
        skills.named("dokcer")
    with pytest.raises(UsageError, match="did you mean 'mobile'"):
        skills.of_category("mobil")


# -- checks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "state", "detail"),
    [
        ("echo; echo version 3; echo more", "installed", "version 3"),
        ("echo trying; echo no daemon >&2; exit 1", "missing", "no daemon"),
        ("exit 7", "missing", "exit 7"),
        ("true", "installed", ""),
        (None, "no_check", "it has no check command"),
        ("cat; echo end", "installed", "end"),
        ("printf 'a\\377b'", "installed", "a\ufffdb"),
    ],
)
def test_a_check_says_whether_it_is_there(check: str | None, state: str, detail: str) -> None:
    found = check_one(Skill("x", check=check))
    assert (found.state, found.detail) == (state, detail)
    assert found.to_json()["installed"] == {"installed": True, "missing": False}.get(state)


def test_a_check_for_another_system_is_not_run(tmp_path: Path) -> None:
    other = "linux" if sys.platform == "darwin" else "macos"
    found = check_one(Skill("x", check=f"touch {tmp_path}/ran", os=(other,)))
    assert (found.state, found.installed, found.to_json()["installed"]) == ("other_os", False, None)
    assert not (tmp_path / "ran").exists()


def test_a_check_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    found = check_one(Skill("x", check=f"sh -c 'echo $$ >{tmp_path}/pid; exec sleep 60' & sleep 60"), limit=1)
    assert time.monotonic() - began < 10
    assert (found.state, found.detail) == ("timeout", "its check took longer than 1 s")
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            stat = "X"
        if stat in "XZ":
            return
        time.sleep(0.05)
    raise AssertionError("it still runs")


def test_checks_run_side_by_side_and_a_background_child_holds_nobody_up() -> None:
    skills = [Skill(f"s{n}", check="sleep 0.6") for n in range(8)]
    began, seen = time.monotonic(), []
    found = check_here([*skills, Skill("bg", check="sleep 30 & echo fine")], lambda one: seen.append(one.skill.name))
    assert time.monotonic() - began < 3
    assert [one.skill.name for one in found] == [*(skill.name for skill in skills), "bg"]
    assert sorted(seen) == sorted(one.skill.name for one in found)
    assert all(one.installed for one in found)


# -- the commands ---------------------------------------------------------------------------------------------

OWN = """\
skills:
  good: {description: It is here, category: backend, check: echo good 1.0}
  bad: {category: backend, check: exit 3}
  alien: {category: backend, os: [OTHER], check: 'true'}
"""


@pytest.fixture
def own(project: Path) -> Path:
    other = "linux" if sys.platform == "darwin" else "macos"
    (project / "skills.yaml").write_text(OWN.replace("OTHER", other))
    return project


def test_available_shows_everything_with_its_state(runner: Runner, own: Path) -> None:
    items = {one["name"]: one for one in runner.ok("skills", "available", "--format", "json").items}
    assert set(load_skills(None)) < set(items)
    assert (items["good"]["state"], items["good"]["installed"], items["good"]["detail"]) == (
        "installed",
        True,
        "good 1.0",
    )
    assert (items["bad"]["state"], items["bad"]["installed"]) == ("missing", False)
    assert (items["alien"]["state"], items["alien"]["installed"]) == ("other_os", None)
    some = runner.ok("skills", "available", "--category", "backend")
    assert re.search(r"^good +installed +good 1.0 +It is here$", some.stdout, re.MULTILINE)
    assert re.search(r"^bad +missing", some.stdout, re.MULTILINE)
    assert "claude" not in some.stdout
    assert some.stderr == ""


def test_available_works_outside_a_project_and_refuses_an_unknown_category(runner: Runner, folder: Path) -> None:
    assert len(runner.ok("skills", "available", "--category", "web", "--format", "json").items) >= 5
    ended = runner("skills", "available", "--category", "wbe")
    assert (ended.code, ended.stderr) == (2, "error: no skill is of category 'wbe' (did you mean 'web'?)\n")


def test_list_shows_what_is_installed_and_what_is_declared_and_missing(runner: Runner, own: Path) -> None:
    (own / "machines.yaml").write_text("machines:\n  me: {capabilities: [bad, docker_ish]}\n")
    env = {"RUNNER_DEVICE_ID": "me"}
    ended = runner.ok("skills", "list", env=env)
    rows = {line.split()[0]: line for line in ended.stdout.splitlines()[1:]}
    assert "installed" in rows["good"]
    assert "missing" in rows["bad"]
    assert "alien" not in rows
    assert (
        "bad is declared for me in machines.yaml, but not found (exit 3): runner skills install me bad" in ended.stderr
    )
    assert {one["machine"] for one in runner.ok("skills", "list", "me", "--format", "json", env=env).items} == {"me"}
    everything = runner.ok("skills", "list", "--all", "--format", "json", env=env).items
    assert len(everything) == len(load_skills(own))


def test_progress_is_shown_on_a_terminal_only_and_leaves_nothing(runner: Runner, own: Path) -> None:
    with Terminal([*runner.argv, "skills", "available", "--category", "backend"], own, 120) as terminal:
        assert terminal.wait() == 0
        assert b" checked: " in terminal.raw
        assert "checked:" not in terminal.text
        assert "good 1.0" in terminal.text


def test_skills_alone_shows_what_is_declared_and_what_workers_registered(runner: Runner, own: Path) -> None:
    (own / "machines.yaml").write_text("machines:\n  me: {capabilities: [docker], agents: [claude]}\n  other: {}\n")
    runner.ok("skills", "list", env={"RUNNER_DEVICE_ID": "me"})
    with runner.start("work", "--loop", "--machine", "me") as worker:
        for _ in range(100):
            items = {one["machine"]: one for one in runner.ok("skills", "--format", "json").items}
            if items["me"]["online"]:
                break
            time.sleep(0.1)
        text = runner.ok("skills").stdout
        worker.terminate()
        worker.communicate(timeout=30)
    assert items["me"]["declared"] == ["docker"]
    assert {"docker", "good", "git"} <= set(items["me"]["found"])
    assert "bad" not in items["me"]["found"]
    assert "claude" in items["me"]["agents"]
    assert (items["other"]["online"], items["other"]["found"]) == (False, [])
    assert re.search(r"^me +on +docker +.*good", text, re.MULTILINE)


# -- what a worker offers -------------------------------------------------------------------------------------


def test_a_worker_offers_what_passed_and_a_task_may_require_it(runner: Runner, own: Path) -> None:
    (own / "runner.yaml").write_text("types: {run_script: {requires: [good]}}\n")
    task = runner.ok("submit", "--type", "run_script", "--payload", '{"script": "true"}', "--format", "json").json
    runner("work", "--drain")
    assert runner.ok("show", task["id"], "--format", "json").json["status"] == "pending"
    assert "'good'" in runner.ok("why", task["id"]).stdout
    runner.ok("skills", "list")
    runner.ok("work", "--drain")
    assert runner.ok("show", task["id"], "--format", "json").json["status"] == "done"


def test_an_answer_is_remembered_for_this_check_this_path_and_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_here() == ()
    remember([check_one(Skill("a", check="true")), check_one(Skill("b", check="false"))])
    assert found_here() == ("a",)
    remember([check_one(Skill("c", check="true"))])
    assert found_here() == ("a", "c")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"] + ":/elsewhere")
        assert found_here() == ()
    remember([check_one(Skill("a", check="false"))])
    assert found_here() == ("c",)
    kept = json.loads(found_file().read_text())
    kept["c"]["at"] -= AGE + 1
    found_file().write_text(json.dumps(kept))
    assert found_here() == ()


@pytest.mark.parametrize("damage", ["", "[]", '{"a": 1}', '{"a": {"at": "x"}}', '{"a": {"at": 1e99, "key": 1}}', "\0"])
def test_a_damaged_memory_is_an_empty_one(damage: str) -> None:
    found_file().parent.mkdir(parents=True, exist_ok=True)
    found_file().write_text(damage)
    assert found_here() == ()
    remember([check_one(Skill("a", check="true"))])
    assert found_here() == ("a",)
