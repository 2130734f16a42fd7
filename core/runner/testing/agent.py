"""Agents for tests: an agent CLI of any name that says what it is told to, as a real program on PATH."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PROGRAM = """#!{python} -IS
import json, os, sys, time
place = {place!r}
given = sys.stdin.buffer.read()
calls = len([name for name in os.listdir(place) if name.startswith("call-")])
with open(f"{{place}}/call-{{calls + 1}}.json", "w") as file:
    json.dump({{"argv": sys.argv[1:], "env": dict(os.environ), "stdin": given.decode("utf-8", "replace"),
               "cwd": os.getcwd()}}, file)
for number, size in enumerate({pieces!r}):
    time.sleep({pause!r} if number else 0)
    with open(f"{{place}}/stdout", "rb") as file:
        file.seek(sum({pieces!r}[:number]))
        data = file.read(size)
    while data:
        data = data[os.write(1, data):]
with open(f"{{place}}/stderr", "rb") as file:
    os.write(2, file.read())
time.sleep({stay!r})
os._exit({exit_code!r})
"""


@dataclass(frozen=True, slots=True)
class FakeCli:
    """A program `name` in `folder` (put that on PATH). `calls()` are the runs it has seen, oldest first."""

    name: str
    folder: Path
    place: Path

    def calls(self) -> list[dict[str, Any]]:
        """`{argv, env, stdin, cwd}` of each run."""
        found = sorted(self.place.glob("call-*.json"), key=lambda path: int(path.stem[5:]))
        return [json.loads(path.read_text()) for path in found]


def fake_cli(
    folder: Path,
    name: str,
    stdout: bytes,
    *,
    stderr: bytes = b"",
    exit_code: int = 0,
    pieces: Sequence[int] = (),
    pause: float = 0.0,
    stay: float = 0.0,
) -> FakeCli:
    """Write a program that prints recorded output and exits.

    `pieces` are sizes in which stdout is written (default: all at once) with `pause` seconds between;
    `stay` is how long it lives after its last word.
    """
    place = folder / f".{name}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "stdout").write_bytes(stdout)
    (place / "stderr").write_bytes(stderr)
    sizes = [*pieces, len(stdout) - sum(pieces)]
    text = _PROGRAM.format(
        python=sys.executable, place=str(place), pieces=sizes, pause=pause, stay=stay, exit_code=exit_code
    )
    program = folder / name
    program.write_text(text)
    os.chmod(program, 0o755)
    return FakeCli(name, folder, place)
