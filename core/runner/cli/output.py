"""Writes to stdout and stderr: JSON, lines, tables; whatever the locale, the terminal or the pipe is."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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

_LABEL = re.compile(r" *(?:- |(?:RED|ok) +|\S+(?: \S+)? {2,})?(?=\S)")
"""What a line of text starts with: its indentation, a bullet or a label; it goes on behind that."""

_MARKED, _MARKS = re.compile(r" +(RED|ok)\b"), {"RED": "31", "ok": "32"}

_COPIED, _ID_WIDTH, _STATES = ("ID", "REF"), 12, ("STATUS", "OUTCOME")
"""Columns that people copy into the next command, and the signs of one id: those are never cut."""


_LEAST_SECRET = 8
"""Signs of the shortest text that can hold a secret."""


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


_hide: Callable[[str], str] | None = None


def hide_with(hide: Callable[[str], str]) -> None:
    """From now on what is shown goes through `hide` first: a prompt may name what the environment keeps secret."""
    global _hide
    _hide = hide


def hidden(text: str) -> str:
    """The text as it may be shown. To be called before it is cut: half a secret is not recognised."""
    return text if _hide is None or len(text) < _LEAST_SECRET else _hide(text)


def _hidden_in(value: Any) -> Any:
    """The same with every text in it as it may be shown."""
    if isinstance(value, str):
        return hidden(value)
    if hasattr(value, "items"):
        return {hidden(name): _hidden_in(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden_in(item) for item in value]
    return value


def write_json(value: Mapping[str, Any], *, lines: bool = False) -> None:
    """A JSON document: indented, or on one line."""
    # Readable where stdout is UTF-8 (a lone surrogate becomes its JSON escape there), plain ASCII elsewhere.
    form: dict[str, Any] = {"ensure_ascii": not is_utf8(), "indent": None if lines else 2, "default": _plain}
    text = json.dumps(value, **form)
    if hidden(text) != text:  # once over all is quick, and mostly enough
        text = json.dumps(_hidden_in(value), **form)
    write_line(text)


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
            sys.stderr.write(hidden(text) + "\n")
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
    text = "" if value is None else hidden(str(value))
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


def size(count: int) -> str:
    """Bytes for people: `512 B`, `3.4 KiB`, `1.2 GiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


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


def write_text(text: str) -> None:
    """A line on stdout. On a terminal that is too narrow it goes on at the next row, below its own text."""
    limit = terminal_width()
    rows = [text] if limit is None or width(text) <= limit else _wrap(text, limit)
    if colours(sys.stdout) and (match := _MARKED.match(text)):
        start, end = match.span(1)
        rows[0] = rows[0][:start] + paint(match[1], _MARKS[match[1]]) + rows[0][end:]
    for row in rows:
        write_line(row)


def _wrap(text: str, limit: int) -> list[str]:
    match = _LABEL.match(text)
    label = match.end() if match is not None and match.end() <= min(24, limit // 2) else 0
    hang = label or 2
    rows, row = [], text[:label]
    for word in text[label:].split(" "):
        if row.strip() and width(row) + width(word) > limit and hang + width(word) <= limit:
            rows.append(row.rstrip())
            row = " " * hang
        row += word + " "
    return [*rows, row.rstrip()]


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns under their names. On a terminal, wide columns give way until all fits."""
    cells = [[clean(value) for value in row] for row in rows]
    if not cells:
        return
    limit = terminal_width()
    sizes = [max(width(name), *(width(row[i]) for row in cells)) for i, name in enumerate(columns)]
    if limit is not None and sum(sizes) + 2 * (len(columns) - 1) > limit:
        # Where there is no room, a column that says nothing has none.
        kept = [i for i in range(len(columns)) if any(row[i] for row in cells)] or [0]
        columns, cells = [columns[i] for i in kept], [[row[i] for i in kept] for row in cells]
        sizes = _fit(columns, [sizes[i] for i in kept], limit - 2 * (len(kept) - 1))
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
    """The columns' widths within `room`: digests give way first, then the text at the end, then the widest.

    Names in the first column, a status, and what commands take give way last.
    """
    sizes = list(sizes)
    names = [name.upper() for name in columns]
    last = len(names) - 1
    others = [i for i, name in enumerate(names) if 0 < i < last and name not in (*_COPIED, *_STATES)]
    steps = (
        ([i for i, name in enumerate(names) if name == "SHA256"], 8),
        ([last], 30),
        (others, 10),
        ([last], 12),
        ([i for i, name in enumerate(names) if name not in _COPIED], 4),
        ([i for i, name in enumerate(names) if name in _COPIED], _ID_WIDTH),
    )
    for chosen, least in steps:
        while sum(sizes) > room and (wide := [i for i in chosen if sizes[i] > least]):
            sizes[max(wide, key=lambda i: sizes[i])] -= 1
    return sizes
