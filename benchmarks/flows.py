"""Workflows of steps that do nothing: time per step beside a raw loop and other programs, memory of long runs.

A run is a process of its own, as people start it. What a run of one step takes is its start-up, and is taken off.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import flow_peers
from report import Goal, Section, Table, median, number, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from setting import Setting

SHAPES: Final = (("chain", 200), ("chain", 2000), ("dag", 200), ("dag", 2000))
PLANNED: Final = 10_000
LOOPS: Final = {False: (1000, 10_000), True: (300, 3000)}
"""Iterations of the two runs whose memory is compared; True: a quick benchmark."""
_LAUNCHER: Final = (
    "import os, sys, time; began = time.perf_counter(); pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, "
    "file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]); _, status, used = os.wait4(pid, 0); "
    "print(time.perf_counter() - began, used.ru_maxrss, os.waitstatus_to_exitcode(status))"
)
"""Runs a command → its seconds, its peak memory in KB, its exit code. It is small: a process inherits the peak."""

Key = tuple[str, str, int]
"""Who, the shape, the number of steps."""


@dataclass
class Bench:
    """A project with workflows in it, an environment that knows nothing of the person's own, and the peers."""

    setting: Setting
    peers: list[flow_peers.Peer]

    def __post_init__(self) -> None:
        self.project = self.setting.folder / "flows"
        (self.project / "workflows").mkdir(parents=True)
        known = {name: value for name, value in os.environ.items() if not name.startswith("RUNNER_")}
        homes = {f"XDG_{kind}_HOME": str(self.setting.folder / f"flows-{kind}") for kind in ("STATE", "CONFIG")}
        self.env = {**known, **homes}
        self._folders = itertools.count()
        for shape, steps in {*SHAPES, ("chain", 1), ("dag", 1), ("plan", PLANNED)}:
            self.write(f"{shape}-{steps}", _workflow(shape, steps))
        for rounds in LOOPS[self.setting.quick]:
            self.write(f"loop-{rounds}", _loop(rounds))
        self._call([*self.runner, "init", "--yes"], self.project)

    @property
    def runner(self) -> list[str]:
        return [sys.executable, "-m", "runner"]

    def write(self, name: str, text: str) -> None:
        (self.project / "workflows" / f"{name}.yaml").write_text(text)

    def launched(self, *words: str) -> tuple[float, float]:
        """A command of runner → its seconds and the megabytes that it had at its peak."""
        argv = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *self.runner, *words]
        seconds, kilobytes, code = self._call(argv, self.project).split()
        if code != "0":
            raise RuntimeError(f"`runner {' '.join(words)}` ended with {code}")
        return float(seconds), float(kilobytes) / 1024

    def ours(self, shape: str, steps: int) -> float:
        began = time.perf_counter()
        self._call([*self.runner, "workflow", "run", f"{shape}-{steps}", "-q"], self.project)
        return time.perf_counter() - began

    def peer(self, peer: flow_peers.Peer, shape: str, steps: int) -> float:
        """A run that has nothing from an earlier one; what it prints is its own clock."""
        folder = self.setting.folder / f"flow-{next(self._folders)}"
        folder.mkdir()
        command = peer.prepare(folder, shape, steps)
        began = time.perf_counter()
        printed = self._call(command, folder)
        took = time.perf_counter() - began
        return float(printed) if peer.durable else took

    def _call(self, argv: list[str], folder: Path) -> str:
        done = subprocess.run(argv, cwd=folder, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv[:6])} ended with {done.returncode}: {done.stderr[-500:]}")
        return done.stdout


def run(setting: Setting) -> Section:
    """All of it; on SQLite, where the journal of a run in the foreground is."""
    setting.say("workflows: peers")
    peers, missing = flow_peers.available()
    bench = Bench(setting, peers)
    section = Section("workflows", notes=missing)
    _steps(bench, section)
    _sizes(bench, section)
    return section


def _steps(bench: Bench, section: Section) -> None:
    """Rounds of everybody, one after the other."""
    times: dict[Key, list[float]] = defaultdict(list)
    for n in range(2 if bench.setting.quick else 5):
        for shape, steps in SHAPES:
            if steps > 200 and n > (0 if bench.setting.quick else 2):
                continue
            bench.setting.say(f"workflows: {shape} of {steps:,}, round {n + 1}")
            _round(bench, shape, steps, times)
    _report(bench, section, {key: [1000 * each for each in values] for key, values in times.items()})


def _round(bench: Bench, shape: str, steps: int, times: dict[Key, list[float]]) -> None:
    times["raw", shape, steps].append(_raw(steps) / steps)
    start = bench.ours(shape, 1)
    times["start", shape, steps].append(start)
    times["runner", shape, steps].append((bench.ours(shape, steps) - start) / (steps - 1))
    for peer in bench.peers:
        if shape in peer.shapes and steps <= peer.most:
            start = 0.0 if peer.durable else bench.peer(peer, shape, 1)
            took = bench.peer(peer, shape, steps) - start
            times[peer.name, shape, steps].append(took / (steps if peer.durable else steps - 1))


def _report(bench: Bench, section: Section, times: dict[Key, list[float]]) -> None:
    """The table of milliseconds per step, and the goals."""
    names = ["raw", "runner", *(peer.name for peer in bench.peers)]
    heads = [f"{shape} {steps:,}" for shape, steps in SHAPES]
    table = Table("milliseconds per step, less the start-up", ["", *heads])
    for name in names:
        found = [times.get((name, *one)) for one in SHAPES]
        table.rows.append([name, *(median(values) if values else "" for values in found)])
    ratios = {one: ratio(times["runner", *one], times["raw", *one]) for one in SHAPES}
    table.rows.append(["runner ÷ raw", *ratios.values()])
    for (shape, steps), value in ratios.items():
        section.goals.append(Goal(f"{shape} of {steps:,}, ÷ raw loop", value, 2.5))
    for shape in ("chain", "dag"):
        grown = ratios[shape, 2000] / ratios[shape, 200]
        section.goals.append(Goal(f"{shape}, a step of 2,000 ÷ one of 200", grown, 1.1))
    for peer in bench.peers:
        if peer.durable:
            value = ratio(times["runner", "chain", 200], times[peer.name, "chain", 200])
            section.goals.append(Goal(f"chain of 200, ÷ {peer.name}", value, 1.0))
    start = median(value for key, values in times.items() if key[0] == "start" for value in values)
    section.tables.append(table)
    section.notes.append(f"a run of one step, from spawn to exit: {number(start)} ms")
    section.data = {" ".join(map(str, key)): values for key, values in times.items()}


def _sizes(bench: Bench, section: Section) -> None:
    """Peak memory: a plan of very many steps, and a loop that goes on and on."""
    bench.setting.say(f"workflows: plan of {PLANNED:,}")
    plans = [bench.launched("workflow", "plan", f"plan-{PLANNED}") for _ in range(2 if bench.setting.quick else 3)]
    seconds, memory = median(one[0] for one in plans), max(one[1] for one in plans)
    section.goals.append(Goal(f"plan of {PLANNED:,} steps", seconds, 2.0, unit=" s"))
    section.goals.append(Goal(f"plan of {PLANNED:,} steps, peak memory", memory, 300.0, unit=" MB"))
    table = Table("peak memory of a loop of one step", ["iterations", "MB"])
    peaks: list[float] = []
    for rounds in LOOPS[bench.setting.quick]:
        bench.setting.say(f"workflows: loop of {rounds:,}")
        peaks.append(bench.launched("workflow", "run", f"loop-{rounds}", "-q")[1])
        table.rows.append([number(rounds), peaks[-1]])
    section.goals.append(Goal("peak memory of ten times the iterations", peaks[1] / peaks[0], 1.15))
    section.tables.append(table)


def _raw(steps: int) -> float:
    """The plainest loop: spawn a shell, wait for it."""
    began = time.perf_counter()
    for _ in range(steps):
        os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", ":"], os.environ), 0)
    return time.perf_counter() - began


def _workflow(shape: str, steps: int) -> str:
    back = flow_peers.SIDE_BY_SIDE
    lines = [f"name: {shape}", "steps:"]
    if shape == "dag":
        lines[1:1] = ["pattern: dag", "max_concurrency: 2"]
    for n in range(steps):
        needs = f", needs: [s{n - back}]" if shape == "dag" and n >= back else ""
        lines.append(f'  - {{id: s{n}, command: ":"{needs}}}')
    return "\n".join([*lines, ""])


def _loop(rounds: int) -> str:
    return f'name: loop\nsteps:\n  - id: again\n    loop: {{max: {rounds}}}\n    steps: [{{id: step, command: ":"}}]\n'
