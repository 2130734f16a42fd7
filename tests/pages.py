"""Pages of documentation as programs: files are written, sessions run as they stand, what they print is compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]*?) -->\n)?"
    r"^```(?P<kind>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_ID = re.compile(r"\b[0-9a-z]{12}\b|\b[0-9a-f]{12,64}\b")


@dataclass(frozen=True)
class Block:
    """A code block: its language, the file it is (`title`), and why it is not run, when it is not."""

    kind: str
    text: str
    title: str | None = None
    reason: str | None = None


def blocks(page: str) -> list[Block]:
    """The code blocks of a page, in order."""
    return [Block(m["kind"], m["text"], m["title"], m["reason"]) for m in _BLOCK.finditer(page)]


def programs(folder: Path) -> Path:
    """A folder for PATH with the program, its scripted agent, and this Python as python3."""
    folder.mkdir()
    for name, words in (
        ("runner", "-m runner"),
        ("runner-script-agent", "-m runner.testing.script_agent"),
        ("python3", ""),
    ):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def shell(command: str, cwd: Path, bin: Path) -> tuple[int, str]:
    """Run one command of a session → its exit code and what it printed (stderr as well when it failed)."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=cwd,
        env={**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout if done.returncode in (0, 3) else done.stdout + done.stderr


def session(text: str, cwd: Path, bin: Path) -> int:
    """Run the commands of a `console` block and compare → how many there were."""
    ran, command, expected = 0, "", []
    for line in [*text.splitlines(), "$ "]:
        if not line.startswith("$ "):
            expected.append(line)
            continue
        if command:
            compare(command, expected, *shell(command, cwd, bin))
            ran += 1
        command, expected = line[2:], []
    return ran


def compare(command: str, expected: list[str], code: int, out: str) -> None:
    """What a page shows of an output is the start of real lines; ids, ages, sizes and digests vary."""
    wanted = 0
    if expected and (match := re.fullmatch(r"\[exit (\d+)\]", expected[-1])):
        wanted, expected = int(match[1]), expected[:-1]
    assert code == wanted, f"{command} → {code}\n{out}"
    plain = [" ".join(_ID.sub("ID", line).split()) for line in out.splitlines()]
    for line in expected:
        words = " ".join(line.split()).split("…")[0]
        assert any(real.startswith(words) for real in plain), f"{command}: no line like {line!r} in\n{out}"
