"""The faults themselves: a clock that is wrong, a disk that is full, a process stopped in the middle of a write."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from runner.testing import faults

if TYPE_CHECKING:
    from pathlib import Path

_CLOCKS = """
import datetime, json, sqlite3, time
print(json.dumps({
    "time": time.time(), "ns": time.time_ns() / 1e9, "gettime": time.clock_gettime(time.CLOCK_REALTIME),
    "datetime": datetime.datetime.now().timestamp(), "monotonic": time.monotonic(),
}))
"""


def _clocks(env: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _CLOCKS], env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    clocks: dict[str, float] = json.loads(done.stdout)
    return clocks


@pytest.mark.parametrize("compiler", ["cc", None], ids=["library", "module"])
def test_a_skewed_process_sees_another_time_and_the_same_monotonic_clock(tmp_path: Path, compiler: str | None) -> None:
    for seconds in (3600, -3600):
        clocks = _clocks(faults.skewed(tmp_path, seconds, compiler=compiler))
        assert abs(clocks.pop("monotonic") - time.monotonic()) < 30
        for name, value in clocks.items():
            assert abs(value - time.time() - seconds) < 30, name


@pytest.mark.parametrize("compiler", ["cc", None], ids=["library", "module"])
def test_a_clock_may_jump_to_and_fro(tmp_path: Path, compiler: str | None) -> None:
    env = {**os.environ, **faults.skewed(tmp_path, 3600, flip=1, compiler=compiler)}
    script = "import time\nfor _ in range(25): print(time.time()); time.sleep(0.1)"
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    seen = [float(line) - time.time() for line in done.stdout.splitlines()]
    assert any(offset > 3000 for offset in seen)
    assert any(offset < -3000 for offset in seen)


def test_a_full_disk_refuses_writes_until_there_is_room(tmp_path: Path) -> None:
    with faults.SmallDisk(tmp_path / "disk") as disk:
        write = f"head -c 200000 /dev/zero >> {disk.folder}/file && wc -c < {disk.folder}/file"
        assert disk.run(["/bin/sh", "-c", write]).stdout.strip() == "200000"
        disk.fill()
        assert disk.run(["/bin/sh", "-c", write]).returncode != 0
        disk.free()
        done = disk.run(["/bin/sh", "-c", write])
        assert done.returncode == 0
        assert int(done.stdout) >= 400000


def test_modes_of_files_apply_to_a_program_without_override(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    done = subprocess.run(faults.without_override(["touch", f"{folder}/file"]), capture_output=True, text=True)
    folder.chmod(0o755)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_a_process_is_stopped_in_the_middle_of_a_write(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    db = sqlite3.connect(store)
    db.execute("PRAGMA journal_mode=WAL").fetchall()
    db.execute("CREATE TABLE t (n)")
    script = (
        "import sqlite3, sys, time\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "while True:\n db.execute('BEGIN IMMEDIATE'); db.execute('INSERT INTO t VALUES (1)'); db.execute('COMMIT')\n"
        " time.sleep(0.01)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(store)])
    try:
        while not db.execute("SELECT count(*) FROM t").fetchone()[0]:
            time.sleep(0.01)
        assert faults.stop_in_write(process.pid, store)
        assert faults.holds_write_lock(process.pid, store)
        assert not faults.holds_write_lock(os.getpid(), store)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sqlite3.connect(store, timeout=0.1).execute("BEGIN IMMEDIATE")
        os.kill(process.pid, signal.SIGCONT)
        other = sqlite3.connect(store, timeout=10, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("COMMIT")
        other.close()
    finally:
        process.kill()
        process.wait()
        db.close()


def test_the_processes_of_a_variable_are_found(tmp_path: Path) -> None:
    value = str(tmp_path)
    assert faults.pids_with("FAULT_TEST", value) == []
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, "FAULT_TEST": value})
    try:
        while not faults.pids_with("FAULT_TEST", value):
            time.sleep(0.01)
        assert faults.pids_with("FAULT_TEST", value) == [process.pid]
    finally:
        process.kill()
        process.wait()
    assert faults.pids_with("FAULT_TEST", value) == []
