"""Completion as a person uses it: Tab in a real bash; what each parameter offers, in the protocol of each shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.played import Played, add
from tests.terminal import Terminal


@pytest.fixture
def shop(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A project with a task that is done, one that asks, one that waits; `runner` is on PATH."""
    played = Played(project)
    [done], [asks], [waits] = (
        add(project, id="abc111"),
        add(project, id="abd222"),
        add(project, id="xyz333", unit="wu-7"),
    )
    for id, outcome in ((done, "ok"), (asks, "needs_human")):
        [claim] = played.claim()
        assert claim.key == id
        played.settle(claim, outcome, question="?")
    (project / "handlers").mkdir()
    (project / "handlers" / "bake.py").write_text("raise SystemExit('imported')")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "runner"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runner "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    yield {"done": done, "asks": asks, "waits": waits}
    played.close()


def offered(folder: Path, line: str) -> list[str]:
    """What is offered at the end of the line."""
    words = line.split(" ")
    env = {"_RUNNER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ended = subprocess.run(
        ["runner"], cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    return [word.partition(",")[2] for word in ended.stdout.splitlines() if word]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("runner sho", ["show"]),
        ("runner show ", ["xyz333", "abd222", "abc111"]),
        ("runner show ab", ["abd222", "abc111"]),
        ("runner why x", ["xyz333"]),
        ("runner logs abc", ["abc111"]),
        ("runner cancel ", ["xyz333", "abd222"]),
        ("runner retry ", ["abd222", "abc111"]),
        ("runner retry abc111 abd", ["abd222"]),
        ("runner resolve ", ["abd222"]),
        ("runner resolve abd222 ", ["pending", "done", "failed"]),
        ("runner review ", ["abd222"]),
        ("runner submit --after x", ["xyz333"]),
        ("runner submit --type ba", ["bake"]),
        ("runner submit --agent scr", ["script"]),
        ("runner submit --check file", ["file_exists"]),
        ("runner run scr", ["script"]),
        ("runner work --machine ", ["box"]),
        ("runner work --types run_script,ba", ["run_script,bake"]),
        ("runner queue --status pending,f", ["pending,failed"]),
        ("runner queue --work-unit ", ["wu-7"]),
        ("runner artifact up", ["upload"]),
        ("runner artifact list --task abc", ["abc111"]),
        ("runner schema con", ["config"]),
        ("runner schema type run_s", ["run_script"]),
        ("runner config worker.sl", ["worker.slots"]),
        ("runner queue --format js", ["json", "jsonl"]),
        ("runner completion f", ["fish"]),
        ("runner ssh b", ["box"]),
        ("runner skills inst", ["install"]),
        ("runner skills install dock", ["docker"]),
        ("runner skills create ", []),
        ("runner nonsense ", []),
    ],
)
def test_it_offers_what_fits(shop: dict[str, str], project: Path, line: str, words: list[str]) -> None:
    assert offered(project, line) == words


def test_artifacts_are_offered_by_their_ref(runner: Runner, shop: dict[str, str], project: Path) -> None:
    (project / "a.txt").write_text("a")
    ref = runner.ok("artifact", "upload", "a.txt", "--format", "json").json["ref"]
    assert offered(project, "runner artifact download ") == [ref]


def test_without_a_project_there_is_nothing_to_offer_and_no_error(
    shop: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert offered(tmp_path_factory.mktemp("bare"), "runner show ") == []


@pytest.mark.parametrize(("shell", "at"), [("zsh", "2"), ("fish", "")])
def test_other_shells_get_the_meaning_too(shop: dict[str, str], project: Path, shell: str, at: str) -> None:
    env = {"_RUNNER_COMPLETE": f"{shell}_complete", "COMP_WORDS": "runner review ", "COMP_CWORD": at}
    out = subprocess.run(
        ["runner"], cwd=project, env={**os.environ, **env}, capture_output=True, text=True, check=True
    ).stdout
    assert "abd222" in out
    assert "needs_human: Say hello" in out


def test_tab_in_a_real_bash(shop: dict[str, str], project: Path) -> None:
    with Terminal(
        ["bash", "--norc", "--noprofile", "-i"], project, 100, 30, {"PS1": "$ ", "INPUTRC": "/dev/null"}
    ) as shell:
        shell.until("$")
        shell.type("bind 'set enable-bracketed-paste off'; eval \"$(runner completion bash)\"; echo rea''dy\n")
        shell.until("\nready\n$")
        shell.type("runner que\t")
        shell.until("$ runner queue")
        shell.type("--al\t")
        shell.until("$ runner queue --all")
        shell.type("\n")
        shell.until("abc111")
        shell.type("clear; runner show abc\t")
        shell.until("runner show abc111")
        shell.type("\n")
        shell.until("abc111  done")
        shell.type("runner resolve \t")
        shell.until("runner resolve abd222")
        shell.type("do\t\n")
        shell.until("Task abd222 done")
        shell.type("exit\n")
        assert shell.wait() == 0
