"""`runner machines`, `runner ssh`, and what `runner status` says of each machine."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.played import Played, add

MACHINES = """\
machines:
  boss: {role: orchestrator, os: macos, address: 10.0.0.1}
  box:
    os: macos
    address: 10.0.0.2
    aliases: [old-box]
    capabilities: [docker]
    agents: [claude, gemini]
    ssh: {user: build, port: 2222, identity: ~/.ssh/fleet}
"""


@pytest.fixture
def fleet(project: Path) -> Iterator[Path]:
    """Two machines that are declared, and workers of one of them and of one that is not."""
    (project / "machines.yaml").write_text(MACHINES)
    box = Played(project, id="box-1", machine="box", capabilities=("os:linux", "agent:claude", "rust"))
    new = Played(project, id="new-1", machine="new", capabilities=("os:linux",))
    yield project
    for one in (box, new):
        one.close()


def test_machines_are_those_of_the_file_and_those_with_workers(runner: Runner, fleet: Path) -> None:
    items = {one["name"]: one for one in runner.ok("machines", "--format", "json").items}
    assert list(items) == ["boss", "box", "new"]
    assert (items["boss"]["online"], items["boss"]["last_seen_seconds"], items["boss"]["differences"]) == (
        False,
        None,
        [],
    )
    box = items["box"]
    assert (box["online"], box["os"], box["agents"], box["capabilities"]) == (True, "linux", ["claude"], ["rust"])
    assert box["declared"]["aliases"] == ["old-box"]
    assert 0 <= box["last_seen_seconds"] < 60
    assert box["differences"] == [
        "machines.yaml says macos, it runs linux",
        "declared but not found: agent gemini",
        "declared since its worker started: docker",
    ]
    assert items["new"]["declared"] is None
    assert items["new"]["differences"] == ["it is not in machines.yaml"]
    shown = runner.ok("machines")
    assert re.search(r"^boss +off +orchestrator +macos +1 +never$", shown.stdout, re.MULTILINE)
    assert re.search(r"^box +on +worker +linux +1 +claude +\S+ ago$", shown.stdout, re.MULTILINE)
    assert "box: declared but not found: agent gemini" in shown.stderr


def test_a_worker_under_an_old_name_counts_for_its_machine(runner: Runner, project: Path) -> None:
    (project / "machines.yaml").write_text(MACHINES)
    played = Played(project, id="old-1", machine="old-box", capabilities=("os:macos", "agent:claude", "agent:gemini"))
    try:
        items = {one["name"]: one for one in runner.ok("machines", "--format", "json").items}
    finally:
        played.close()
    assert set(items) == {"boss", "box"}
    assert items["box"]["online"] is True


def test_without_any_machine_it_says_so(runner: Runner, project: Path) -> None:
    ended = runner.ok("machines")
    assert (ended.stdout, "no machine is declared" in ended.stderr) == ("", True)
    assert runner.ok("machines", "--format", "json").items == []


def test_status_tells_what_each_machine_did_and_its_top_agent_across_names(runner: Runner, project: Path) -> None:
    (project / "machines.yaml").write_text(MACHINES)
    jobs = (
        ("box", "claude", "ok"),
        ("old-box", "gemini", "ok"),
        ("old-box", "gemini", "ok"),
        ("box", "gemini", "no_op"),
        ("gone", None, "ok"),
    )
    for number, (machine, agent, outcome) in enumerate(jobs):
        played = Played(project, id=f"box-{number}", machine="box")
        add(project, agent=agent, attempts=1)
        played.run(outcome, {"machine": machine})
        played.close()
    value = {one["name"]: one for one in runner.ok("status", "--format", "json").json["machines"]}
    assert (value["box"]["done"], value["box"]["failed"], value["box"]["top_agent"]) == (3, 1, "gemini")
    assert value["box"]["agents"] == {"claude": 1, "gemini": 2}
    assert (value["boss"]["done"], value["boss"]["top_agent"]) == (0, None)
    assert (value["gone"]["done"], value["gone"]["online"], value["gone"]["top_agent"]) == (1, False, None)
    assert "old-box" not in value
    assert re.search(r"^box +\w+ +3 +1 +gemini$", runner.ok("status").stdout, re.MULTILINE)


# -- ssh ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ssh(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `ssh` that prints the words it got and ends with 7."""
    (project / "machines.yaml").write_text(MACHINES)
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "ssh").write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\nsys.exit(7)\n")
    (bin / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    return project


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("box",), []),
        (("old-box",), []),
        (("box", "--", "uptime", "-p", "--help"), ["uptime", "-p", "--help"]),
        (("box", "uptime", "--format", "json"), ["uptime", "--format", "json"]),
    ],
)
def test_ssh_becomes_the_systems_ssh(runner: Runner, ssh: Path, words: tuple[str, ...], extra: list[str]) -> None:
    identity = str(Path("~/.ssh/fleet").expanduser())
    ended = runner("ssh", *words)
    assert ended.code == 7
    assert ended.stdout == f"{['-p', '2222', '-l', 'build', '-i', identity, '10.0.0.2', *extra]}\n"


def test_ssh_says_what_it_does_not_know(runner: Runner, ssh: Path) -> None:
    ended = runner("ssh", "bx")
    assert (ended.code, ended.stderr) == (
        2,
        "error: no machine is called 'bx' in machines.yaml (did you mean 'box'?)\n",
    )
    (ssh / "machines.yaml").write_text("machines: {bad: {address: '-oProxyCommand=touch x'}}\n")
    ended = runner("ssh", "bad")
    assert (ended.code, "can't begin with '-'" in ended.stderr) == (2, True)
    (ssh / "machines.yaml").unlink()
    ended = runner("ssh", "box")
    assert (ended.code, ended.stderr.splitlines()[0]) == (
        2,
        "error: no machine is called 'box': machines.yaml names none",
    )


def test_without_an_ssh_it_is_a_sentence(runner: Runner, ssh: Path, tmp_path: Path) -> None:
    ended = runner("ssh", "box", env={"PATH": str(tmp_path)})
    assert (ended.code, ended.stderr.splitlines()[0]) == (1, "error: there is no `ssh` on PATH")
