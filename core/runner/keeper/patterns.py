"""The key formats that are redacted wherever a child prints them, each with what a scanner needs to find it fast."""

from __future__ import annotations

import re

TYPE_CHECKING = False  # importing `typing` would cost the keeper's start 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    Seek = Callable[[bytes, int], int]

_WORD = rb"[A-Za-z0-9_-]"
_ALNUM = rb"[A-Za-z0-9]"
_JWT_HEADER = 2048
"""The longest first part of a JSON Web Token that is recognised, in bytes."""
_TRIES = 8
_SPARSE = 2048
"""Anchors nearer to each other than this many bytes, after the first few, are left to `re`."""
WINDOW = 96
"""No unfinished key but a token's header is longer than this many bytes (see `Rule.partial`)."""


class Rule:
    """One format.

    `anchors`: literals of which one begins every key. `needs`: bytes, and perhaps a literal that all
    anchors share, without which there is no key and no need to look for an anchor. `regex` matches the
    least of a key, of which group 1, if there is one, is the part to hide; it starts with a literal, which
    lets `re` skip. `more`: the class of what goes on with an already complete key. `partial` matches
    what may be the beginning of a key at the very end of the data. Expressions are compiled when an
    anchor turns up for the first time, which for most of them is never.
    """

    __slots__ = ("_more", "_regex", "anchors", "needs", "partial")

    def __init__(
        self,
        *anchors: bytes,
        needs: bytes,
        regex: bytes,
        more: bytes | None,
        partial: bytes,
        hint: bytes | None = None,
    ) -> None:
        self.anchors = anchors
        self.needs: tuple[int | bytes, ...] = (*needs, *([hint] if hint else []))
        self.partial = partial
        self._regex = regex
        self._more = more + b"*" if more else None

    def find(self, buf: bytearray, start: int, end: int, seek: Seek) -> list[tuple[int, int, int, bool]]:
        """Every key in `buf[start:end]`: where it begins, what to hide of it, whether it may go on after `end`.

        Going from anchor to anchor is fastest where they are rare, `re` where they are many. Keys may
        overlap (the end of one may be the beginning of the next), and one may be found twice.
        """
        found: list[tuple[int, int, int, bool]] = []
        for anchor in self.anchors:
            position = first = seek(anchor, start)
            tries, many = 0, False
            while position >= 0:
                regex = re.compile(self._regex)
                match = (regex.search if many else regex.match)(buf, position, end)
                if match:
                    stop, goes_on = self.extend(buf, match.end(), end)
                    found.append((match.start(), match.start(regex.groups), stop, goes_on))
                    # What begins before that ends before `stop` too.
                    position = max(match.start() + 1, stop - (match.end() - match.start()))
                elif many:
                    break
                else:
                    position += 1
                tries += 1
                many = many or (tries > _TRIES and position - first < tries * _SPARSE)
                if not many:
                    position = seek(anchor, position)
        return found

    def extend(self, buf: bytearray, start: int, end: int) -> tuple[int, bool]:
        """How far a key that is complete at `start` goes on, and whether it may go on beyond `end`."""
        if self._more is None:
            return start, False
        match = re.compile(self._more).match(buf, start, end)
        stop = match.end() if match else start
        return stop, stop == end


class PrivateKey(Rule):
    """A PEM block: its first line, lines of base64 however they are set off, its last line.

    Each line may be wrapped in whatever a program puts around it (a line number, quotes, `\\n` spelled
    out), up to 96 bytes. Text without long runs of base64 ends the block, so that the mention of a
    first line in a source file does not hide what follows.
    """

    __slots__ = ()
    _body = rb"(?s)[A-Za-z0-9+/=]*+(?:(?:(?!-----END).){0,96}?[A-Za-z0-9+/=]{24,}+)*+"
    _last = rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,8}-----"
    _reach = 200
    """The last line begins at most this many bytes after the last long run."""

    def extend(self, buf: bytearray, start: int, end: int) -> tuple[int, bool]:
        match = re.compile(self._body).match(buf, start, end)
        stop = match.end() if match else start
        last = re.compile(self._last).search(buf, stop, min(end, stop + self._reach))
        if last:
            return last.end(), False
        return stop, end - stop < self._reach


def chain(literal: bytes, rest: bytes = b"") -> bytes:
    """A pattern for every beginning of `literal`, and for all of it followed by `rest`."""
    pattern = rest
    for byte in reversed(literal):
        pattern = re.escape(bytes([byte])) + (b"(?:" + pattern + b")?" if pattern else b"")
    return pattern


def _simple(prefix: bytes, cls: bytes, least: int, needs: bytes, hint: bytes | None = None) -> Rule:
    """A key that is a literal prefix and at least `least` characters of a class."""
    regex = re.escape(prefix) + cls + b"{%d}" % least
    partial = chain(prefix, cls + b"{0,%d}" % least)
    return Rule(prefix, needs=needs, regex=regex, more=cls, partial=partial, hint=hint)


RULES = (
    Rule(
        b"sk-",
        needs=b"-",
        # Words that end in "sk" (task-, disk-, risk-) have a vowel before it; keys have not.
        regex=rb"sk-(?:(?<![aeiou]sk-)[A-Za-z0-9_-]{16}|(?:ant|proj|svcacct|admin)-[A-Za-z0-9_-]{16})",
        more=_WORD,
        partial=chain(b"sk-", rb"[A-Za-z0-9_-]{0,24}"),
    ),
    Rule(
        *(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
        needs=b"_",
        hint=b"gh",
        regex=rb"gh[pousr]_[A-Za-z0-9]{16}",
        more=_ALNUM,
        partial=chain(b"gh", rb"(?:[pousr](?:_[A-Za-z0-9]{0,16})?)?"),
    ),
    _simple(b"github_pat_", rb"[A-Za-z0-9_]", 16, b"_"),
    _simple(b"glpat-", _WORD, 16, b"-"),
    _simple(b"gsk_", _ALNUM, 32, b"_", hint=b"sk_"),
    _simple(b"sk_live_", _ALNUM, 16, b"_", hint=b"sk_"),
    _simple(b"npm_", _ALNUM, 32, b"_"),
    Rule(
        b"xox",
        needs=b"x-",
        regex=rb"xox[abeprs]-[A-Za-z0-9-]{10}",
        more=rb"[A-Za-z0-9-]",
        partial=chain(b"xox", rb"(?:[abeprs](?:-[A-Za-z0-9-]{0,10})?)?"),
    ),
    _simple(b"AIza", _WORD, 30, b"zI"),
    Rule(b"AKIA", needs=b"KI", regex=rb"AKIA[0-9A-Z]{16}", more=None, partial=chain(b"AKIA", rb"[0-9A-Z]{0,15}")),
    Rule(
        b"earer ",  # Bearer or bearer
        needs=b" ",
        regex=rb"earer {1,4}([A-Za-z0-9._~+/=-]{16})",
        more=rb"[A-Za-z0-9._~+/=-]",
        partial=chain(b"earer ", rb" {0,3}[A-Za-z0-9._~+/=-]{0,16}"),
    ),
    Rule(
        b"eyJ",
        needs=b"J.",
        regex=rb"eyJ" + _WORD + rb"{8,%d}+\.eyJ" % _JWT_HEADER + _WORD + rb"{4}",
        more=rb"[A-Za-z0-9_.-]",
        partial=chain(b"eyJ"),
    ),
    PrivateKey(
        b"-----BEGIN",
        needs=b"-V",
        regex=rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,8}-----",
        more=None,
        partial=chain(b"-----BEGIN ", rb"[A-Z0-9 ]{0,60}-{0,4}"),
    ),
)

_PARTIAL = rb"(?:" + b"|".join(rule.partial for rule in RULES) + rb")\Z"
_JWT_PARTIAL = rb"eyJ" + _WORD + rb"{0,%d}(?:\.(?:e(?:y(?:J" % _JWT_HEADER + _WORD + rb"{0,4})?)?)?)?\Z"


def unfinished(buf: bytearray, start: int, end: int) -> int:
    """Where in `buf[start:end]` something begins that may become a key with the next bytes; `end` if nowhere."""
    if end <= start or buf[end - 1] == 10:
        return end  # no key goes on over the end of a line (but a private key's block, which is a state)
    window = max(start, end - WINDOW)
    match = re.compile(_PARTIAL).search(buf, max(window, buf.rfind(b"\n", window, end) + 1), end)
    found = match.start() if match else end
    position = buf.find(b"eyJ", max(start, end - _JWT_HEADER - 16), found)
    while position >= 0:
        if re.compile(_JWT_PARTIAL).match(buf, position, end):
            return position
        position = buf.find(b"eyJ", position + 1, found)
    return found
