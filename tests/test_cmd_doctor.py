"""`runner doctor`: a healthy place passes, and everything that is wrong is told at once, with what to do."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import Runner
from tests.keeping import Bench, running, until

if TYPE_CHECKING:
    from tests.conftest import Ended


def found(ended: Ended, check: str) -> list[dict[str, Any]]:
    items = [item for item in ended.items if item["check"] == check]
    assert all(set(item) == {"check", "state", "text", "fix"} for item in items)
    return items


def test_a_healthy_project_has_no_failure(project: Path, runner: Runner) -> None:
    ended = runner.ok("doctor", "--format", "json")
    states = {item["check"]: item["state"] for item in ended.items}
    assert set(states) == {
        "python", "git", "project", "settings", "state", "keeper", "processes", "plugins", "store", "agents", "machine",
    }  # fmt: skip
    assert states.pop("agents") in ("ok", "warning")
    assert set(states.values()) == {"ok"}
    assert sys.version.split()[0] in found(ended, "python")[0]["text"]


def test_it_works_outside_a_project_and_makes_no_store_there(folder: Path, runner: Runner, isolated: Path) -> None:
    ended = runner.ok("doctor", "--format", "json")
    assert "runner init" in found(ended, "project")[0]["text"]
    assert not found(ended, "store")
    assert not list(isolated.rglob("store.db"))


def test_every_mistake_of_every_file_is_told_with_its_line(project: Path, runner: Runner) -> None:
    (project / "runner.yaml").write_text(
        "worker:\n  slotz: 2\n  lease: soon\nagents:\n  a: {program: a, prompt: pipe}\n"
    )
    (project / "machines.yaml").write_text("machines:\n  box: {os: beos}\n")
    ended = runner("doctor", "--format", "json", env={"RUNNER_WORKER_POLL": "often"})
    assert ended.code == 1
    told = [f"{item['text']} {item['fix']}" for item in found(ended, "settings")]
    for place, words in (
        ("runner.yaml:2", "did you mean 'slots'?"),
        ("runner.yaml:3", "worker.lease"),
        ("runner.yaml:5", "agents.a.prompt"),
        ("machines.yaml:2", "beos"),
        ("environment RUNNER_WORKER_POLL", "often"),
    ):
        assert any(one.startswith(place) and words in one for one in told), (place, told)
    assert {item["state"] for item in found(ended, "settings")} == {"failed"}


def test_a_file_that_is_no_yaml_hides_no_mistake_of_another(project: Path, runner: Runner) -> None:
    (project / "runner.yaml").write_text("worker: [\n")
    (project / "machines.yaml").write_text("machines:\n  box: {os: beos}\n")
    ended = runner("doctor", "--format", "json")
    assert [item["text"].split(":")[0] for item in found(ended, "settings")] == ["runner.yaml", "machines.yaml"]


def test_broken_handlers_and_plugins_are_told_each(project: Path, runner: Runner) -> None:
    for folder in ("handlers", "plugins"):
        (project / folder).mkdir()
    (project / "handlers" / "bake.py").write_text("import nowhere\n")
    (project / "plugins" / "mine.py").write_text("def f(:\n")
    ended = runner("doctor", "--format", "json")
    assert ended.code == 1
    told = [item["text"] for item in found(ended, "plugins")]
    assert any("bake" in one and "nowhere" in one for one in told)
    assert any("mine" in one for one in told)


def test_a_store_that_can_not_be_used_is_told(project: Path, runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("this is no database at all " * 50)
    ended = runner("--store", f"sqlite:///{tmp_path}/no.db", "doctor", "--format", "json")
    assert ended.code == 1
    assert found(ended, "store")[0]["state"] == "failed"


def test_without_git_it_says_so(project: Path, runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    ended = runner("doctor", "--format", "json", env={"PATH": str(tmp_path / "bin")})
    assert ended.code == 1
    assert found(ended, "git") == [
        {"check": "git", "state": "failed", "text": "git is not on the PATH", "fix": "install git"}
    ]


def test_an_old_git_is_a_warning(project: Path, runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\necho git version 2.20.1\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    ended = runner("doctor", "--format", "json", env={"PATH": f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}"})
    [git] = found(ended, "git")
    assert (git["state"], git["fix"]) == ("warning", "install git 2.31 or newer")


def test_a_state_folder_that_can_not_be_made_is_told(folder: Path, runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = runner("doctor", "--format", "json", env={"XDG_STATE_HOME": str(tmp_path / "file")})
    assert ended.code == 1
    [item] = found(ended, "state")
    assert (item["state"], item["fix"]) == ("failed", "make it writable, or set XDG_STATE_HOME")


def test_what_machines_yaml_says_of_this_machine_is_compared(project: Path, runner: Runner) -> None:
    (project / "machines.yaml").write_text("machines:\n  box: {os: macos, agents: [script, goose, claud]}\n")
    here = {"RUNNER_DEVICE_ID": "box", "PATH": "/usr/bin:/bin"}
    told = found(runner("doctor", "--format", "json", env=here), "machine")
    words = " | ".join(f"{item['text']} {item['fix']}" for item in told)
    assert {item["state"] for item in told} == {"warning"}
    for one in ("it runs linux", "'goose' on box, and it is not installed", "did you mean 'claude'?"):
        assert one in words
    assert "'script'" not in words
    [unknown] = found(runner("doctor", "--format", "json", env={"RUNNER_DEVICE_ID": "other"}), "machine")
    assert "none of that name" in unknown["text"]


def test_what_a_killed_keeper_left_is_told_and_not_touched(project: Path, runner: Runner, tmp_path: Path) -> None:
    bench, nap = Bench(tmp_path), f"66.{os.getpid()}"
    pid, start = bench.keeper.identity
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: not bench.keeper.alive)
    env = {**os.environ, "RUNNER_KEEPER": f"{pid}:{start}"}
    seen: list[tuple[str, bool]] = []
    while ("warning", True) not in seen and len(seen) < 20:
        # A worker of another test may sweep it away before we look, or right after: that is what workers are for.
        child = os.posix_spawn("/bin/sleep", ["sleep", nap], env)
        try:
            [item] = found(runner("doctor", "--format", "json"), "processes")
            named = str(child) in item["text"]
            seen.append((item["state"] if named else "swept", bool(running(nap))))
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    bench.keeper.close()
    assert ("warning", True) in seen, seen


def test_the_table_ends_with_what_to_fix(project: Path, runner: Runner) -> None:
    (project / "runner.yaml").write_text("worker: {slotz: 2}\n")
    ended = runner("doctor")
    assert ended.code == 1
    assert ended.stdout.splitlines()[0].split() == ["CHECK", "STATE", "FOUND"]
    assert "  fix: did you mean 'slots'?" in ended.stdout
