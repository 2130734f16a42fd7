"""The key formats that are redacted wherever a child prints them, each with what a scanner needs to find it fast."""

from __future__ import annotations

import re

TYPE_CHECKING = False  # importing `typing` would cost the keeper's start 4 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = rb"[A-Za-z0-9_-]"
_ALNUM = rb"[A-Za-z0-9]"
_JWT_HEADER = 2048
"""The longest first part of a JSON Web Token that is recognised, in bytes."""
WINDOW = 96
"""No unfinished key but a token's header is longer than this many bytes (see `Rule.partial`)."""


class Rule:
    """One format.

    `anchors`: literals of which one is in every key, so that a buffer without them needs no regular
    expression. `gate`: a character that every key has (a search for one is nearly free). `regex`
    matches a whole key, of which group 1, if there is one, is the part to hide; each starts with a
    literal, which lets `re` skip. `more`: the characters that go on with an already complete key.
    `partial` matches what may be the beginning of a key at the very end of the data.
    """

    __slots__ = ("anchors", "gate", "more", "partial", "regex")

    def __init__(
        self, anchors: Sequence[bytes], gate: bytes, regex: bytes, more: bytes | None, partial: bytes | None
    ) -> None:
        self.anchors = tuple(anchors)
        self.gate = gate
        self.regex = re.compile(regex)
        self.more = re.compile(more + rb"*") if more else None
        self.partial = partial

    def extend(self, buf: bytearray, start: int, end: int) -> tuple[int, bool]:
        """How far a key that is complete at `start` goes on, and whether it may go on beyond `end`."""
        if self.more is None:
            return start, False
        match = self.more.match(buf, start, end)
        stop = match.end() if match else start
        return stop, stop == end


class PrivateKey(Rule):
    """A PEM block: its first line, lines of base64 however they are set off, its last line.

    Each line may be wrapped in whatever a program puts around it (a line number, quotes, `\\n` spelled
    out), up to 96 bytes. Text without long runs of base64 ends the block, so that the mention of a
    first line in a source file does not hide what follows.
    """

    __slots__ = ()
    _body = re.compile(rb"[A-Za-z0-9+/=]*+(?:(?:(?!-----END).){0,96}?[A-Za-z0-9+/=]{24,}+)*+", re.DOTALL)
    _last = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,8}-----")
    _reach = 200
    """The last line begins at most this many bytes after the last long run."""

    def extend(self, buf: bytearray, start: int, end: int) -> tuple[int, bool]:
        match = self._body.match(buf, start, end)
        stop = match.end() if match else start
        last = self._last.search(buf, stop, min(end, stop + self._reach))
        if last:
            return last.end(), False
        return stop, end - stop < self._reach


def _simple(prefixes: Sequence[bytes], cls: bytes, least: int, gate: bytes) -> Rule:
    """A key that is a literal prefix and at least `least` characters of a class."""
    stem = prefixes[0]
    while not all(prefix.startswith(stem) for prefix in prefixes):
        stem = stem[:-1]
    rest = b"|".join(re.escape(prefix[len(stem) :]) for prefix in prefixes)
    regex = re.escape(stem) + b"(?:" + rest + b")" + cls + b"{%d,}" % least
    partial = b"|".join(chain(prefix, cls + b"{0,%d}" % least) for prefix in prefixes)
    return Rule(prefixes, gate, regex, cls, partial)


def chain(literal: bytes, rest: bytes = b"") -> bytes:
    """A pattern for every beginning of `literal`, and for all of it followed by `rest`."""
    pattern = rest
    for byte in reversed(literal):
        pattern = re.escape(bytes([byte])) + (b"(?:" + pattern + b")?" if pattern else b"")
    return pattern


def _bearer(word: bytes) -> Rule:
    cls = rb"[A-Za-z0-9._~+/=-]"
    partial = chain(word + b" ", rb" {0,3}" + cls + rb"{0,16}")
    return Rule([word + b" "], b" ", word + rb" {1,4}(" + cls + rb"{16,})", cls, partial)


RULES = (
    Rule(
        [b"sk-"],
        b"-",
        # Words that end in "sk" (task-, disk-, risk-) have a vowel before it; keys have not.
        rb"sk-(?:(?<![aeiou]sk-)" + _WORD + rb"{16,}|(?:ant|proj|svcacct|admin)-" + _WORD + rb"{16,})",
        _WORD,
        chain(b"sk-", _WORD + rb"{0,24}"),
    ),
    _simple([b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"], _ALNUM, 16, b"_"),
    _simple([b"github_pat_"], rb"[A-Za-z0-9_]", 16, b"_"),
    _simple([b"glpat-"], _WORD, 16, b"-"),
    _simple([b"gsk_"], _ALNUM, 32, b"_"),
    _simple([b"npm_"], _ALNUM, 32, b"_"),
    _simple([b"sk_live_"], _ALNUM, 16, b"_"),
    _simple([b"rk_live_"], _ALNUM, 16, b"_"),
    _simple([b"xoxb-", b"xoxa-", b"xoxp-", b"xoxr-", b"xoxs-"], rb"[A-Za-z0-9-]", 10, b"-"),
    _simple([b"AIza"], _WORD, 30, b"z"),
    Rule([b"AKIA"], b"K", rb"AKIA[0-9A-Z]{16}", None, chain(b"AKIA", rb"[0-9A-Z]{0,15}")),
    _bearer(b"Bearer"),
    _bearer(b"bearer"),
    Rule(
        [b"eyJ"],
        b".",
        rb"eyJ" + _WORD + rb"{8,%d}+\.eyJ" % _JWT_HEADER + _WORD + rb"{4,}(?:\.[A-Za-z0-9_-]*)?",
        rb"[A-Za-z0-9_.-]",
        chain(b"eyJ"),
    ),
    PrivateKey(
        [b"-----BEGIN"],
        b"-",
        rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,8}-----",
        None,
        chain(b"-----BEGIN ", rb"[A-Z0-9 ]{0,60}-{0,4}"),
    ),
)

_PARTIAL = re.compile(rb"(?:" + b"|".join(rule.partial for rule in RULES if rule.partial) + rb")\Z")
_JWT_PARTIAL = re.compile(rb"eyJ" + _WORD + rb"{0,%d}(?:\.(?:e(?:y(?:J" % _JWT_HEADER + _WORD + rb"{0,4})?)?)?)?\Z")


def unfinished(buf: bytearray, start: int, end: int) -> int:
    """Where in `buf[start:end]` something begins that may become a key with the next bytes; `end` if nowhere."""
    if end <= start or buf[end - 1] == 10:
        return end  # no key goes on over the end of a line (but a private key's block, which is a state)
    window = max(start, end - WINDOW)
    match = _PARTIAL.search(buf, max(window, buf.rfind(b"\n", window, end) + 1), end)
    found = match.start() if match else end
    position = buf.find(b"eyJ", max(start, end - _JWT_HEADER - 16), found)
    while position >= 0:
        if _JWT_PARTIAL.match(buf, position, end):
            return position
        position = buf.find(b"eyJ", position + 1, found)
    return found
