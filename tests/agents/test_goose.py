"""The agent `goose`: how it is called, and what its output means although it exits 0."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.agents import Summary, outcome
from runner.model import Usage
from tests.agents.played import Row, came_to, play
from tests.agents.recordings import agents, read, recording

GOOSE = agents()["goose"]
PLAIN = ["run", "-q", "-i", "-", "--output-format", "stream-json", "-n"]
NONE = (None, None)

CAME_TO: dict[str, Row] = {
    "ok": ("ok", "", "", "FAKE-FINAL: done.", (200, 40)),
    "newer": ("ok", "", "", "All done.", (200, 40)),
    "flaky": ("ok", "", "", "FAKE-FINAL: done.", (200, 40)),
    "resumed": ("ok", "", "", "All done.", (400, 80)),
    "read-only": ("ok", "", "", "All done.", (100, 20)),
    "401": ("auth", "401 Unauthorized", "", "", NONE),
    "402": ("auth", "add more credits", "", "", (0, 0)),
    "403": ("auth", "403 Forbidden", "", "", NONE),
    "404": ("needs_human", "The model `m` does not exist", "", "", (0, 0)),
    "429": ("rate_limited", "Rate limit exceeded", "", "", NONE),
    "500": ("crashed", "500 Internal Server Error", "", "", (0, 0)),
    "network": ("crashed", "Could not connect", "", "", (0, 0)),
    "maxturns": ("budget", "limit of turns", "", "", (100, 20)),
    "chat": ("awaiting_permission", "not allowed to use shell", "", "All done.", (200, 40)),
    "hang": ("timeout", "time limit", "", "", NONE),
    "nologin": ("auth", "No provider configured", "", "", NONE),
    "resume-bad": ("crashed", "before its final event", "", "", NONE),
    "approve2": ("crashed", "approval required", "", "", NONE),
    # Printed in another format: never taken for a success.
    "json": ("crashed", "before its final event", "", "", NONE),
    "401j": ("crashed", "before its final event", "", "", NONE),
    "nobuiltin": ("crashed", "before its final event", "", "", NONE),
    "resume": ("crashed", "before its final event", "", "", NONE),
}


@pytest.mark.parametrize("scenario", CAME_TO)
def test_what_each_recording_came_to(scenario: str) -> None:
    wanted, why, session, text, tokens = CAME_TO[scenario]
    got = came_to("goose", scenario)
    assert (got[0], got[2], got[3], got[4]) == (wanted, session, text, tokens), got
    assert why in got[1]


def said(*blocks: dict[str, Any], id: str | None = "m1", **more: Any) -> dict[str, Any]:
    return {"type": "message", "message": {"id": id, "role": "assistant", "content": list(blocks), **more}}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def tool(name: str, id: str) -> dict[str, Any]:
    return {"type": "toolRequest", "id": id, "toolCall": {"status": "success", "value": {"name": name}}}


DONE = {"type": "complete", "total_tokens": 3, "input_tokens": 2, "output_tokens": 1}


def summary_of(*objects: dict[str, Any]) -> Summary:
    return read(GOOSE, b"".join(json.dumps(one).encode() + b"\n" for one in objects), 50)[0]


@settings(deadline=None)
@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=5),
    st.text(max_size=9),
    st.lists(st.text(max_size=9), max_size=4, unique=True),
    st.integers(0, 10**9),
)
def test_whatever_the_ids_texts_and_tools_are_they_are_read(
    pieces: list[str], id: str, tools: list[str], tokens: int
) -> None:
    used = [said(words("looking"), tool(name, f"id-{name}"), id="a") for name in tools]
    spent = {"type": "complete", "input_tokens": tokens, "output_tokens": tokens}
    inference = {"inference": {"provider": "p"}}
    answer = [said(words(piece), id=id, metadata=inference) for piece in pieces]
    got = summary_of(*used, *answer, spent)
    assert got == Summary(text="".join(pieces).strip(), final=True, usage=Usage(tokens, tokens), tools=len(tools))


def test_a_model_may_speak_of_errors() -> None:
    text = "Ran into this error: Rate limit exceeded: x\n\nPlease retry if you think this is a transient error."
    got = summary_of(said(words(text), metadata={"inference": {"provider": "p"}}), DONE)
    assert (got.text, got.outcome) == (text, None)
    assert summary_of(said(words(f"I saw: {text}")), DONE).outcome is None
    assert summary_of(said(words(text), id=None), DONE).outcome == "rate_limited"


def test_an_error_that_it_got_over_is_forgotten() -> None:
    broke = said(words("Ran into this error: Server error (500) at x.\n\nPlease retry if you think this is a"), id=None)
    assert summary_of(broke, DONE).outcome == "crashed"
    assert summary_of(broke, said(tool("shell", "t")), said(words("fine"), id="m2"), DONE).text == "fine"


def test_a_limit_tells_when_it_ends() -> None:
    text = "Ran into this error: Rate limit exceeded: Rate limit reached for model x. Please try again in 7m12.5s."
    got = summary_of(said(words(text), id=None), DONE)
    assert got.retry_at is not None
    assert 430 < got.retry_at - time.time() < 433
    assert outcome(0, got, agent=GOOSE)[:2] == ("rate_limited", got.retry_at)


@pytest.mark.parametrize(
    ("kind", "wanted"), [("authentication", "auth"), ("rate_limit", "rate_limited"), ("other", "crashed")]
)
def test_a_named_error_is_a_class_and_is_said_twice(kind: str, wanted: str) -> None:
    broke = said({"type": "error", "kind": kind, "message": "Ran into this error: no"})
    got = summary_of(broke, {"type": "error", "error": "Ran into this error: no"})
    assert (got.outcome, got.error, got.final) == (wanted, "no", True)


def test_a_new_session_has_a_name_of_ours(tmp_path: Path) -> None:
    done = play(tmp_path, "goose", model="big")
    name = done.argv[len(PLAIN)]
    assert done.argv == [*PLAIN, name, "--model", "big", "--with-builtin", "developer"]
    assert (done.result.outcome, done.result.output) == ("ok", "FAKE-FINAL: done.")
    assert (done.result.session, len(name)) == (name, 36)
    assert done.env["GOOSE_MODE"] == "auto"


def test_a_session_goes_on_by_its_name(tmp_path: Path) -> None:
    done = play(tmp_path, "goose", "resumed", session="S")
    assert done.argv == [*PLAIN, "S", "--with-builtin", "developer", "--resume"]
    assert done.result.session == "S"


def test_read_only_has_no_tool_that_writes(tmp_path: Path) -> None:
    done = play(tmp_path, "goose", "read-only", permission="read-only")
    assert done.argv[-3:] == ["--no-profile", "--with-builtin", "analyze"]


def test_a_failure_that_exits_with_0_is_a_failure(tmp_path: Path) -> None:
    assert recording("goose", "401").exit_code == 0
    done = play(tmp_path, "goose", "401")
    assert (done.result.outcome, done.result.exit_code, done.result.output) == ("auth", 0, "")
