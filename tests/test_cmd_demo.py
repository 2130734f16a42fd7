"""`runner demo`, as a newcomer calls it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Runner


def test_the_demo_ends_well_and_shows_the_whole_way(folder: Path, runner: Runner) -> None:
    (folder / "tmp").mkdir()
    said = runner.ok("demo", env={"TMPDIR": str(folder / "tmp")}, timeout=180)
    for part in (
        "$ runner init --yes",
        "$ runner work --drain",
        "RED command:",
        "ok  command:",
        "lines.txt",
        "the gate was edited",
        "$ runner resolve",
    ):
        assert part in said.stdout, said.stdout
    assert list((folder / "tmp").iterdir()) == [], "a demo leaves nothing behind"


def test_a_demo_in_a_folder_stays_there_and_json_is_one_document(folder: Path, runner: Runner) -> None:
    value = runner.ok("demo", "demo", "--format", "json", timeout=180).json
    assert [(task["name"], task["status"]) for task in value["tasks"]] == [
        ("script", "done"),
        ("repaired", "done"),
        ("lie", "needs_human"),
    ]
    shop = folder / "demo" / "shop"
    env = {"XDG_STATE_HOME": str(folder / "demo" / "state")}
    lie = value["tasks"][2]["id"]
    assert runner.ok("show", lie, "--format", "json", cwd=shop, env=env).json["status"] == "failed"
    fixed = f"runner/{value['tasks'][1]['id']}"
    shown = subprocess.run(["git", "show", f"{fixed}:cart.py"], cwd=shop, capture_output=True, text=True, check=True)
    assert "price * quantity" in shown.stdout
    assert not os.path.exists(os.environ["XDG_STATE_HOME"] + "/runner")


def test_a_demo_takes_no_folder_that_has_something_in_it(folder: Path, runner: Runner) -> None:
    (folder / "mine.txt").write_text("mine")
    ended = runner("demo", ".")
    assert ended.code == 2
    assert "is not empty" in ended.stderr


def test_a_demo_without_git_says_what_it_needs(folder: Path, runner: Runner) -> None:
    ended = runner("demo", env={"PATH": str(folder)})
    assert (ended.code, ended.stdout) == (2, "")
    assert "git" in ended.stderr
