"""Capture: bytes in, redacted log out, whatever and however much is printed; a disk that is full."""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from keeping import Bench, peak_memory, running, until

from runner.keeper import CaptureError, Redaction

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "correct-horse-battery-staple"
KEY = "ghp_" + "Ab3dEf6hIj9k" * 3
LIMIT = 40_000_000
"""Bytes of memory that a keeper may use, whatever it captures: twice what an idle one does."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, Redaction((SECRET,), (r"customer-\d+",)), grace=0.5)
    yield bench
    bench.keeper.close()


def test_secrets_are_hidden_in_both_logs(bench: Bench) -> None:
    bench("sh", "-c", f"echo a {SECRET} b {KEY} c customer-77; echo {KEY}.{SECRET} >&2")
    assert bench.stdout == b"a [redacted] b [redacted] c [redacted]\n"
    assert bench.stderr == b"[redacted].[redacted]\n"


def test_a_secret_printed_in_two_halves_is_hidden_wherever_it_is_cut(bench: Bench) -> None:
    text = f"<{SECRET}> <{KEY}> customer-4711\n"
    code = (
        "import sys, time\ntext = sys.argv[1]\nfor cut in range(len(text)):\n"
        "  for part in (text[:cut], text[cut:]):\n    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.002)"
    )
    bench(sys.executable, "-S", "-c", code, text)
    assert bench.stdout == b"<[redacted]> <[redacted]> [redacted]\n" * len(text)


def flood(megabytes: int) -> str:
    """A script that prints so many megabytes: lines, one endless line, binary, invalid UTF-8, secrets among them."""
    each = megabytes * 1_000_000 // 4
    return (
        f"yes 'some build output line with {SECRET} in it' | head -c {each}; echo; "
        f"head -c {each} /dev/zero | tr '\\0' x; echo; "
        f"head -c {each} /dev/urandom; echo; "
        f"yes \"$(printf '\\377\\376 %s' {KEY})\" | tr -d '\\n' | head -c {each} >&2"
    )


@pytest.mark.parametrize("megabytes", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_memory_stays_flat_whatever_is_printed(bench: Bench, megabytes: int) -> None:
    result = bench("sh", "-c", flood(megabytes))
    assert result.exit_code == 0
    assert result.stdout_bytes > megabytes * 600_000
    assert peak_memory(bench.keeper.identity[0]) < LIMIT
    for log in ("stdout.log", "stderr.log"):
        with (bench.folder / log).open("rb") as file:
            tail = b""
            while data := file.read(1 << 20):
                assert SECRET.encode() not in tail + data
                assert KEY.encode() not in tail + data
                tail = data[-100:]


def test_a_hundred_megabytes_on_one_line_arrive_unchanged(bench: Bench) -> None:
    result = bench("sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' 'a'")
    assert result.stdout_bytes == 100_000_000
    digest = hashlib.sha256()
    with (bench.folder / "stdout.log").open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    assert digest.hexdigest() == hashlib.sha256(b"a" * 100_000_000).hexdigest()
    assert peak_memory(bench.keeper.identity[0]) < LIMIT


def test_binary_output_arrives_unchanged(bench: Bench, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000 + b"\xff\xfe\x00"
    (tmp_path / "binary").write_bytes(data)
    bench("cat", "binary")
    assert bench.stdout == data


def test_a_private_key_without_an_end_does_not_fill_the_memory(bench: Bench) -> None:
    begin = "print('-----BEGIN RSA ' + 'PRIVATE KEY-----')"
    bench(sys.executable, "-S", "-c", f"{begin}\nfor n in range(200000): print('Ab3dEf6h' * 8)\nprint('The end.')")
    assert bench.stdout == b"[redacted]\nThe end.\n"
    assert peak_memory(bench.keeper.identity[0]) < LIMIT


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_ends_the_program_with_one_sentence(bench: Bench, stream: str) -> None:
    with pytest.raises(CaptureError, match=r"can't write /dev/full: No space left on device; the program was ended"):
        bench("sh", "-c", "yes 63.125 & yes 63.125 >&2; sleep 63.125", **{stream: Path("/dev/full")})
    assert running("63.125") == []
    assert bench("true").exit_code == 0


def test_a_log_that_may_not_grow_ends_the_program_with_one_sentence(bench: Bench) -> None:
    resource.prlimit(bench.keeper.identity[0], resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    with pytest.raises(CaptureError, match=r"stdout\.log: File too large"):
        bench("sh", "-c", "trap '' XFSZ; yes")
    assert len(bench.stdout) == 1_000_000


def test_output_held_open_outside_the_tree_does_not_hang_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    held: list[int] = []

    def hold() -> None:
        assert until(lambda: running("64.125"))
        held.append(os.open(f"/proc/{running('64.125')[0]}/fd/1", os.O_WRONLY))
        os.write(held[0], b"from outside\n")

    thread = threading.Thread(target=hold)
    thread.start()
    result = bench("sh", "-c", "echo inside; exec sleep 64.125", timeout=1.0)
    thread.join()
    assert result.limit == "timeout"
    assert bench.stdout == b"inside\nfrom outside\n"
    os.close(held[0])
    bench.keeper.close()


def test_a_pattern_that_never_ends_on_some_text_ends_the_program_with_one_sentence(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Redaction((), (r"(a+)+!",)))
    began = time.monotonic()
    with pytest.raises(CaptureError, match=r"a redaction pattern of the configuration takes over 2 s"):
        bench("sh", "-c", f"echo {'a' * 60}; sleep 65.125")
    assert time.monotonic() - began < 60
    assert bench.stdout == b""
    assert running("65.125") == []
    bench.keeper.close()


def test_an_unfinished_line_is_in_the_log_while_the_program_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    thread = threading.Thread(target=lambda: bench("sh", "-c", "printf 'Continue? [y/n] '; sleep 66.125"))
    thread.start()
    assert until(lambda: (tmp_path / "stdout.log").exists() and bench.stdout == b"Continue? [y/n] ")
    bench.keeper.end()
    thread.join()
    bench.keeper.close()
