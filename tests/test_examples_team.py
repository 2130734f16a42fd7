"""The example of a team that wrote no code: it loads, and a task runs through all of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Runner
from tests.pages import programs


@pytest.fixture
def shop(tmp_path: Path, runner: Runner) -> Path:
    """A copy of the example as a project with a repository, the agent's program on PATH."""
    place = tmp_path / "shop"
    shutil.copytree(REPOSITORY / "examples" / "team", place)
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "start")):
        subprocess.run(["git", *words], cwd=place, check=True)
    runner.cwd = place
    runner.env["PATH"] = f"{programs(tmp_path / 'bin')}:{os.environ['PATH']}"
    runner.ok("init", "--yes")
    return place


def test_everything_loads(shop: Path, runner: Runner) -> None:
    assert runner.ok("config", "agents.claude.model", "--format", "json").json["value"] == "sonnet"
    states = {one["check"]: one["state"] for one in runner("doctor", "--format", "json").json["items"]}
    assert states["settings"] == "ok"
    assert {one["name"] for one in runner.ok("machines", "--format", "json").items} >= {"mini", "box"}
    assert "shop-lint" in runner.ok("skills", "available", "--category", "backend").stdout


def test_a_red_check_is_repaired_and_the_team_is_told(shop: Path, runner: Runner) -> None:
    prompt = (
        "Fix the cart. [[on-first: [[write: cart.txt <<worse]] ]] [[on-repair: [[write: cart.txt <<fixed]]"
        " [[write: report/cart.txt <<all good]] ]]"
    )
    id = runner.ok("submit", prompt, "--format", "json").json["id"]
    runner.ok("work", "--drain")
    task = runner.ok("show", id, "--format", "json").json
    assert (task["status"], task["agent"]) == ("done", "scripted")
    assert [one["name"] for one in task["artifacts"]] == ["report/cart.txt"]
    shown = subprocess.run(
        ["git", "show", f"runner/{id}:cart.txt"], cwd=shop, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "fixed\n"
    assert (shop / "told.log").read_text().startswith(f"{id} done")


def test_the_gate_and_the_migrations_are_the_teams(shop: Path, runner: Runner) -> None:
    runner.ok("submit", "[[write: check.sh <<exit 0]]")
    runner.ok("submit", "[[write: cart.txt <<fixed]] [[write: migrations/1.sql <<drop]]")
    assert runner("work", "--drain").code == 3
    said = runner.ok("review").stdout
    assert "the gate was edited: check.sh changed" in said
    assert "changed, and must not be: migrations/1.sql" in said


def test_work_goes_where_the_routes_say(shop: Path, runner: Runner) -> None:
    plan = runner.ok(
        "submit", "--type", "ios_build", "--payload", '{"scheme": "Shop"}', "--dry-run", "--format", "json"
    )
    assert (plan.json["machine"], plan.json["route"]) == ("mini", "only the mini has Xcode")
    plan = runner.ok("submit", "Fix it", "--dry-run", "--format", "json").json
    assert [one["type"] for one in plan["checks"]] == ["command", "no_diff"]
    assert (plan["policy"]["repair_agent"], plan["policy"]["repairs"], plan["policy"]["timeout"]) == (
        "scripted",
        2,
        1800,
    )


def test_a_mistake_is_told_with_its_line(shop: Path, runner: Runner) -> None:
    text = (shop / "runner.yaml").read_text().replace("no_diff: 'migrations/**'", "no_dif: 'migrations/**'")
    (shop / "runner.yaml").write_text(text)
    wrong = runner("submit", "Fix it")
    assert wrong.code == 2
    assert "runner.yaml:21: no check is called 'no_dif' (did you mean 'no_diff'?)" in wrong.stderr
