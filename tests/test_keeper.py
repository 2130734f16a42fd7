"""Keeper.run: what a child gets, what comes back, how it is limited and ended, which errors are said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from keeping import Bench, open_fds, running, until

from runner.host import start_time
from runner.keeper import CaptureError, KeeperDied, Redaction, StartError, client

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.keeper.close()


def test_a_program_gets_its_arguments_folder_environment_and_input(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    code = "import os, sys; print(sys.argv[1:], os.getcwd(), sorted(os.environ), sys.stdin.read())"
    result = bench(
        sys.executable,
        "-E",
        "-c",
        code,
        "a b",
        "",
        "$x",
        "ü",
        cwd=folder,
        env={"A": "1", "LC_ALL": "C.UTF-8"},
        stdin=b"in",
    )
    assert result.exit_code == 0, bench.stderr
    assert bench.stdout.decode() == f"['a b', '', '$x', 'ü'] {folder} ['A', 'LC_ALL', 'RUNNER_KEEPER'] in\n"
    assert (result.stdout_bytes, result.stderr_bytes) == (len(bench.stdout), 0)
    assert (result.limit, result.survivors) == (None, 0)


def test_a_child_knows_its_keeper_by_pid_and_start_time(bench: Bench) -> None:
    bench("sh", "-c", "echo $RUNNER_KEEPER", env={"PATH": os.environ["PATH"], "RUNNER_KEEPER": "another"})
    pid, start = bench.keeper.identity
    assert bench.stdout.decode() == f"{pid}:{start}\n"
    assert start_time(pid) == start


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -TERM $$", -15)])
def test_the_exit_code_is_the_programs_own_and_negative_for_a_signal(bench: Bench, script: str, code: int) -> None:
    assert bench("sh", "-c", script).exit_code == code


def test_stdout_and_stderr_are_kept_apart(bench: Bench) -> None:
    result = bench("sh", "-c", "echo out; echo err >&2; exit 1")
    assert (bench.stdout, bench.stderr) == (b"out\n", b"err\n")
    assert (result.stdout_bytes, result.stderr_bytes) == (4, 4)


def test_a_child_leads_a_session_of_its_own_and_ignores_no_signal(bench: Bench) -> None:
    bench("sh", "-c", "echo $$; cut -d' ' -f6 /proc/$$/stat")
    pid, session = bench.stdout.split()
    assert pid == session
    bench("grep", "-E", "SigBlk|SigIgn", "/proc/self/status")
    _blocked, blocked, _ignored, ignored = bench.stdout.split()
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & 0x7FFFFFFF == 0  # above are the C library's own signals


def test_a_child_gets_no_descriptor_but_its_three_streams(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    try:
        bench = Bench(tmp_path)
        bench("sh", "-c", "ls /proc/$$/fd", stdin=b"x")
        bench.keeper.close()
    finally:
        os.close(read_end)
        os.close(write_end)
    assert bench.stdout.split() == [b"0", b"1", b"2"]


def test_input_is_no_pipe_that_could_block(bench: Bench) -> None:
    big = os.urandom(20_000_000)
    assert bench("true", stdin=big).exit_code == 0
    assert bench("sh", "-c", "cat | wc -c", stdin=big).exit_code == 0
    assert bench.stdout.split() == [b"20000000"]
    assert bench("cat").exit_code == 0
    assert bench.stdout == b""


def _plain_file(folder: Path, text: str, mode: int) -> str:
    path = folder / "program"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: {"argv": ["no-such-program-here"]}, "program 'no-such-program-here' was not found on PATH"),
        (lambda f: {"argv": [str(f / "nothing")]}, "does not exist"),
        (lambda f: {"argv": []}, "there is no program to run"),
        (lambda f: {"argv": [str(f)]}, "it is a directory"),
        (lambda f: {"argv": [_plain_file(f, "#!/bin/sh\n", 0o644)]}, "it is not executable"),
        (lambda f: {"argv": [_plain_file(f, "#!/no/interpreter\n", 0o755)]}, "the interpreter its first line names"),
        (lambda f: {"argv": [_plain_file(f, "echo hi\n", 0o755)]}, "it has no #! line"),
        (lambda f: {"argv": ["true", "x" * 200_000]}, "bytes) are longer than this system allows"),
        (
            lambda f: {"argv": ["true"], "env": {"PATH": "/bin:/usr/bin", "X": "y" * 10_000_000}},
            "longer than this system",
        ),
        (lambda f: {"argv": ["true", "nul\0byte"]}, "can't be passed"),
        (lambda f: {"argv": ["true"], "env": {"PATH": "/bin:/usr/bin", "A=B": "c"}}, "can't be passed"),
        (lambda f: {"argv": ["true"], "cwd": f / "nowhere"}, "can't work in "),
        (lambda f: {"argv": ["true"], "cwd": Path(_plain_file(f, "", 0o644))}, "Not a directory"),
    ],
)
def test_what_cannot_be_started_is_one_sentence_and_the_keeper_lives_on(
    bench: Bench, tmp_path: Path, change: Any, said: str
) -> None:
    settings = change(tmp_path)
    argv = settings.pop("argv")
    with pytest.raises(StartError) as error:
        bench(*argv, **settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "\0" not in str(error.value)
    assert bench("true").exit_code == 0


def test_a_log_that_cannot_be_opened_is_one_sentence(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"can't write .*/nowhere/log: No such file or directory"):
        bench("true", stderr=tmp_path / "nowhere" / "log")
    assert bench("true").exit_code == 0


def test_a_program_is_looked_for_on_its_own_path(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mine").write_text("#!/bin/sh\necho it is mine\n")
    (tmp_path / "bin" / "mine").chmod(0o755)
    assert bench("mine", env={"PATH": f"{tmp_path}/none:{tmp_path}/bin"}).exit_code == 0
    assert bench.stdout == b"it is mine\n"


def test_a_program_that_takes_too_long_is_ended_as_timeout(bench: Bench) -> None:
    result = bench("sh", "-c", "echo begun; sleep 60; echo never", timeout=0.3)
    assert (result.limit, result.exit_code) == ("timeout", -15)
    assert 0.3 <= result.seconds < 10
    assert bench.stdout == b"begun\n"


def test_a_silent_program_that_does_nothing_is_stalled(bench: Bench) -> None:
    result = bench("sh", "-c", "echo begun; sleep 60", silence=0.6)
    assert (result.limit, result.exit_code) == ("stalled", -15)
    assert 0.6 <= result.seconds < 20


def test_a_silent_program_with_a_busy_child_is_not_stalled(bench: Bench) -> None:
    busy = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: pass"
    result = bench("sh", "-c", f"{sys.executable} -S -c '{busy}'; echo done", silence=1.0)
    assert (result.limit, result.exit_code, bench.stdout) == (None, 0, b"done\n")
    assert result.seconds >= 3


def test_a_silent_program_that_moves_bytes_is_not_stalled(bench: Bench) -> None:
    copy = "for n in $(seq 60); do head -c 20000 /dev/zero; sleep 0.05; done > /dev/null; echo done"
    assert bench("sh", "-c", copy, silence=1.0).limit is None
    assert bench.stdout == b"done\n"


def test_a_program_that_prints_is_not_silent(bench: Bench) -> None:
    assert bench("sh", "-c", "for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.3; done", silence=1.2).limit is None


def test_end_asks_from_another_thread_and_the_program_may_tidy_up(bench: Bench) -> None:
    threading.Timer(0.3, bench.keeper.end).start()
    result = bench("sh", "-c", "trap 'echo tidied; exit 9' TERM; echo up; while :; do sleep 0.05; done")
    assert (result.limit, result.exit_code) == ("ended", 9)
    assert bench.stdout == b"up\ntidied\n"


def test_kill_does_not_wait_for_the_grace_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, grace=60)
    began = time.monotonic()
    threading.Timer(0.3, bench.keeper.kill).start()
    result = bench("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    assert (result.limit, result.exit_code) == ("ended", -9)
    assert time.monotonic() - began < 20
    bench.keeper.close()


def test_a_cancelled_run_ends_at_once(bench: Bench) -> None:
    cancelled = threading.Event()
    cancelled.set()
    assert bench("sleep", "60", cancelled=cancelled).limit == "ended"


def test_orders_without_a_run_do_nothing_to_the_next_one(bench: Bench) -> None:
    assert bench.keeper.end() is False
    assert bench.keeper.kill() is False
    assert bench("sleep", "0.1").limit is None
    assert bench.keeper.end() is False


def test_output_is_passed_on_as_it_comes_and_already_redacted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Redaction(("hunter2",)))
    times: list[float] = []
    pieces: list[bytes] = []

    def take(data: bytes) -> None:
        times.append(time.monotonic())
        pieces.append(data)

    bench("sh", "-c", "echo one hunt; sleep 0.5; printf 'two hun'; sleep 0.5; echo ter2 three", on_output=take)
    assert b"".join(pieces) == b"one hunt\ntwo [redacted] three\n"
    assert times[-1] - times[0] > 0.4
    bench.keeper.close()


def test_a_flood_is_passed_on_in_bounded_pieces(bench: Bench) -> None:
    sizes: list[int] = []
    result = bench("sh", "-c", "yes 0123456789 | head -c 20000000", on_output=lambda data: sizes.append(len(data)))
    assert sum(sizes) == 20_000_000 == result.stdout_bytes
    assert max(sizes) <= 256 << 10


def test_an_error_in_the_callback_ends_the_program_and_is_raised(bench: Bench) -> None:
    def fail(data: bytes) -> None:
        raise ZeroDivisionError(data)

    with pytest.raises(ZeroDivisionError):
        bench("sh", "-c", "echo up; sleep 61.25", on_output=fail)
    assert running("61.25") == []
    assert bench("true").exit_code == 0


def test_an_interrupt_ends_the_program_and_the_keeper_can_be_used_again(bench: Bench) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            bench("sh", "-c", "echo up; sleep 67.125")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert running("67.125") == []
    assert bench("echo", "next").exit_code == 0
    assert bench.stdout == b"next\n"


def test_a_keeper_that_does_not_answer_any_more_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_SLICE", 0.1)
    monkeypatch.setattr(client, "_OVERDUE", 0.3)
    pid = bench.keeper.identity[0]
    threading.Timer(0.3, os.kill, (pid, signal.SIGSTOP)).start()
    with pytest.raises(KeeperDied, match="did not end its tree in time"):
        bench("sh", "-c", "sleep 68.125 & sleep 68.125", timeout=0.6)
    assert start_time(pid) is None
    assert running("68.125") == []


def test_fifty_runs_leave_no_descriptor_behind(bench: Bench) -> None:
    def once(number: int) -> None:
        if number % 5 == 0:
            with pytest.raises(StartError):
                bench("no-such-program", stdin=b"x")
        else:
            bench("sh", "-c", "cat; sleep 60 & true", stdin=b"some input", on_output=lambda data: None)

    once(1)
    before = (open_fds(os.getpid()), open_fds(bench.keeper.identity[0]))
    for number in range(50):
        once(number)
    assert (open_fds(os.getpid()), open_fds(bench.keeper.identity[0])) == before


def test_four_keepers_work_at_the_same_time_without_mixing_anything(tmp_path: Path) -> None:
    failures: list[str] = []

    def work(name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        bench = Bench(folder, label=name)
        for number in range(25):
            result = bench("sh", "-c", f"echo {name}; cat; sleep 60 & exit {number}", stdin=f"{number}".encode())
            if (result.exit_code, bench.stdout) != (number, f"{name}\n{number}".encode()):
                failures.append(f"{name} {number}: {result} {bench.stdout!r}")
        bench.keeper.close()

    threads = [threading.Thread(target=work, args=(f"slot-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_closed_keeper_is_gone_and_says_so(bench: Bench) -> None:
    pid, _start = bench.keeper.identity
    assert bench.keeper.alive
    bench.keeper.close()
    assert not bench.keeper.alive
    assert start_time(pid) is None
    bench.keeper.close()


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def run() -> None:
        with pytest.raises(KeeperDied):
            bench("sleep", "62.75")

    thread = threading.Thread(target=run)
    thread.start()
    assert until(lambda: running("62.75"))
    bench.keeper.close()
    thread.join(20)
    assert not thread.is_alive()
    assert running("62.75") == []


def test_a_keeper_dies_of_no_signal_that_can_be_caught(bench: Bench) -> None:
    pid = bench.keeper.identity[0]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert bench("echo", "still here").exit_code == 0
    assert bench.keeper.alive


def test_a_keeper_starts_without_heavy_modules() -> None:
    program = Path(client.__file__).with_name("program.py")
    code = (
        f"import sys; names = {{'__name__': 'program', '__file__': {str(program)!r}}}\n"
        f"exec(open({str(program)!r}).read(), names); names['SOCKET'] = 99\n"
        "try: names['main']()\nexcept OSError: pass\n"
        "print(' '.join(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-S", "-E", "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ended.stdout.split())
    assert "runner.keeper.serve" in loaded
    heavy = {"typing", "dataclasses", "subprocess", "inspect", "threading", "tempfile", "logging", "pathlib", "asyncio"}
    assert not (loaded & heavy), loaded & heavy
