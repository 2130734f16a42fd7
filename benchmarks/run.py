"""All benchmarks in one run: `python benchmarks/run.py [--quick] [--only NAME] [--json FILE]`.

Ratios and medians of interleaved rounds. Nothing is left behind; everything lives in a temporary folder on a real disk.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sqlite3
import time
from pathlib import Path

import programs
from report import Section
from setting import Setting

MODULES = {"claims": "queue_bench", "enqueue": "enqueue", "latency": "latency", "idle": "idle", "workflows": "flows"}
"""Parts that share a folder, a server and a crew."""


def main() -> None:
    options = _options()
    names = options.only or [*MODULES, *programs.ARGUMENTS]
    setting = Setting(options.quick, "postgres" not in options.store, "sqlite" not in options.store, options.folder)
    begun = time.monotonic()
    sections: list[Section] = []
    print(_machine(), flush=True)
    try:
        for name in names:
            section = _module(name, setting) if name in MODULES else programs.run(name, setting)
            print(section, flush=True)
            sections.append(section)
    finally:
        setting.close()
    goals = [goal for section in sections for goal in section.goals]
    missed = [goal for goal in goals if not goal.reached]
    print(f"{len(goals) - len(missed)} of {len(goals)} goals reached in {time.monotonic() - begun:.0f} s")
    for goal in missed:
        print(goal)
    if options.json is not None:
        found = {"machine": _machine(), "quick": options.quick, "sections": [one.to_json() for one in sections]}
        options.json.write_text(json.dumps(found, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*MODULES, *programs.ARGUMENTS]
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no queue of a million (under 90 s)")
    parser.add_argument("--only", action="append", choices=known, metavar="NAME", help=f"one part: {', '.join(known)}")
    parser.add_argument("--store", action="append", default=[], choices=["sqlite", "postgres"], help="one store only")
    parser.add_argument("--folder", help="where the temporary folder goes (default: one on a real disk)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to FILE")
    options = parser.parse_args()
    if len(options.store) == 2:
        options.store = []
    return options


def _module(name: str, setting: Setting) -> Section:
    section: Section = importlib.import_module(MODULES[name]).run(setting)
    return section


def _machine() -> str:
    load = os.getloadavg()[0]
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    return f"{platform.system()} {os.cpu_count()} cores, load {load:.1f}; Python {python}, SQLite {sqlite}"


if __name__ == "__main__":
    main()
