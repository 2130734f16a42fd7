"""Redaction: what is hidden, what is not, and that chunk borders make no difference."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import ConfigError
from runner.keeper import Redaction
from runner.keeper.capture import CHUNK, Buffer
from runner.keeper.scan import Redactor, Secrets, redacted

# Keys are put together here, so that this file itself holds none.
BODY = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z" * 2
KEYS = {
    "openai": "sk-" + BODY[:48],
    "openai project": "sk-proj-" + BODY[:20] + "_" + BODY[:20],
    "anthropic": "sk-ant-" + "api03-" + BODY + "-" + BODY + "AA",
    "github classic": "ghp_" + BODY[:36],
    "github oauth": "gho_" + BODY[:36],
    "github actions": "ghs_" + BODY[:36],
    "github fine": "github_pat_" + BODY[:22] + "_" + BODY[:59],
    "gitlab": "glpat-" + BODY[:20],
    "groq": "gsk_" + BODY[:52],
    "npm": "npm_" + BODY[:36],
    "stripe": "sk_live_" + BODY[:24],
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "google": "AIza" + BODY[:35],
    "slack": "xoxb-" + "123456789012-1234567890123-" + BODY[:24],
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0." + BODY[:43],
}
PEM_BODY = "\n".join(BODY for _ in range(12)) + "\nq83vAA=="
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}\n-----END RSA PRIVATE KEY-----"


def stream(secrets: Secrets, pieces: list[bytes]) -> bytes:
    """What comes out when `pieces` are read one after the other."""
    redactor = Redactor(secrets)
    out = []
    for number, piece in enumerate([*pieces, b""]):
        buf = bytearray(redactor.head + piece)
        end = len(buf)
        final = number == len(pieces)
        out += [
            bytes(part)
            for part in redactor.feed(buf, end, final, lambda literal, at, buf=buf, end=end: buf.find(literal, at, end))
        ]
        assert len(redactor.head) <= secrets.held + 1
    return b"".join(out)


def cuts(data: bytes) -> list[list[bytes]]:
    return [[data[:at], data[at:]] for at in range(len(data) + 1)]


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_a_known_format_is_hidden_and_its_surroundings_are_kept(name: str) -> None:
    key = KEYS[name]
    for before, after in [("key=", "\n"), ('{"k": "', '", "x": 1}'), ("\x1b[32m", "\x1b[0m"), ("\\n", "\\n"), ("", "")]:
        assert Redaction().text(f"{before}{key}{after}") == f"{before}[redacted]{after}"


@pytest.mark.parametrize("name", KEYS)
def test_a_key_cut_at_any_place_is_hidden_as_if_it_came_in_one_piece(name: str) -> None:
    data = f"first line\nexport KEY={KEYS[name]} # end\nlast line, unfinished".encode()
    whole = redacted(data, Secrets((), ()))
    assert KEYS[name][8:].encode() not in whole
    for pieces in cuts(data):
        assert stream(Secrets((), ()), pieces) == whole
    assert stream(Secrets((), ()), [bytes([byte]) for byte in data]) == whole


def test_a_bearer_token_is_hidden_and_the_word_before_it_is_kept() -> None:
    text = f"Authorization: Bearer {BODY[:30]}==\nauthorization: bearer {BODY[:30]}\n"
    assert Redaction().text(text) == "Authorization: Bearer [redacted]\nauthorization: bearer [redacted]\n"


@pytest.mark.parametrize(
    "shape",
    [
        lambda pem: pem,
        lambda pem: json.dumps({"file": pem}),
        lambda pem: "\n".join(f"{n:6d}\t{line}" for n, line in enumerate(pem.splitlines())),
        lambda pem: "\n".join(f"{n:5d}→{line}" for n, line in enumerate(pem.splitlines())),
        lambda pem: "\n".join(f"+{line}" for line in pem.splitlines()),
        lambda pem: "\n".join(f'    "{line}\\n"' for line in pem.splitlines()),
        lambda pem: pem.replace("RSA", "OPENSSH").replace("\n", "\r\n"),
    ],
    ids=["plain", "json", "cat -n", "numbered", "diff", "quoted", "crlf"],
)
def test_a_private_key_is_hidden_however_its_lines_are_set_off(shape: object) -> None:
    assert callable(shape)
    text = f"before.\n{shape(PEM)}\nafter it, more text\n"
    hidden = Redaction().text(text)
    assert BODY not in hidden
    assert "q83vAA" not in hidden
    assert hidden.startswith("before.\n")
    assert hidden.endswith("after it, more text\n")


def test_a_private_key_cut_at_any_place_is_hidden_as_if_it_came_in_one_piece() -> None:
    data = f"x\n{PEM}\nafter it\n{PEM.replace('-----END', 'no end here')} and on it goes. ".encode()
    whole = redacted(data, Secrets((), ()))
    assert BODY.encode() not in whole
    for pieces in cuts(data):
        assert stream(Secrets((), ()), pieces) == whole
    assert stream(Secrets((), ()), [bytes([byte]) for byte in data]) == whole


@pytest.mark.parametrize(
    "text",
    [
        "running task-implementation-of-the-feature and disk-usage-by-directory-2024",
        "-----BEGIN CERTIFICATE-----",
        "the bearer of this letter, a forbearer too",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "eyJhbGciOiJIUzI1NiJ9 alone is not a token; nor is xox-, sk-, ghp_ or AKIA",
    ],
)
def test_what_only_resembles_a_key_is_kept(text: str) -> None:
    assert Redaction().text(text) == text


def test_text_after_the_mere_mention_of_a_private_key_is_kept() -> None:
    text = "look for '-----BEGIN RSA PRIVATE KEY-----' in the file.\nIt was not found in any of the four folders.\n"
    assert Redaction().text(text).endswith("in the file.\nIt was not found in any of the four folders.\n")


def test_a_known_secret_is_hidden_as_it_is_and_as_json_writes_it() -> None:
    secret = 'pa"ss\\wörd\nsecond line of it'
    redaction = Redaction((secret,))
    assert redaction.text(f"<{secret}>") == "<[redacted]>"
    assert redaction.text(json.dumps({"k": secret})) == '{"k": "[redacted]"}'
    assert redaction.text(json.dumps({"k": secret}, ensure_ascii=False)) == '{"k": "[redacted]"}'
    assert redaction.text("2: second line of it") == "2: [redacted]"


def test_a_secret_too_short_to_be_one_does_not_hide_words() -> None:
    assert Redaction(("1", "on", "")).text("1 of 11 is on") == "1 of 11 is on"


def test_known_secrets_cut_at_any_place_are_hidden_as_if_they_came_in_one_piece() -> None:
    secrets = Secrets(("hunter2", "hunter2-and-more", "token with spaces\nand a line end", "ababab"), ())
    text = "hunter2-and-more hunter2-and hunter2 token with spaces\nand a line end; abababab hunte hunter2"
    data = text.encode()
    whole = redacted(data, secrets)
    assert whole == b"[redacted] [redacted]-and [redacted] [redacted]; [redacted] hunte [redacted]"
    for pieces in cuts(data):
        assert stream(secrets, pieces) == whole
    assert stream(secrets, [bytes([byte]) for byte in data]) == whole


def test_a_known_secret_that_begins_like_a_key_is_hidden_to_its_end_wherever_it_is_cut() -> None:
    secret = KEYS["openai"] + "!#tail-of-it"
    secrets = Secrets((secret,), ())
    data = f"a {secret} z".encode()
    for pieces in cuts(data):
        assert stream(secrets, pieces) == b"a [redacted] z"


def test_patterns_of_the_user_hold_within_a_line_wherever_it_is_cut() -> None:
    secrets = Secrets((), (r"^PIN: \d+$", r"cust-[0-9]{6}"))
    data = b"PIN: 123456\nmy PIN: 1\n id cust-123456 and cust-12\nPIN: 77"
    whole = b"[redacted]\nmy PIN: 1\n id [redacted] and cust-12\n[redacted]"
    for pieces in cuts(data):
        assert stream(secrets, pieces) == whole
    assert stream(secrets, [bytes([byte]) for byte in data]) == whole


def test_a_pattern_that_is_no_regular_expression_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"redact: '\(' is not a regular expression"):
        Redaction((), ("(",))


def test_secrets_do_not_show_when_the_redaction_is_printed() -> None:
    assert "hunter2" not in repr(Redaction(("hunter2",)))


def test_bytes_that_are_no_text_pass_unchanged() -> None:
    data = bytes(random.Random(1).randbytes(200_000)).replace(b"AIza", b"....")
    assert redacted(data, Secrets(("hunter2",), ())) == data
    assert stream(Secrets(("hunter2",), ()), [data[at : at + 777] for at in range(0, len(data), 777)]) == data
    assert Redaction(("hunter2",)).text("lone \ud800 surrogate hunter2") == "lone \ud800 surrogate [redacted]"


@pytest.mark.parametrize(
    "line", [b"a", b"eyJ", b"sk-", b"-", b"-----BEGIN RSA PRIVATE KEY-----", b"hunter", KEYS["jwt"].encode(), b"earer "]
)
def test_an_endless_line_is_held_back_only_in_small_part(line: bytes) -> None:
    secrets = Secrets(("hunter2",), ())
    piece = (line * (50_000 // len(line) + 1))[:50_000]
    stream(secrets, [piece] * 8)  # asserts the bound at every piece


def test_an_unfinished_line_that_cannot_become_a_secret_is_passed_on_at_once() -> None:
    redactor = Redactor(Secrets(("hunter2",), ()))
    for prompt in (b"Continue? [y/n] ", b"Password: ", b"50% done..."):
        buf = bytearray(redactor.head + prompt)
        end = len(buf)
        out = redactor.feed(buf, end, False, lambda literal, at, buf=buf, end=end: buf.find(literal, at, end))
        assert b"".join(out) == prompt


FRAGMENTS = [
    *KEYS.values(),
    PEM,
    *("Bearer ", f"Bearer {KEYS['aws']}"),
    "hunter2",
    "hunter2-and-more",
    *("sk-", "ask-", "ghp_", "eyJ", ".", "eyJa.eyJ", "AKIA", "xoxb-", "-----BEGIN ", "PRIVATE KEY-----", "-----END "),
    *("\n", " ", "a", "Z9", "_", "-", "text of a log line", "\\n", BODY, BODY[:20], "é"),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_any_text_comes_out_the_same_however_it_is_cut(fragments: list[str], sizes: list[int]) -> None:
    data = "".join(fragments).encode()
    secrets = Secrets(("hunter2", "hunter2-and-more"), ())
    pieces, at, number = [], 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        pieces.append(data[at : at + size])
        at, number = at + size, number + 1
    out = stream(secrets, pieces)
    assert out == redacted(data, secrets)
    for key in (*KEYS.values(), "hunter2"):
        if f" {key} " in data.decode():
            assert f" {key} ".encode() not in out


@pytest.mark.parametrize("nulls", [False, True])
def test_the_fast_search_finds_what_the_plain_one_finds(nulls: bool) -> None:
    buffer = Buffer(4096)
    noise = random.Random(7)
    alphabet = b"abk-_s\n" + (b"\0" if nulls else b"")
    data = b"\n" + bytes(noise.choices(alphabet, k=CHUNK))
    buffer.view[: len(data)] = data
    for end in (len(data), 5000, 2047):
        buffer.look_at(end)
        for literal in (b"sk-", b"sk-a", b"_a_b", b"zz", b"bbbbbbbbbbb", b"a\0b"):
            at = expected = 1
            for _ in range(50):
                at, expected = buffer.seek(literal, at), data.find(literal, expected, end)
                assert at == expected
                if at < 0:
                    break
                at = expected = at + 1


def test_a_flood_full_of_near_keys_does_not_take_for_ever() -> None:
    secrets = Secrets(("hunter2",), ())
    data = (b"task-1 eyJabc AKIA ghp_x xoxb-1 sk-short -----BEGIN hunter\n" * 20_000)[:1_000_000]
    began = time.perf_counter()
    assert stream(secrets, [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]) == data
    assert time.perf_counter() - began < 5
