"""Start-up of the program beside `pytest --version`, in interleaved rounds of real processes.

Medians of wall time, from spawn to exit, and their ratio to pytest's in the same run. Both are as an
installer leaves them, with compiled modules. `bare` is the interpreter alone, `click` with click
imported: what is left of the rest is ours. Run `python benchmarks/bench_startup.py [--json]`.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import runner
import runner_plugins

TASKS = 20
GOALS = {"runner --version": 0.35, "runner --help": 0.9, "runner queue --format json": 1.3}
BESIDE = "pytest --version"


def main() -> int:
    """Print the figures → 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds (default 25)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = measure(Path(name), options.rounds)
    if options.json:
        print(json.dumps({"rounds": options.rounds, "commands": report}, indent=2))
    else:
        print(f"start-up, medians of {options.rounds} interleaved rounds, {TASKS} tasks in the queue")
        print(f"{'command':<30}{'ms':>8}{'ratio':>8}{'goal':>8}")
        for row in report:
            goal = f"{row['goal']:>8.2f}" if row["goal"] else ""
            print(f"{row['command']:<30}{row['ms']:>8.1f}{row['ratio']:>8.2f}{goal}{'' if row['met'] else '  missed'}")
    return 0 if all(row["met"] for row in report) else 1


def measure(folder: Path, rounds: int) -> list[dict[str, object]]:
    """A row for each command."""
    for package in (runner, runner_plugins):
        compileall.compile_dir(Path(package.__file__ or "").parent, quiet=2)
    env, project = prepare(folder)
    bin = Path(sys.executable).parent
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "click": [sys.executable, "-c", "import click"],
        BESIDE: [str(bin / "pytest"), "--version"],
        **{words: [str(bin / "runner"), *words.split()[1:]] for words in GOALS},
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, argv in commands.items():
            began = time.perf_counter()
            subprocess.run(argv, cwd=project, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if number:  # the first round warms the caches
                taken[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    return [row(name, median, median / medians[BESIDE]) for name, median in medians.items()]


def row(name: str, seconds: float, ratio: float) -> dict[str, object]:
    """One command's figures."""
    goal = GOALS.get(name)
    met = goal is None or ratio <= goal
    return {"command": name, "ms": round(seconds * 1000, 1), "ratio": round(ratio, 3), "goal": goal, "met": met}


def prepare(folder: Path) -> tuple[dict[str, str], Path]:
    """A project with some tasks, and an environment that knows nothing of the person's own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER_", "PYTHON"))}
    env |= {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "CONFIG", "CACHE")}
    project = folder / "project"
    project.mkdir()
    lines = "".join(json.dumps({"type": "run_script", "payload": {"script": "true"}}) + "\n" for _ in range(TASKS))
    (project / "tasks.jsonl").write_text(lines)
    for words in (["init", "--yes"], ["submit", "--from", "tasks.jsonl"]):
        command = [sys.executable, "-m", "runner", *words]
        subprocess.run(command, cwd=project, env=env, check=True, capture_output=True)
    return env, project


if __name__ == "__main__":
    sys.exit(main())
