"""Other programs that run steps, in the same round: make, doit, luigi, and DBOS, which journals every step.

make is the system's. The others live in an environment of their own (`bench-peers` in this one's folder), because
they bring libraries that nothing else here needs. One that can't be had is left out, and said to be.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = ("doit", "luigi", "dbos")
SIDE_BY_SIDE = 10
"""Chains in a DAG: step n needs step n - 10."""

DODO = """DOIT_CONFIG = {{"backend": "sqlite3", "dep_file": "done.db", "verbosity": 0, "reporter": "zero"}}


def task_s():
    for n in range({steps}):
        needs = [f"s:{{n - {back}}}"] if n >= {back} else []
        yield {{"name": str(n), "actions": [["sh", "-c", ":"]], "task_dep": needs}}
"""


@dataclass(frozen=True)
class Peer:
    """A contender: `shapes` are what it can do, `most` the largest number of steps that it is given."""

    name: str
    shapes: tuple[str, ...] = ("chain", "dag")
    most: int = 2000
    durable: bool = False

    def prepare(self, folder: Path, shape: str, steps: int) -> list[str]:
        """The files of a run in an empty folder → the command."""
        back = 1 if shape == "chain" else SIDE_BY_SIDE
        if self.name == "make":
            # With the blank: a plain `sh -c :` is a command that make knows to be nothing, and does not run.
            rules = [f"s{n}:{f' s{n - back}' if n >= back else ''}\n\t@sh -c ': '\n" for n in range(steps)]
            goals = " ".join(f"s{n}" for n in range(max(0, steps - back), steps))
            (folder / "Makefile").write_text(f"all: {goals}\n{''.join(rules)}")
            return ["make", "-s", "-j2"]
        if self.name == "doit":
            (folder / "dodo.py").write_text(DODO.format(steps=steps, back=back))
            return [str(_python()), "-m", "doit", *([] if shape == "chain" else ["-n", "2"])]
        return [str(_python()), str(HERE / f"flow_{self.name}.py"), shape, str(steps)]


def available() -> tuple[list[Peer], list[str]]:
    """Those that are here, and a sentence about each that is not."""
    peers: list[Peer] = []
    missing: list[str] = []
    if shutil.which("make"):
        peers.append(Peer("make"))
    else:
        missing.append("make is left out: it is not on PATH")
    for name in PACKAGES:
        reason = _installed(name)
        if reason:
            missing.append(f"{name} is left out: {reason}")
        elif name == "dbos":
            peers.append(Peer(name, shapes=("chain",), durable=True))
        else:
            # luigi's scheduler looks at all its tasks for each: 2,000 would take most of the time.
            peers.append(Peer(name, most=200 if name == "luigi" else 2000))
    return peers, missing


def _python() -> Path:
    return Path(sys.prefix) / "bench-peers" / "bin" / "python"


def _installed(name: str) -> str:
    """Have the package in the peers' environment → why that can't be, or nothing."""
    python = _python()
    if not python.exists():
        venv.create(python.parent.parent, with_pip=True)
    if subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0:
        return ""
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", name]
    try:
        done = subprocess.run(pip, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "it could not be installed within two minutes"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines() or ["pip says nothing"]
    return f"it could not be installed: {said[-1]}"
