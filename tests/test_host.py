"""Who and where a process is: host ids, start times, proof of life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from runner.host import alive, host_id, start_time


def test_the_host_id_is_the_same_for_processes_that_see_the_same_pids() -> None:
    code = "from runner.host import host_id; print(host_id())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == host_id()
    boot, _, namespace = host_id().partition(":")
    assert boot
    assert namespace.isdigit()


def test_a_process_is_alive_only_with_its_own_start_time() -> None:
    start = start_time(os.getpid())
    assert start is not None
    assert alive(os.getpid(), start)
    assert not alive(os.getpid(), str(int(start) - 1))


def test_a_dead_process_and_a_zombie_are_not_alive() -> None:
    process = subprocess.Popen(["sleep", "60"])
    start = start_time(process.pid)
    assert start is not None
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert start_time(process.pid) is None
    assert not alive(process.pid, start)
    process.wait()
    assert start_time(process.pid) is None


def test_a_stopped_process_is_alive() -> None:
    process = subprocess.Popen(["sleep", "60"])
    start = start_time(process.pid)
    assert start is not None
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    assert alive(process.pid, start)
    process.kill()
    process.wait()


def test_a_name_with_parentheses_and_spaces_does_not_confuse() -> None:
    rename = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'a) R 1 (b', 0, 0, 0); "
    code = rename + "print('up', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    before = start_time(process.pid)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    assert start_time(process.pid) == before is not None
    process.kill()
    process.communicate()


def test_asking_about_processes_imports_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import runner.host; print(sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "subprocess" not in loaded
