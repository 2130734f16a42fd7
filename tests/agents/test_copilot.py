"""The agent `copilot`: how it is called, and what its output means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.agents import Summary, outcome
from runner.model import Usage
from tests.agents.played import Row, came_to, play
from tests.agents.recordings import agents, read, recording

COPILOT = agents()["copilot"]
PLAIN = ["--output-format", "json", "--no-auto-update", "--no-ask-user"]
NONE = (None, None)

CAME_TO: dict[str, Row] = {
    "ok": ("ok", "", "3647787e", "FAKE-FINAL: done.", NONE),
    "flaky": ("ok", "", "7f10004e", "FAKE-FINAL: done.", NONE),
    "401": ("auth", "HTTP 401", "a9b53a5f", "", NONE),
    "429": ("rate_limited", "retried 5 times", "ff8b56b6", "", NONE),
    "404": ("needs_human", "Model 'm' not found", "", "", NONE),
    "hang": ("timeout", "time limit", "9c26f27f", "", NONE),
    "denied": ("awaiting_permission", "not allowed to use bash", "", "All done.", NONE),
    "unasked": ("awaiting_permission", "not allowed to use bash", "", "All done.", NONE),
    "nologin": ("auth", "gh auth login", "", "", NONE),
    "resume-bad": ("crashed", "copilot --session-id", "", "", NONE),
    # Printed as text, not in this format: never taken for a success.
    "deny": ("crashed", "before its final event", "", "", NONE),
    "resume": ("crashed", "before its final event", "", "", NONE),
    "usage": ("crashed", "before its final event", "", "", NONE),
}


@pytest.mark.parametrize("scenario", CAME_TO)
def test_what_each_recording_came_to(scenario: str) -> None:
    wanted, why, session, text, tokens = CAME_TO[scenario]
    got = came_to("copilot", scenario)
    assert (got[0], got[3], got[4]) == (wanted, text, tokens), got
    assert why in got[1]
    assert got[2].startswith(session)


def lines(*objects: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": data, "id": "x"}


def summary_of(*objects: dict[str, Any]) -> Summary:
    return read(COPILOT, lines(*objects), 64)[0]


@settings(deadline=None)
@given(st.text(min_size=1), st.uuids(), st.text(min_size=1, max_size=20), st.integers(1, 5), st.integers(0, 10**6))
def test_whatever_the_ids_texts_and_tools_are_they_are_read(
    words: str, session: Any, tool: str, calls: int, tokens: int
) -> None:
    used = [event("tool.execution_start", toolCallId=f"c{n}", toolName=tool) for n in range(calls)]
    spent = event("assistant.usage", inputTokens=tokens, outputTokens=tokens + 1)
    got = summary_of(
        event("assistant.turn_start"),
        *used,
        spent,
        spent,
        event("assistant.message", content="before"),
        event("assistant.message", content=words),
        {"type": "result", "sessionId": str(session), "exitCode": 0},
    )
    assert got == Summary(
        session=str(session),
        text=words.strip() or "before",
        final=True,
        usage=Usage(2 * tokens, 2 * tokens + 2, None, 1),
        tools=calls,
    )


@pytest.mark.parametrize(
    ("status", "kind", "wanted"),
    [
        (401, "authentication", "auth"),
        (403, "authorization", "auth"),
        (402, "quota", "auth"),
        (429, "rate_limit", "rate_limited"),
        (429, "query", "rate_limited"),
        (529, "query", "rate_limited"),
        (500, "query", "crashed"),
        (404, "query", "crashed"),
    ],
)
def test_what_the_provider_says_is_a_class(status: int, kind: str, wanted: str) -> None:
    broke = event("session.error", errorType=kind, statusCode=status, message="no")
    got = summary_of(broke, {"type": "result", "sessionId": "s", "exitCode": 1})
    assert outcome(1, got, agent=COPILOT).outcome == wanted


def test_an_error_that_it_got_over_is_forgotten() -> None:
    broke = event("session.error", errorType="rate_limit", statusCode=429, message="try again in 30 seconds")
    answer = event("assistant.message", content="done after all")
    got = summary_of(broke, answer, {"type": "result", "sessionId": "s", "exitCode": 0})
    assert (got.text, got.outcome, got.error, got.retry_at) == ("done after all", None, "", None)


def test_one_that_is_ended_while_it_retries_was_waiting_although_it_says_zero() -> None:
    failed = event("model.call_failure", statusCode=429, errorMessage="slow down")
    aborted = (event("abort", reason="user_initiated"), {"type": "result", "sessionId": "s", "exitCode": 0})
    got = summary_of(failed, *aborted)
    assert outcome(0, got, "timeout", agent=COPILOT).outcome == "rate_limited"
    assert outcome(0, summary_of(*aborted), None, agent=COPILOT).outcome == "crashed"


def test_a_subagents_words_are_not_the_answer() -> None:
    inner = event("assistant.message", content="inner", parentToolCallId="t1")
    got = summary_of(
        event("assistant.message", content="outer"), inner, {"type": "result", "sessionId": "s", "exitCode": 0}
    )
    assert got.text == "outer"


def test_one_denied_tool_of_several_is_no_end() -> None:
    whole = recording("copilot", "denied").stdout
    more = lines(event("tool.execution_start", toolCallId="c9", toolName="view"))
    got, _ = read(COPILOT, more + whole)
    assert (got.denied, got.tools) == (("bash",), 2)
    assert outcome(0, got, agent=COPILOT).outcome == "ok"


def test_a_new_session_has_an_id_of_ours(tmp_path: Path) -> None:
    done = play(tmp_path, "copilot", model="big")
    assert done.argv[:-1] == [*PLAIN, "--model", "big", "--allow-all-tools", "--session-id"]
    assert len(done.argv[-1]) == 36
    assert (done.result.outcome, done.result.output) == ("ok", "FAKE-FINAL: done.")
    assert done.result.session == "3647787e-5fd9-42fa-a82c-e7e02cacde7d"


def test_a_session_goes_on_in_the_directory_of_the_step(tmp_path: Path) -> None:
    done = play(tmp_path, "copilot", session="S")
    assert done.argv == [*PLAIN, "--allow-all-tools", "-C", str(tmp_path / "w"), "--resume=S"]


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("read-only", ["--allow-all-tools", "--deny-tool=write", "--deny-tool=shell", "--disable-builtin-mcps"]),
        ("full", ["--allow-all"]),
    ],
)
def test_every_level_has_its_flags(tmp_path: Path, level: str, words: list[str]) -> None:
    assert play(tmp_path, "copilot", "denied", permission=level).argv[len(PLAIN) : -2] == words


def test_what_a_copilot_around_the_runner_left_is_taken_away(tmp_path: Path) -> None:
    parents = {"COPILOT_AGENT_SESSION_ID": "1", "COPILOT_LOADER_PID": "2", "COPILOT_GITHUB_TOKEN": "t"}
    assert {name for name in parents if name in play(tmp_path, "copilot", env=parents).env} == {"COPILOT_GITHUB_TOKEN"}
