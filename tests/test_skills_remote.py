"""Skills on other machines, by a small `ssh` that runs what it is told here, in another home, and writes down how."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.skills.registry import Skill
from runner.skills.remote import Target, check_there
from tests.conftest import Runner
from tests.terminal import Terminal

SSH = f"""\
#!{sys.executable}
import json, os, subprocess, sys
words = sys.argv[1:]
home = os.environ["SSH_HOME"]
with open(os.path.join(home, "calls"), "a") as file:
    file.write(json.dumps(words) + "\\n")
if os.environ.get("SSH_DOWN"):
    sys.stderr.write("ssh: connect to host 10.0.0.9 port 22: No route to host\\n")
    sys.exit(255)
while words and words[0].startswith("-"):
    words = words[2:]
host, command = words[0], words[1:]
env = {{**os.environ, "HOME": home, "PATH": home + ":/usr/bin:/bin"}}
# As sshd does: the words joined, read by the login shell.
sys.exit(subprocess.run(["sh", "-c", " ".join(command)], env=env, cwd=home).returncode)
"""

MACHINES = """\
machines:
  # the one in the cupboard
  mini:
    os: linux
    address: 10.0.0.9
    aliases: [old-mini]
    capabilities: [good, gone]   # what it does
    ssh: {user: build, port: 2222, identity: ~/.ssh/fleet}
  plain: {address: 10.0.0.8}
"""

SKILLS = """\
skills:
  good:
    check: test -f "$HOME/good" && echo "it's 1.0"
    install: {linux: &good 'echo working; touch "$HOME/good"', macos: *good}
  gone: {check: 'echo nowhere >&2; false', install: {linux: 'true', macos: 'true'}}
  broken: {check: 'false', install: {linux: &broken 'echo no disk >&2; exit 9', macos: *broken}}
  apple: {os: [macos], check: 'true', install: {macos: 'true'}}
"""


class Remote:
    """The other machine: its home, and how ssh was called."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def calls(self) -> list[list[str]]:
        path = self.home / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def remote(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    (project / "machines.yaml").write_text(MACHINES)
    (project / "skills.yaml").write_text(SKILLS)
    bin, home = tmp_path / "bin", tmp_path / "other home's"
    bin.mkdir()
    home.mkdir()
    (bin / "ssh").write_text(SSH)
    (bin / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SSH_HOME", str(home))
    return Remote(home)


def states(items: list[dict[str, Any]]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in items}


def test_list_checks_over_there_by_one_connection(runner: Runner, remote: Remote) -> None:
    (remote.home / "good").touch()
    items = runner.ok("skills", "list", "old-mini", "--all", "--format", "json").items
    assert {one["machine"] for one in items} == {"mini"}
    found = states(items)
    assert (found["good"], found["gone"], found["apple"], found["git"]) == (
        "installed",
        "missing",
        "other_os",
        "installed",
    )
    assert {one["name"]: one["detail"] for one in items}["good"] == "it's 1.0"
    assert {one["name"]: one["detail"] for one in items}["gone"] == "nowhere"
    [call] = remote.calls
    assert call[:8] == ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15", "-o", call[7]]
    assert call[8:15] == ["-p", "2222", "-l", "build", "-i", str(Path("~/.ssh/fleet").expanduser()), "10.0.0.9"]
    assert len(call) == 16
    assert call[15].startswith("sh -c '")
    # What is there is not taken for what is here.
    assert not (Path(os.environ["XDG_STATE_HOME"]) / "runner" / "skills-found.json").exists()
    ended = runner.ok("skills", "list", "mini")
    assert "gone is declared for mini in machines.yaml, but not found (nowhere)" in ended.stderr


def test_a_check_that_hangs_over_there_is_a_timeout_and_the_others_are_told(remote: Remote) -> None:
    skills = [Skill("slow", check="sleep 61"), Skill("quick", check="echo 'a:b'; echo more")]
    began = time.monotonic()
    found = check_there(Target("mini", "10.0.0.9"), skills, limit=1)
    assert time.monotonic() - began < 15
    assert [(one.state, one.detail) for one in found] == [
        ("timeout", "its check took longer than 1 s"),
        ("installed", "a:b"),
    ]


def test_a_machine_that_is_not_reached_is_named_with_its_address(runner: Runner, remote: Remote) -> None:
    for words in (("list", "mini"), ("install", "mini", "good", "--yes")):
        ended = runner("skills", *words, env={"SSH_DOWN": "1"})
        assert ended.code == 1
        assert ended.stderr.splitlines()[-2:] == [
            "error: can't reach machine 'mini' (10.0.0.9) by ssh: "
            "ssh: connect to host 10.0.0.9 port 22: No route to host",
            "hint: try it: runner ssh mini",
        ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("list", "mni"), "error: no machine is called 'mni' in machines.yaml (did you mean 'mini'?)"),
        (("install", "mini", "god"), "error: no skill is called 'god' (did you mean 'good'?)"),
        (("install", "mini", "apple"), "error: 'apple' is for macos, and mini runs linux"),
        (("install", "a", "b", "c"), "error: too many words: c"),
        (("install", "mini", "good"), 'on mini:  echo working; touch "$HOME/good"'),
    ],
)
def test_what_can_not_be_done_is_a_sentence(
    runner: Runner, remote: Remote, words: tuple[str, ...], sentence: str
) -> None:
    ended = runner("skills", *words)
    assert ended.code == 2
    assert ended.stderr.splitlines()[0] == sentence
    assert not (remote.home / "good").exists()


def test_install_over_there_shows_runs_and_verifies(runner: Runner, remote: Remote) -> None:
    shown = runner.ok("skills", "install", "mini", "good", "--dry-run")
    assert shown.stdout == 'echo working; touch "$HOME/good"\n'
    assert remote.calls == []
    done = runner.ok("skills", "install", "mini", "good", "--yes")
    assert done.stdout == "Installed good on mini (it's 1.0)\n"
    assert done.stderr.splitlines() == ['on mini:  echo working; touch "$HOME/good"', "working"]
    assert (remote.home / "good").exists()
    assert not (Path.home() / "good").exists()
    again = runner.ok("skills", "install", "mini", "good", "--yes", "--format", "json").json
    assert (again["result"], again["command"], again["detail"]) == ("already_installed", None, "it's 1.0")


def test_the_system_of_a_machine_that_does_not_say_is_asked_for(runner: Runner, remote: Remote) -> None:
    assert runner.ok("skills", "install", "plain", "good", "--yes").stdout.startswith("Installed good on plain")


@pytest.mark.parametrize("where", [("mini",), ()])
def test_an_install_that_fails_or_changes_nothing_exits_with_1(
    runner: Runner, remote: Remote, where: tuple[str, ...]
) -> None:
    failed = runner("skills", "install", *where, "broken", "--yes")
    assert failed.code == 1
    assert "no disk" in failed.stderr
    assert "the command that installs 'broken' on" in failed.stderr
    assert "ended with 9" in failed.stderr
    lied = runner("skills", "install", *where, "gone", "--yes")
    assert lied.code == 1
    assert "but its check fails: nowhere" in lied.stderr
    value = runner("skills", "install", *where, "gone", "--yes", "--format", "json")
    assert (value.code, value.json["result"], value.json["exit_code"]) == (1, "failed", 0)


def test_install_here_asks_on_a_terminal_and_no_is_no(runner: Runner, project: Path) -> None:
    text = "skills:\n  it: {check: 'test -f it', install: {linux: 'echo busy; touch it', macos: 'touch it'}}\n"
    (project / "skills.yaml").write_text(text)
    for answer, there in (("n", False), ("", False), ("y", True)):
        with Terminal([*runner.argv, "skills", "install", "it"], project) as terminal:
            terminal.until("Run it? [y/N]:")
            assert "touch it" in terminal.text
            assert not (project / "it").exists()
            terminal.type(f"{answer}\n")
            assert terminal.wait() == (0 if there else 1)
            assert (project / "it").exists() == there
    assert runner.ok("skills", "install", "it").stdout.startswith("it is installed on")


def test_install_that_takes_too_long_is_ended(runner: Runner, project: Path) -> None:
    (project / "skills.yaml").write_text(
        "skills:\n  it: {check: 'false', install: {linux: &slow 'sleep 60; true', macos: *slow}}\n"
    )
    began = time.monotonic()
    ended = runner("skills", "install", "it", "--yes", "--timeout", "1s")
    assert time.monotonic() - began < 20
    assert ended.code == 1
    assert "took longer than 1 s and was ended" in ended.stderr


# -- skills add -----------------------------------------------------------------------------------------------


def test_add_writes_one_word_and_keeps_the_rest(runner: Runner, remote: Remote, project: Path) -> None:
    path = project / "machines.yaml"
    assert (
        runner.ok("skills", "add", "old-mini", "swiftlint").stdout == "Declared swiftlint for mini in machines.yaml\n"
    )
    assert path.read_text() == MACHINES.replace("[good, gone]", "[good, gone, swiftlint]")
    again = runner.ok("skills", "add", "mini", "swiftlint", "--format", "json").json
    assert again["result"] == "there"
    runner.ok("skills", "add", "plain", "ios_build")
    assert "  plain: {address: 10.0.0.8, capabilities: [ios_build]}\n" in path.read_text()
    assert runner.ok("config", "machines.plain.capabilities", "--format", "json").json["value"] == ["ios_build"]


def test_add_can_be_tried_and_refuses_unknown_names(runner: Runner, remote: Remote, project: Path) -> None:
    path = project / "machines.yaml"
    assert "Would declare docker for mini" in runner.ok("skills", "add", "mini", "docker", "--dry-run").stdout
    for words, sentence in (
        (("mni", "docker"), "error: no machine is called 'mni' in machines.yaml (did you mean 'mini'?)\n"),
        (("mini", "dokcer"), "error: no skill and no task type is called 'dokcer' (did you mean 'docker'?)\n"),
    ):
        ended = runner("skills", "add", *words)
        assert (ended.code, ended.stderr) == (2, sentence)
    assert path.read_text() == MACHINES
    assert "it is a word of your own" in runner.ok("skills", "add", "mini", "big_screen").stderr


def test_add_makes_the_file_and_its_first_machine(runner: Runner, project: Path) -> None:
    assert runner.ok("skills", "add", "mini", "docker").stdout.startswith("Declared machine mini in machines.yaml")
    data = yaml.safe_load((project / "machines.yaml").read_text())
    assert data == {"machines": {"mini": {"capabilities": ["docker"]}}}
    assert runner("skills", "add", "mni", "docker").code == 2
    (project / "machines.yaml").write_text("# ours\nmachines:\n")
    runner.ok("skills", "add", "me", "docker", env={"RUNNER_DEVICE_ID": "me"})
    text = (project / "machines.yaml").read_text()
    assert text.startswith("# ours\nmachines:\n  me:\n    os: ")


def test_many_that_add_at_once_lose_nothing(runner: Runner, remote: Remote, project: Path) -> None:
    words = [f"word_{n}" for n in range(6)]
    started = [runner.start("skills", "add", "mini", word) for word in words]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    text = (project / "machines.yaml").read_text()
    assert set(yaml.safe_load(text)["machines"]["mini"]["capabilities"]) == {"good", "gone", *words}
    assert "# what it does" in text
    assert sorted(path.name for path in project.iterdir()) == [".runner", "machines.yaml", "skills.yaml"]
