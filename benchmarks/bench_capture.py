"""Captured throughput: a program's output through a keeper with redaction, beside a raw read-and-write loop.

Interleaved rounds of the same producer writing to a pipe: `raw` is `os.read(64 KiB)` to a file,
`keeper` is `Keeper.run` with three known secrets and all built-in key formats. Prints medians of the
throughput and their ratio, the CPU seconds that either took to capture a gigabyte (steadier on a busy
machine), and the keeper's peak memory. Run `python benchmarks/bench_capture.py [--json]`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from runner.keeper import Keeper, Redaction

GOAL = 0.8
SECRETS = tuple(f"secret-value-number-{n}-{'abcdef0123456789' * 2}" for n in range(3))
LOG_LINES = [
    "[{n:5d}/9999] Building CXX object src/core/CMakeFiles/engine.dir/queue_{n}.cpp.o",
    "src/core/main_loop.cpp:{n}:17: warning: unused variable 'index_{n}' [-Wunused-variable]",
    "2026-01-31T12:00:00.{n:03d}Z INFO  worker-3 finished job id=5f0c{n:04x}-77aa exit=0 in 1.2{n} s",
    "PASS tests/test_queue.py::test_claim_is_fenced[{n}-sqlite] (0.0{n} s)",
    "npm http fetch GET 200 https://packages.example/some-package/-/some-package-1.{n}.0.tgz {n}ms (cache miss)",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--megabytes", type=int, default=1000, help="output per run (default 1000)")
    parser.add_argument("--folder", type=Path, default=None, help="where the logs go (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        report = measure(Path(name), options.megabytes * 1_000_000, options.rounds)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{options.megabytes} MB of output, medians of {options.rounds} interleaved rounds, MB/s")
    print(
        f"{'output':<22}{'raw':>8}{'keeper':>8}{'ratio':>7}{'raw CPU':>10}{'keeper CPU':>12}   (goal: ratio >= {GOAL})"
    )
    for row in report["outputs"]:
        speeds = f"{row['raw_mb_s']:>8.0f}{row['keeper_mb_s']:>8.0f}{row['ratio']:>7.2f}"
        print(f"{row['output']:<22}{speeds}{row['raw_cpu_s_gb']:>10.2f}{row['keeper_cpu_s_gb']:>12.2f}")
    print(f"keeper's peak memory: {report['keeper_peak_mb']:.0f} MB")


def measure(folder: Path, size: int, rounds: int) -> dict[str, Any]:
    """One row per kind of output, and the peak resident memory of the keeper over all of them."""
    rows = []
    with Keeper("bench", Redaction(SECRETS)) as keeper:
        for name, argv in producers(folder, size).items():
            raw, kept = [], []
            for _ in range(rounds):
                raw.append(raw_seconds(argv, folder / "raw.log"))
                kept.append(keeper_seconds(keeper, argv, folder, size))
            fast, slow = (statistics.median(wall for wall, _ in times) for times in (raw, kept))
            rows.append(
                {
                    "output": name,
                    "raw_mb_s": size / fast / 1e6,
                    "keeper_mb_s": size / slow / 1e6,
                    "ratio": fast / slow,
                    "raw_cpu_s_gb": statistics.median(cpu for _, cpu in raw) / size * 1e9,
                    "keeper_cpu_s_gb": statistics.median(cpu for _, cpu in kept) / size * 1e9,
                }
            )
        peak = peak_memory(keeper.identity[0])
    return {"bytes": size, "rounds": rounds, "goal": GOAL, "outputs": rows, "keeper_peak_mb": peak / 1e6}


def producers(folder: Path, size: int) -> dict[str, list[str]]:
    """Programs that print `size` bytes without a secret, as fast as they can."""
    lines = "\n".join(line.format(n=n) for n in range(2000) for line in LOG_LINES) + "\n"
    write_file(folder / "log.txt", lines.encode(), size)
    write_file(folder / "near.txt", lines.replace("worker-", "task-").replace("src/", "disk-").encode(), size)
    write_file(folder / "base64.txt", base64.encodebytes(os.urandom(20_000_000)), size)
    return {
        "yes (one line)": ["sh", "-c", f"yes 'some build output line 12345' | head -c {size}"],
        "cat build log": ["cat", str(folder / "log.txt")],
        "cat base64": ["cat", str(folder / "base64.txt")],
        "cat log of near-keys": ["cat", str(folder / "near.txt")],
        "head /dev/zero": ["head", "-c", str(size), "/dev/zero"],
    }


def write_file(path: Path, block: bytes, size: int) -> None:
    """Fill a file with repetitions of `block`."""
    with path.open("wb") as file:
        left = size
        while left > 0:
            left -= file.write(block[:left])


def raw_seconds(argv: list[str], log: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the plainest capture: a pipe of the default size, 64 KiB at a time, no redaction."""
    before, began = cpu_seconds(os.getpid()), time.perf_counter()
    read_end, write_end = os.pipe()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=write_end)
    os.close(write_end)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    while data := os.read(read_end, 1 << 16):
        os.write(out, data)
    process.wait()
    os.close(out)
    os.close(read_end)
    wall = time.perf_counter() - began
    log.unlink()
    return wall, cpu_seconds(os.getpid()) - before


def keeper_seconds(keeper: Keeper, argv: list[str], folder: Path, size: int) -> tuple[float, float]:
    """Wall and CPU seconds of a capture by the keeper."""
    pid = keeper.identity[0]
    before, began = cpu_seconds(pid), time.perf_counter()
    result = keeper.run(
        argv, cwd=folder, env=dict(os.environ), stdin=None, stdout=folder / "out", stderr=folder / "err"
    )
    wall = time.perf_counter() - began
    assert abs(result.stdout_bytes - size) < size * 0.001, result  # random data may hold what looks like a key
    (folder / "out").unlink()
    return wall, cpu_seconds(pid) - before


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used itself (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> int:
    """The peak resident memory of a process in bytes (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
