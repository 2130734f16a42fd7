"""Lines that are redrawn in place, byte by byte: what is written where, on terminals that wrap anew and on others."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from collections.abc import Iterator
from typing import IO

import pytest

from runner.cli.drawing import elapsed
from runner.cli.liveview import LiveView
from runner.cli.output import clean, cut, width, without_escapes
from runner.cli.region import REFLOWING, Region
from runner.progress import Progress
from tests.test_terminal_text import plain


class Tty:
    """Both ends of a terminal that nobody draws."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.stream: IO[str] = os.fdopen(slave, "w", encoding="utf-8")
        self.resize(80, 24)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def written(self) -> str:
        return os.read(self.master, 1 << 16).decode()


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tty]:
    for name in REFLOWING:
        monkeypatch.delenv(name, raising=False)
    tty = Tty()
    yield tty
    tty.stream.close()
    os.close(tty.master)


LINES = [("a" * 70, "a" * 70), ("b" * 30, "b" * 30)]


def test_it_draws_over_what_it_drew(tty: Tty) -> None:
    region = Region(tty.stream)
    region.draw(LINES, ["above"])
    assert tty.written() == f"above\x1b[K\n{'a' * 70}\x1b[K\n{'b' * 30}\x1b[K\n"
    region.draw([("c", "\x1b[31mc\x1b[0m")], ["more"])
    assert tty.written() == "\r\x1b[2Amore\x1b[K\n\x1b[31mc\x1b[0m\x1b[K\n\x1b[J"
    region.draw(())
    assert tty.written() == "\r\x1b[1A\x1b[J"
    region.draw((), ["after it"])
    assert tty.written() == "after it\n"


def test_a_sparing_one_passes_over_lines_that_are_there_already(tty: Tty) -> None:
    region = Region(tty.stream, sparing=True)
    region.draw([("one", "one"), ("two", "two"), ("three", "three")])
    tty.written()
    region.draw([("one", "one"), ("2", "2"), ("three", "three"), ("four", "four")])
    assert tty.written() == "\r\x1b[3A\n2\x1b[K\n\nfour\x1b[K\n\x1b[J"
    region.draw([("one", "one")], ["above"])
    assert tty.written() == "\r\x1b[4Aabove\x1b[K\none\x1b[K\n\x1b[J"
    tty.resize(70, 24)
    region.draw([("one", "one")])
    assert tty.written() == "\r\x1b[1Aone\x1b[K\n\x1b[J"
    region.forget()
    region.draw([("one", "one")])
    assert tty.written() == "one\x1b[K\n"


@pytest.mark.parametrize(("reflows", "up"), [(True, 3), (False, 2)])
def test_a_terminal_that_wraps_anew_has_more_rows_to_go_up(
    tty: Tty, monkeypatch: pytest.MonkeyPatch, reflows: bool, up: int
) -> None:
    if reflows:
        monkeypatch.setenv("VTE_VERSION", "7600")
    region = Region(tty.stream)
    region.draw(LINES)
    tty.written()
    tty.resize(40, 24)
    region.draw([("c", "c")])
    assert tty.written().startswith(f"\r\x1b[{up}A")


def test_it_never_goes_up_further_than_the_screen(tty: Tty) -> None:
    region = Region(tty.stream)
    region.draw([(str(n), str(n)) for n in range(20)])
    tty.written()
    tty.resize(80, 6)
    region.draw([("c", "c")])
    assert tty.written().startswith("\r\x1b[5A")


def test_a_terminal_that_is_gone_is_no_reason_to_stop(tty: Tty) -> None:
    class Gone(io.StringIO):
        def fileno(self) -> int:
            return tty.stream.fileno()

        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    region = Region(Gone())
    region.draw(LINES)
    region.draw((), ["more"])


def test_a_view_that_ends_by_an_exception_takes_its_lines_away(tty: Tty) -> None:
    def work() -> None:
        with LiveView(tty.stream) as view:
            view.follow([Progress()])
            view.say("one \x1b[2Jline\nand another")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert "one \N{REPLACEMENT CHARACTER}[2Jline" in plain(tty.written())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x1bcb", "ab"),
        ("\x1b(Bplain", "plain"),
        ("\x1b]0;never ended", ""),
        ("no escapes", "no escapes"),
    ],
)
def test_escape_sequences_are_taken_out_whole(text: str, shown: str) -> None:
    assert without_escapes(text) == shown


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("❤\ufe0f", 1), ("a\u0489", 1), ("👩\u200d💻", 5), ("\u2028", 1)],
)
def test_the_width_of_odd_signs(text: str, columns: int) -> None:
    assert width(clean(text)) == columns
    assert width(cut(clean(text * 40), 20)) <= 20


def test_elapsed_times() -> None:
    assert [elapsed(seconds) for seconds in (-1, 7.9, 754, 3723)] == ["0:00", "0:07", "12:34", "1:02:03"]
