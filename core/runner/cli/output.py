"""Writes to stdout and stderr: JSON, lines, tables; whatever the locale, the terminal or the pipe is."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_COLOURS = {
    "done": "32",
    "on": "32",
    "failed": "31",
    "broken": "31",
    "needs_human": "33",
    "claimed": "36",
    "in_progress": "36",
    "cancelled": "2",
    "off": "2",
}
"""Words that have a colour on a terminal when a cell is one, or starts with one and a colon."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|[ -/]*[0-Z\\`-~])")
"""CSI, OSC and other strings, and the short ones (ECMA-48)."""

_COPIED, _ID_WIDTH = ("ID", "REF"), 12
"""Columns that people copy into the next command, and the signs of one id: those are never cut."""


def prepare() -> None:
    """Make both streams take any text: what an encoding has no sign for is written as an escape.

    A stream that the caller closed goes nowhere; its number must not become that of the store's file.
    """
    for number, name, mode in ((0, "", os.O_RDONLY), (1, "stdout", os.O_WRONLY), (2, "stderr", os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
        if name and getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def write_json(value: Mapping[str, Any], *, lines: bool = False) -> None:
    """A JSON document: indented, or on one line."""
    # Readable where stdout is UTF-8 (a lone surrogate becomes its JSON escape there), plain ASCII elsewhere.
    write_line(json.dumps(value, ensure_ascii=not is_utf8(), indent=None if lines else 2, default=_plain))


def is_utf8() -> bool:
    """Whether stdout takes any sign."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"


def _plain(value: object) -> object:
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    if hasattr(value, "items"):
        return dict(value.items())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def write_line(text: str = "") -> None:
    """A line on stdout; nowhere when it is closed."""
    if sys.stdout is not None:
        sys.stdout.write(text + "\n")


def write_talk(text: str) -> None:
    """A line on stderr, at once; a closed one is no reason to stop the work."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
    except (OSError, ValueError):
        pass


def write_error(message: str, hint: str) -> None:
    """An error on stderr."""
    # A suggestion belongs to its sentence; advice gets a line of its own.
    near = hint.startswith(("did you mean", "known:"))
    write_talk(f"error: {message} ({hint})" if near else f"error: {message}")
    if hint and not near:
        write_talk(f"hint: {hint}")


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is, None when it is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    if os.environ.get("COLUMNS", "").isdecimal():
        return max(20, int(os.environ["COLUMNS"]))
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def clean(value: object) -> str:
    """A cell's text: one line, no control characters (a payload must not drive the terminal)."""
    text = "" if value is None else str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_harmless(c) for c in text)


def _harmless(sign: str) -> str:
    if sign in "\n\r\t\u2028\u2029":
        return " "
    if "\ufe00" <= sign <= "\ufe0f":
        return ""  # a variation selector: terminals don't agree on how wide the sign before it becomes
    return sign if unicodedata.category(sign) not in ("Cc", "Cs", "Cf") else "\N{REPLACEMENT CHARACTER}"


def without_escapes(text: str) -> str:
    """The text without the sequences that colour it or drive a terminal, as far as they are whole."""
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def width(text: str) -> int:
    """Columns a text takes: wide signs two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, columns: int) -> str:
    """The text within so many columns, with dots when something is left out."""
    if width(text) <= columns:
        return text
    dots = "…" if is_utf8() else "..."
    kept, used = "", len(dots)
    for sign in text:
        used += width(sign)
        if used > columns:
            break
        kept += sign
    return kept + dots


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns under their names. On a terminal, wide columns give way until all fits."""
    cells = [[clean(value) for value in row] for row in rows]
    if not cells:
        return
    limit = terminal_width()
    sizes = [max(width(name), *(width(row[i]) for row in cells)) for i, name in enumerate(columns)]
    if limit is not None:
        sizes = _fit(columns, sizes, limit - 2 * (len(columns) - 1))
    painted = colours(sys.stdout)
    for number, row in enumerate(([name.upper() for name in columns], *cells)):
        shown = [cut(text, size) for text, size in zip(row, sizes, strict=True)]
        gaps = [" " * (size - width(text)) for text, size in zip(shown, sizes, strict=True)]
        if painted:
            shown = [paint(text, "1" if number == 0 else _COLOURS.get(text.partition(":")[0], "")) for text in shown]
        write_line("  ".join(text + gap for text, gap in zip(shown, gaps, strict=True)).rstrip())


def colours(stream: IO[str] | None) -> bool:
    """Whether what is written there is painted.

    Never with NO_COLOR; else with FORCE_COLOR or CLICOLOR_FORCE (both: anything but empty and 0); else on a
    terminal that is not `dumb`, unless CLICOLOR or FORCE_COLOR is 0.
    """
    if os.environ.get("NO_COLOR") or stream is None:
        return False
    if any(os.environ.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    if "0" in (os.environ.get("CLICOLOR"), os.environ.get("FORCE_COLOR")):
        return False
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def paint(text: str, code: str) -> str:
    """The text in a colour (the number of an SGR sequence), as it is without one."""
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text


def _fit(columns: Sequence[str], sizes: list[int], room: int) -> list[int]:
    """The columns' widths within `room`: digests give way first, then the widest, what commands take last."""
    sizes = list(sizes)
    names = [name.upper() for name in columns]
    steps = (
        ([i for i, name in enumerate(names) if name == "SHA256"], 8),
        ([i for i, name in enumerate(names) if name not in _COPIED], 4),
        ([i for i, name in enumerate(names) if name in _COPIED], _ID_WIDTH),
    )
    for chosen, least in steps:
        while sum(sizes) > room and (wide := [i for i in chosen if sizes[i] > least]):
            sizes[max(wide, key=lambda i: sizes[i])] -= 1
    return sizes
