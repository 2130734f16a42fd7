"""Nothing a child starts survives it: nasty children, killed clients, killed keepers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from keeping import NOTHING, Bench, environment, running, until

from runner.host import start_time
from runner.keeper import Keeper, KeeperDied, processes, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = sys.executable
DEAF = "echo up; while :; do sleep 0.05; done"
ZOMBIES = "import os, time\nfor n in range(20): os.fork() or os._exit(0)\nprint('up', flush=True)\ntime.sleep(99)"

# Each leaves processes that have TOKEN in their command line, prints "up" and exits, or stays.
NASTY = {
    "background": "sleep TOKEN & echo up",
    "session": "setsid sleep TOKEN & echo up",
    "environment": "env -i setsid sleep TOKEN & sleep 0.1; echo up",
    "double fork": "( setsid sh -c 'sleep TOKEN & sleep TOKEN &' & ); sleep 0.1; echo up",
    "deaf": f"echo up; sh -c 'trap \"\" TERM INT HUP; {DEAF}' TOKEN & sleep 0.3",
    "deaf itself": "trap '' TERM; echo up; sleep TOKEN; while :; do sleep 0.05 TOKEN; done",
    "stopped": "sleep TOKEN & kill -STOP $!; echo up",
    "stopped itself": "echo up; kill -STOP $$; : TOKEN",
    "holds the output": "(sleep TOKEN) & echo up",
    "writes on and on": "echo up; yes TOKEN & true",
    "zombies": f'{PYTHON} -S -c "{ZOMBIES} # TOKEN"',
    "forks when asked to end": f"sh -c 'trap \"setsid sleep TOKEN & exit\" TERM; {DEAF}; : TOKEN'",
    "many": "for n in $(seq 60); do setsid sleep TOKEN & done; echo up",
    "replaced": "echo up; exec setsid -f sleep TOKEN",
}
BOMB = """
import os, sys, time  # TOKEN
end = time.monotonic() + 60
print('up', flush=True)
count = 0
while time.monotonic() < end:
    if count < 6:
        count += 1
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.002)
    else:
        time.sleep(0.01)
"""
"""Every process forks six times at most, each child in a session of its own; some thousands unless stopped."""


@pytest.fixture
def token() -> Iterator[str]:
    """An argument of `sleep` that nobody else uses; what is left with it is killed after the test."""
    token = f"{uuid.uuid4().int % 10**9 + 1000}.125"
    yield token
    for pid in running(token):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, grace=0.3)
    yield bench
    bench.keeper.close()


def only_keeper_is_left(pid: int) -> bool:
    """Whether the keeper has no child, zombies included."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                return False
    return True


@pytest.mark.parametrize("name", NASTY)
def test_nothing_is_left_when_a_run_returns(bench: Bench, token: str, name: str) -> None:
    result = bench("sh", "-c", NASTY[name].replace("TOKEN", token), timeout=1.5)
    assert bench.stdout.startswith(b"up\n")
    assert running(token) == []
    assert only_keeper_is_left(bench.keeper.identity[0])
    assert result.seconds < 30


def test_a_stopped_program_is_continued_so_that_it_can_tidy_up(bench: Bench) -> None:
    bench("sh", "-c", "trap 'echo tidied; exit' TERM; echo up; kill -STOP $$; sleep 60", timeout=0.3)
    assert bench.stdout == b"up\ntidied\n"


def test_the_table_that_ps_gives_agrees_with_the_one_in_proc() -> None:
    """Where there is no /proc, the table comes from `ps`; both can be had on Linux."""
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    ours, theirs = processes.table()[child.pid], processes._from_ps()[child.pid]
    assert (theirs.parent, theirs.group, theirs.zombie) == (ours.parent, ours.group, ours.zombie)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes._from_ps()[child.pid].zombie
    child.wait()
    assert processes._seconds("1-02:03:04") == 93784
    assert processes._seconds("0:01.50") == 1.5


def test_a_fork_bomb_is_ended(bench: Bench, token: str) -> None:
    result = bench(PYTHON, "-S", "-c", BOMB.replace("TOKEN", token), timeout=0.25)
    assert result.limit == "timeout"
    assert result.survivors > 5
    assert running(token) == []
    assert only_keeper_is_left(bench.keeper.identity[0])


def test_what_had_to_be_ended_is_counted(bench: Bench, token: str) -> None:
    assert bench("sh", "-c", f"sleep {token} & sleep {token} & setsid sleep {token} & true").survivors == 3
    assert bench("sh", "-c", "sleep 0.01 & true").survivors == 0


def test_helpers_that_are_about_to_finish_may_do_so(bench: Bench) -> None:
    result = bench("bash", "-c", "echo through a helper > >(sleep 0.01; cat)")
    assert (bench.stdout, result.survivors, result.exit_code) == (b"through a helper\n", 0, 0)


def test_a_helper_gets_a_signal_it_can_handle_before_it_is_killed(bench: Bench, tmp_path: Path) -> None:
    code = "trap 'echo tidied > tidied; exit' TERM; while :; do sleep 0.02; done"
    bench("sh", "-c", f"sh -c '{code.replace(chr(39), chr(34))}' & sleep 0.2", cwd=tmp_path)
    assert (tmp_path / "tidied").read_text() == "tidied\n"


CLIENT = """
import sys, threading
from pathlib import Path
from runner.keeper import Keeper, Redaction
folder, scripts = Path(sys.argv[1]), sys.argv[2:]
def work(number, script):
    keeper = Keeper(f"slot-{number}", Redaction(), grace=0.3)
    sys.stdout.write("%d %s\\n" % keeper.identity); sys.stdout.flush()
    keeper.run(["sh", "-c", script], cwd=folder, env={"PATH": "/usr/local/bin:/usr/bin:/bin"}, stdin=None,
               stdout=folder / f"{number}.out", stderr=folder / f"{number}.err")
threads = [threading.Thread(target=work, args=item) for item in enumerate(scripts)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def client(folder: Path, *scripts: str) -> tuple[subprocess.Popen[str], list[tuple[int, str]]]:
    """A process with a keeper for each script, and the keepers' identities, once all scripts have printed "up"."""
    process = subprocess.Popen([PYTHON, "-c", CLIENT, str(folder), *scripts], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    keepers = [(int(pid), start) for pid, start in (process.stdout.readline().split() for _ in scripts)]
    outs = [folder / f"{number}.out" for number in range(len(scripts))]
    assert until(lambda: all(out.exists() and b"up" in out.read_bytes() for out in outs))
    return process, keepers


def staying(name: str, token: str) -> str:
    """The nasty script, made to stay."""
    return NASTY[name].replace("TOKEN", token) + f"; sleep {token}"


def test_nothing_survives_when_the_client_is_killed(tmp_path: Path, token: str) -> None:
    scripts = [staying(name, token) for name in ("environment", "double fork", "deaf", "stopped", "background")]
    process, keepers = client(tmp_path, *scripts)
    assert len(running(token)) >= 10
    process.kill()
    process.communicate()
    assert until(lambda: not running(token)), running(token)
    assert until(lambda: not any(start_time(pid) for pid, _ in keepers))


def test_a_keeper_that_was_not_ready_yet_dies_with_its_client(tmp_path: Path) -> None:
    start_one = "import os; from runner.keeper import Keeper, Redaction; keeper = Keeper('x', Redaction())"
    code = f"{start_one}; print(*keeper.identity, flush=True); os.kill(os.getpid(), 9)"
    ended = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    pid, start = ended.stdout.split()
    assert until(lambda: start_time(int(pid)) != start)


def test_a_run_whose_keeper_is_killed_raises_at_once_and_leaves_nothing(bench: Bench, token: str) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            bench(
                "sh", "-c", f"sleep {token} & (setsid sleep {token} &); env -i sleep {token} & echo up; sleep {token}"
            )
        except KeeperDied as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert until(lambda: len(running(token)) >= 5)  # the shell itself has it in its script
    killed_at = time.monotonic()
    os.kill(bench.keeper.identity[0], signal.SIGKILL)
    thread.join(20)
    assert time.monotonic() - killed_at < 10
    assert "the keeper of test (pid" in str(failed[0])
    assert running(token) == []
    assert not bench.keeper.alive
    with pytest.raises(KeeperDied):
        bench("true")
    with Keeper("next", NOTHING) as another:
        bench.keeper.close()
        bench.keeper = another
        assert bench("true").exit_code == 0


def test_sweep_ends_what_dead_keepers_left_and_nothing_else(bench: Bench, tmp_path: Path, token: str) -> None:
    ours = threading.Thread(target=lambda: bench("sh", "-c", f"exec sleep {token}0"))
    ours.start()
    process, [(keeper, _)] = client(tmp_path, f"sleep {token} & (setsid sleep {token} &) ; echo up; exec sleep {token}")
    assert until(lambda: len(running(token)) >= 5)  # three of theirs, one of ours, the client with its script
    bystander = subprocess.Popen(["sleep", f"{token}1"])
    os.kill(process.pid, signal.SIGSTOP)  # a client that can't sweep for itself
    os.kill(keeper, signal.SIGKILL)
    assert until(lambda: start_time(keeper) is None)
    sweep()
    assert set(running(token)) - {process.pid} == {bystander.pid, *running(f"{token}0")}
    assert len(running(f"{token}0")) == 1
    for each in (process, bystander):
        each.kill()
        each.communicate()
    bench.keeper.kill()
    ours.join()


def test_a_reused_pid_does_not_make_a_keeper_alive(token: str) -> None:
    marked = subprocess.Popen(["sleep", token], env={"RUNNER_KEEPER": f"{os.getpid()}:{start_time(os.getpid())}"})
    sweep()
    assert marked.poll() is None
    marked.kill()
    marked.wait()
    marked = subprocess.Popen(["sleep", token], env={"RUNNER_KEEPER": f"{os.getpid()}:1"})
    sweep()
    assert marked.wait() == -9


def test_sweep_does_not_touch_a_session_that_no_keeper_began(token: str) -> None:
    script = f"RUNNER_KEEPER={os.getpid()}:1 sleep {token}1 & wait; exec sleep {token}2"
    leader = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    # A worker of another test may sweep it away before it is seen here: that would be the same sweep.
    until(lambda: any(b"RUNNER_KEEPER" in environment(pid) for pid in running(f"{token}1")), 5)
    sweep()
    assert until(lambda: running(f"{token}1") == [])
    assert running(f"{token}2") == [leader.pid]
    leader.kill()
    leader.wait()


def test_sweeping_is_cheap() -> None:
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(100)]
    try:
        took = []
        for _ in range(5):
            began = time.process_time()
            sweep()
            took.append(time.process_time() - began)
        seen = sum(name.isdigit() for name in os.listdir("/proc"))
        assert min(took) / seen < 50e-6, f"{min(took) * 1e3:.1f} ms of CPU for {seen} processes"
    finally:
        for process in processes:
            process.kill()
            process.wait()
