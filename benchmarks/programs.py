"""The benchmarks that are programs of their own: run, and their JSON turned into tables and goals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report import Goal, Section, Table

if TYPE_CHECKING:
    from setting import Setting

ARGUMENTS: dict[str, tuple[list[str], list[str]]] = {
    "startup": (["--rounds", "12"], ["--rounds", "4"]),
    "keeper": (["--rounds", "10"], ["--rounds", "4", "--launches", "20"]),
    "capture": (["--rounds", "2"], ["--rounds", "2", "--megabytes", "60"]),
}
"""By name: what `bench_NAME.py` gets, and what it gets for a quick run."""


def run(name: str, setting: Setting) -> Section:
    """Run `bench_NAME.py`."""
    setting.say(name)
    path = Path(__file__).with_name(f"bench_{name}.py")
    command = [sys.executable, str(path), "--json", *ARGUMENTS[name][setting.quick]]
    env = {**os.environ, "TMPDIR": str(setting.folder)}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=env, timeout=300, check=False)
    # A program may end with 1 for a missed goal; without its figures something broke.
    found: dict[str, Any] = json.loads(done.stdout)
    section = Section(name, data=found)
    {"startup": _startup, "keeper": _keeper, "capture": _capture}[name](section, found)
    return section


def _startup(section: Section, found: dict[str, Any]) -> None:
    table = Table("from spawn to exit", ["", "ms", "÷ pytest --version"])
    for row in found["commands"]:
        table.rows.append((row["command"], row["ms"], row["ratio"]))
        if row["goal"] is not None:
            section.goals.append(Goal(f"{row['command']} ÷ pytest --version", row["ratio"], row["goal"]))
    section.tables = [table]


def _keeper(section: Section, found: dict[str, Any]) -> None:
    figures = [
        (key.removesuffix("_ms").replace("_", " "), value)
        for key, value in found.items()
        if key[-3:] == "_ms" and key != "goal_ms"
    ]
    section.tables = [Table("a launch, reaped, its tree proven empty", ["", "ms"], list(figures))]
    over = found["over_posix_spawn_ms"]
    section.goals = [Goal("a launch over a bare spawn", over, found["goal_ms"], unit=" ms")]


def _capture(section: Section, found: dict[str, Any]) -> None:
    table = Table("captured and redacted, MB/s", ["", "raw", "keeper", "ratio"])
    for row in found["outputs"]:
        table.rows.append((row["output"], row["raw_mb_s"], row["keeper_mb_s"], row["ratio"]))
        section.goals.append(Goal(f"{row['output']}, ÷ raw loop", row["ratio"], found["goal"], at_least=True))
    section.tables = [table]
    section.notes = [f"the keeper's peak memory: {found['keeper_peak_mb']:.0f} MB"]
