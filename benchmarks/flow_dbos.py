"""DBOS as a contender, run by the Python of the peers' environment: `flow_dbos.py chain STEPS`.

A durable workflow of so many steps, each a shell; its journal is an SQLite file in the current folder. It prints
the seconds that the workflow took: its way out waits for polls that have nothing to do with the steps.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time

from dbos import DBOS  # type: ignore[import-not-found]

STEPS = int(sys.argv[2])

DBOS(
    config={
        "name": "bench",
        "system_database_url": "sqlite:///journal.sqlite",
        "run_admin_server": False,
        "enable_otlp": False,
        "log_level": "CRITICAL",
    }
)


@DBOS.step()  # type: ignore[untyped-decorator]
def stage(n: int) -> int:
    return subprocess.run(["sh", "-c", ":"], check=True).returncode


@DBOS.workflow()  # type: ignore[untyped-decorator]
def chain() -> int:
    return sum(stage(n) for n in range(STEPS))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    DBOS.launch()
    began = time.perf_counter()
    failed = chain()
    print(time.perf_counter() - began)
    DBOS.destroy()
    sys.exit(failed)
