"""What commands print on a terminal: tables and stories that fit it, colours only where they are wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.played import Played, add
from tests.terminal import Terminal

LONG = "Rewrite the café's übersetzung 日本語 and every other thing that could possibly be in a prompt " * 3
RED = {"ok": False, "summary": f"pytest: {'E ' * 100}", "evidence": {"check": "command", "value": "pytest"}}
GREEN = {"ok": True, "summary": "it is there", "evidence": {"check": "file_exists", "value": "a"}}
EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"


@pytest.fixture
def shop(project: Path) -> Iterator[dict[str, str]]:
    """A project with a task in every state that has long and odd words in all of its fields."""
    agent = "an-agent-with-a-rather-long-name"
    names = ["failed", "asks", "done", "running", "waits"]
    ids = {}
    played = Played(project, id="build-box-in-the-cellar-1a2b3c", machine="build-box-in-the-cellar")
    for name in names:
        [ids[name]] = add(project, payload={"prompt": LONG + EVIL}, agent=agent)
    for name in names[:3]:
        [claim] = played.claim()
        n = played.start(claim, agent=agent)
        folder = played.folder(claim.key, n)
        (folder / "stdout.log").write_text("out\n")
        result = {"summary": LONG + EVIL, "verdicts": [RED, GREEN], "usage": {"cost_usd": 0.5, "input_tokens": 1500}}
        outcome = {"failed": "check_failed", "asks": "needs_human", "done": "ok"}[name]
        played.settle(claim, outcome, result, question=LONG if name == "asks" else None)
    played.claim()
    yield ids
    played.close()


def plain(line: str) -> str:
    return re.sub(r"\x1b\[\d*m", "", line)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
@pytest.mark.parametrize(
    "command",
    (
        "queue --all,show DONE,show ASKS,why DONE,why ASKS,why WAITS,status,status ASKS,review,failures,plugins,config"
        ",artifact list,store info"
    ).split(","),
)
def test_it_fits_the_terminal(
    runner: Runner, project: Path, shop: dict[str, str], command: str, columns: int, rows: int
) -> None:
    (project / "runner.yaml").write_text(f"redact: ['{'MYCO-[0-9a-f]+|' * 20}x']\n")
    (project / "report with a long name, to be kept.html").write_text("kept")
    runner.ok("artifact", "upload", "report with a long name, to be kept.html", "--task", shop["done"])
    words = [shop.get(word.lower(), word) if word.isupper() else word for word in command.split()]
    with Terminal([*runner.argv, *words], project, columns, 400) as terminal:
        assert terminal.wait() == 0
        assert terminal.lines
        told = terminal.raw.decode().replace("\r\n", "\n").split("\n")
        from runner.cli.output import width

        for line in map(plain, told):
            # Only one word that is longer than a row (a path) goes on where the terminal wraps it.
            before, _, last = line.rpartition(" ")
            assert width(line) <= columns or (width(before) <= columns and width(last) > columns - 24), line
        assert b"owned" not in terminal.raw or b"\x1b]" not in terminal.raw
        assert not re.search(rb"\x1b(?!\[\d*m)|\x07|\xc2\x9b|\xe2\x80\xae", terminal.raw)
    whole = runner.ok(*words)
    assert "\x1b" not in whole.stdout


def test_ids_are_whole_at_80_columns(runner: Runner, project: Path, shop: dict[str, str]) -> None:
    with Terminal([*runner.argv, "queue", "--all"], project) as terminal:
        assert terminal.wait() == 0
        for id in shop.values():
            assert any(line.startswith(f"{id}  ") for line in terminal.lines)
        assert all("Rewrite" in line or "check_failed" in line for line in terminal.lines[1:]), terminal.text


COLOURS = [
    ({}, True, True),
    ({"NO_COLOR": "1"}, True, False),
    ({"NO_COLOR": ""}, True, True),
    ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ({"TERM": "dumb"}, True, False),
    ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ({"CLICOLOR": "0"}, True, False),
    ({"FORCE_COLOR": "0"}, True, False),
    ({}, False, False),
    ({"FORCE_COLOR": "1"}, False, True),
    ({"CLICOLOR_FORCE": "1"}, False, True),
    ({"CLICOLOR_FORCE": "0"}, False, False),
    ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
]


@pytest.mark.parametrize(("env", "terminal", "painted"), COLOURS, ids=[json.dumps(c[0]) + str(c[1]) for c in COLOURS])
def test_colours_are_where_they_are_wanted(
    runner: Runner, project: Path, shop: dict[str, str], env: dict[str, str], terminal: bool, painted: bool
) -> None:
    for words, sign in (["queue", "--all"], "\x1b[32mdone"), (["why", shop["done"]], "\x1b[31mRED\x1b[0m command"):
        if terminal:
            with Terminal([*runner.argv, *words], project, 200, env=env) as shown:
                assert shown.wait() == 0
                out = shown.raw.decode()
        else:
            out = runner.ok(*words, env=env).stdout
        assert ("\x1b" in out) is painted
        assert (sign in out) is painted


def test_a_line_goes_on_below_where_it_began(runner: Runner, project: Path, shop: dict[str, str]) -> None:
    with Terminal([*runner.argv, "review"], project, 80, 60) as terminal:
        assert terminal.wait() == 0
        first = next(n for n, line in enumerate(terminal.lines) if line.startswith("  question  Rewrite"))
        assert terminal.lines[first + 1].startswith(" " * 12)
        assert not terminal.lines[first + 1].startswith(" " * 13)
        assert not terminal.lines[first].endswith("…")
    assert f"  question  {LONG.strip()}" in runner.ok("review").stdout


def test_json_is_never_painted(runner: Runner, project: Path, shop: dict[str, str]) -> None:
    out = runner.ok("queue", "--all", "--format", "json", env={"FORCE_COLOR": "1"})
    assert len(out.items) == 5
