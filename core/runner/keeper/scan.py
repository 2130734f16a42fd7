"""Redaction of a byte stream: what is secret is found across chunk borders, in memory that does not grow."""

from __future__ import annotations

import json
import re

from runner.keeper.patterns import RULES, Rule, unfinished

TYPE_CHECKING = False  # importing `typing` would cost the keeper's start 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.keeper.patterns import Seek

MARK = b"[redacted]"
SHORTEST = 4
"""A known secret of fewer bytes is not looked for: it would be found in half of all words."""
LINE = 8192
"""A user's pattern is matched within a line, and within this many bytes of a longer one."""
_COMMON = b"JQXZjqzWVKYUHGFxOkBvw$%#@!PLMNDRISCTAEybgpfm87694532hu10cdlsnri,;:'-_/.=oate \n"
"""Bytes from rare to common in what programs print; those that are not in it are rare."""
_PART = 12
"""The lines of a secret that has several are secrets of their own from this many bytes on."""


class Secrets:
    """What to hide: known values as literal bytes, the built-in key formats, the user's own patterns."""

    def __init__(self, values: Iterable[str], patterns: Iterable[str]) -> None:
        self.literals = _spellings(values)
        self.user = [re.compile(pattern.encode("utf-8", "surrogateescape"), re.MULTILINE) for pattern in patterns]
        longest = max(map(len, self.literals), default=0)
        self.held = max(longest, LINE, 4096)
        """No more than this many bytes wait for the next chunk."""
        self._needs = [(_needs(literal), literal) for literal in self.literals]
        # The literals that a chunk ending in this byte may have cut.
        self._cut = [[literal for literal in self.literals if byte in literal[:-1]] for byte in range(256)]

    def find(self, buf: bytearray, start: int, end: int, seek: Seek) -> list[Span]:
        """Everything secret in `buf[start:end]`, unsorted.

        `seek(literal, position)` is where the literal is found from `position` on, or -1.
        """
        spans: list[Span] = []
        contains = Contents(buf, start, end, seek)
        for needs, literal in self._needs:
            if contains.all(needs):
                position = seek(literal, start)
                while position >= 0:
                    spans.append(Span(position, position + len(literal)))
                    position = seek(literal, position + 1)
        for rule in RULES:
            if contains.all(rule.needs):
                for origin, first, stop, goes_on in rule.find(buf, start, end, seek):
                    spans.append(Span(first, stop, [(rule, stop)] if goes_on else [], origin))
        for pattern in self.user:
            spans += [Span(m.start(), m.end()) for m in pattern.finditer(buf, start, end) if m.end() > m.start()]
        return spans

    def hold(self, buf: bytearray, start: int, end: int) -> int:
        """Where the bytes begin that can't be judged before the next ones are known; `end` if there are none."""
        held = unfinished(buf, start, end)
        for literal in self._cut[buf[end - 1]]:
            position = buf.find(literal[:1], max(start, end - len(literal) + 1), end)
            while 0 <= position < held:
                if literal.startswith(buf[position:end]):
                    held = position
                    break
                position = buf.find(literal[:1], position + 1, end)
        if self.user:
            held = min(held, max(buf.rfind(b"\n", start, end) + 1, start, end - LINE))
        return held


class Contents(dict[int | bytes, bool]):
    """Which single bytes and literals are somewhere in a range; each is looked for once, when it is asked for.

    Searching for one byte is nearly free (C's memchr), so it is done before searching for a literal.
    """

    def __init__(self, buf: bytearray, start: int, end: int, seek: Seek) -> None:
        super().__init__()
        self._range = (buf, start, end, seek)

    def __missing__(self, what: int | bytes) -> bool:
        buf, start, end, seek = self._range
        position = buf.find(what, start, end) if isinstance(what, int) else seek(what, start)
        self[what] = position >= 0
        return self[what]

    def all(self, needs: tuple[int | bytes, ...]) -> bool:
        return all(map(self.__getitem__, needs))


class Span:
    """A secret stretch of a buffer.

    `open`: the rules by which it may go on with the next chunk, and from where. `origin`: where the
    text begins by which it was recognised.
    """

    __slots__ = ("end", "open", "origin", "start")

    def __init__(
        self, start: int, end: int, open: list[tuple[Rule, int]] | None = None, origin: int | None = None
    ) -> None:
        self.start = start
        self.end = end
        self.open = open or []
        self.origin = start if origin is None else origin


class Redactor:
    """One stream on its way to a file.

    The caller puts `head` at the front of a buffer, reads new bytes behind it and calls `feed`, which
    returns what may be written and leaves in `head` what must be at the front of the next buffer: one
    byte of context that is already written, then what can't be judged yet.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self.head = b"\n"
        # When the last thing written was a mark: how much of what is held belongs to it, and what may go on.
        self._inside = False
        self._covered = 0
        self._open: list[tuple[Rule, int]] = []

    def feed(self, buf: bytearray, end: int, final: bool, seek: Seek) -> list[memoryview | bytes]:
        """The redacted form of `buf[1:end]` as far as it is settled; `final` when no more will come."""
        spans = self._secrets.find(buf, 1, end, seek)
        hold = end if final or end == 1 else self._secrets.hold(buf, 1, end)
        if self._inside:
            spans.append(self._continued(buf, end))
        if not final:
            hold = _settled(spans, hold)
        return self._write(memoryview(buf), _merged(spans), hold, end)

    def _continued(self, buf: bytearray, end: int) -> Span:
        """What belongs to the mark that is already written, first among the spans of this buffer."""
        span = Span(1, 1 + self._covered)
        for rule, offset in self._open:
            stop, goes_on = rule.extend(buf, 1 + offset, end)
            span.end = max(span.end, stop)
            if goes_on:
                span.open.append((rule, stop))
        return span

    def _write(self, view: memoryview, spans: list[Span], hold: int, end: int) -> list[memoryview | bytes]:
        out: list[memoryview | bytes] = []
        position = 1
        last: Span | None = None
        continues = self._inside
        for span in spans:
            if span.start >= hold and not continues:
                break
            if span.start > position:
                out.append(view[position : span.start])
            if not continues:
                out.append(MARK)
            continues = False
            position = max(position, span.end)
            last = span
        self._inside = last is not None and (last.end > hold or bool(last.open))
        self._covered, self._open = 0, []
        if self._inside and last is not None:
            self._covered = max(0, last.end - hold)
            self._open = [(rule, stop - hold) for rule, stop in dict.fromkeys(last.open)]
        if position < hold:
            out.append(view[position:hold])
        self.head = bytes(view[hold - 1 : end])
        return out


def redacted(data: bytes, secrets: Secrets) -> bytes:
    """The redacted form of a whole text."""
    buf = bytearray(b"\n" + data)
    end = len(buf)
    return b"".join(Redactor(secrets).feed(buf, end, True, lambda literal, start: buf.find(literal, start, end)))


def _settled(spans: list[Span], hold: int) -> int:
    """`hold`, or what is before it, so that nothing is lost by which a span is recognised or continued."""
    for span in spans:
        for _rule, stop in span.open:
            hold = min(hold, stop)
    while any(span.origin < hold <= span.start for span in spans):
        hold = min(span.origin for span in spans if span.origin < hold <= span.start)
    return hold


def _merged(spans: list[Span]) -> list[Span]:
    """The spans in order, those that overlap as one. The first that begins at its place stays first."""
    spans.sort(key=lambda span: (span.start, span.end))
    merged: list[Span] = []
    for span in spans:
        if merged and span.start < merged[-1].end:
            before = merged[-1]
            before.end = max(before.end, span.end)
            before.open = before.open + span.open
        else:
            merged.append(span)
    return merged


def _spellings(values: Iterable[str]) -> list[bytes]:
    """The byte strings a value may appear as: itself, as in JSON, and line by line; longest first."""
    found: set[bytes] = set()
    for value in values:
        for text in [value.strip(), *(line.strip() for line in value.splitlines() if len(line.strip()) >= _PART)]:
            plain = text.encode("utf-8", "surrogateescape")
            if len(plain) < SHORTEST:
                continue
            escaped = json.dumps(text)[1:-1].encode("ascii")
            readable = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogateescape")
            found.update((plain, escaped, readable))
    return sorted(found, key=lambda literal: (-len(literal), literal))


def _needs(literal: bytes) -> tuple[int | bytes, ...]:
    """Bytes of a literal that other chunks are likely to lack: marks (the key formats ask for them too), a rare one."""
    marks = [byte for byte in b"-_ ." if byte in literal]
    return (*marks, min(literal, key=_COMMON.find))
