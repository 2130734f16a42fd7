"""Luigi as a contender, run by the Python of the peers' environment: `flow_luigi.py chain|dag STEPS`.

A task is complete when its output is there, which is all that luigi knows of an earlier run: an empty file each.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import luigi  # type: ignore[import-not-found]

SHAPE, STEPS = sys.argv[1], int(sys.argv[2])
BACK = 1 if SHAPE == "chain" else 10


class Stage(luigi.Task):  # type: ignore[misc]
    """A step of the chain, or of the ten chains that lie side by side."""

    n = luigi.IntParameter()

    def requires(self) -> list[Stage]:
        return [Stage(self.n - BACK)] if self.n >= BACK else []

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(f"done/{self.n}")

    def run(self) -> None:
        subprocess.run(["sh", "-c", ":"], check=True)
        Path(self.output().path).touch()


if __name__ == "__main__":
    sys.setrecursionlimit(100_000)
    logging.disable(logging.CRITICAL)
    Path("done").mkdir()
    last = [Stage(n) for n in range(max(0, STEPS - BACK), STEPS)]
    if not luigi.build(last, local_scheduler=True, workers=1 if SHAPE == "chain" else 2, log_level="CRITICAL"):
        sys.exit(1)
