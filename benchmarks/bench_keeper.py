"""What ownership costs: launch, reap and proof of emptiness by a keeper, beside a raw spawn and wait.

Interleaved rounds of `/bin/true`, one after the other: `posix_spawn` and `waitpid`; `subprocess.Popen`
and `wait`; `Keeper.run` with both logs captured. Prints the median of each and what the keeper adds to
each. Also the time from nothing to the first result of a new keeper, and a sweep of all processes.
Run `python benchmarks/bench_keeper.py [--json]`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runner.keeper import Keeper, Redaction, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL_MS = 1.0
PROGRAM = "/bin/true"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=20, help="interleaved rounds (default 20)")
    parser.add_argument("--launches", type=int, default=50, help="launches per round and way (default 50)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = measure(Path(name), options.rounds, options.launches)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{PROGRAM}, medians of {options.rounds} interleaved rounds of {options.launches}, milliseconds")
    print(f"  posix_spawn + waitpid             {report['posix_spawn_ms']:7.3f}")
    print(f"  subprocess.Popen + wait           {report['popen_ms']:7.3f}")
    print(f"  Keeper.run                        {report['keeper_ms']:7.3f}")
    print(f"  keeper over posix_spawn           {report['over_posix_spawn_ms']:7.3f}   (goal: <= {GOAL_MS})")
    print(f"  keeper over Popen                 {report['over_popen_ms']:7.3f}")
    print(f"  a new keeper and its first result {report['start_ms']:7.3f}")
    print(f"  sweep of {report['processes']} processes{'':<17}{report['sweep_ms']:7.3f}")


def measure(folder: Path, rounds: int, launches: int) -> dict[str, float]:
    """Medians in milliseconds over all launches of all rounds."""
    times: dict[str, list[float]] = {"posix_spawn": [], "popen": [], "keeper": []}
    with Keeper("bench", Redaction()) as keeper:
        ways: dict[str, Callable[[], object]] = {
            "posix_spawn": lambda: os.waitpid(os.posix_spawn(PROGRAM, [PROGRAM], os.environ), 0),
            "popen": lambda: subprocess.Popen([PROGRAM]).wait(),
            "keeper": lambda: run(keeper, folder),
        }
        for way in ways.values():
            way()
        for _ in range(rounds):
            for name, way in ways.items():
                times[name] += [timed(way) for _ in range(launches)]
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "rounds": rounds,
        "launches": launches,
        "goal_ms": GOAL_MS,
        **{f"{name}_ms": value for name, value in medians.items()},
        "over_posix_spawn_ms": medians["keeper"] - medians["posix_spawn"],
        "over_popen_ms": medians["keeper"] - medians["popen"],
        "start_ms": statistics.median(timed(lambda: start(folder)) for _ in range(rounds)),
        "sweep_ms": statistics.median(timed(sweep) for _ in range(rounds)),
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
    }


def run(keeper: Keeper, folder: Path) -> None:
    """One launch by a keeper, both streams captured."""
    keeper.run(
        [PROGRAM], cwd=folder, env=dict(os.environ), stdin=None, stdout=folder / "stdout", stderr=folder / "stderr"
    )


def start(folder: Path) -> None:
    """A keeper from its start over one result to its end."""
    with Keeper("bench", Redaction()) as keeper:
        run(keeper, folder)


def timed(way: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    began = time.perf_counter()
    way()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
