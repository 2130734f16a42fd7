"""The benchmarks run: a part of them, as `make bench` would, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def test_a_part_of_the_benchmarks_reports_its_goals_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    found = tmp_path / "found.json"
    arguments = ["--quick", "--only", "latency", "--store", "sqlite", "--folder", folder, "--json", found]
    command = [sys.executable, REPOSITORY / "benchmarks" / "run.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (section,) = json.loads(found.read_text())["sections"]
    assert [goal["what"] for goal in section["goals"]] == [
        "SQLite FULL, p50 ÷ raw ping + claim",
        "SQLite NORMAL, p50 ÷ raw ping + claim",
    ]
    assert all(goal["value"] > 0 for goal in section["goals"])
    assert "of 2 goals reached" in done.stdout
    assert list(folder.iterdir()) == []


def test_a_part_that_is_not_there_is_named_in_one_line() -> None:
    command = [sys.executable, REPOSITORY / "benchmarks" / "run.py", "--only", "clams"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "invalid choice: 'clams'" in done.stderr
    assert "Traceback" not in done.stderr
