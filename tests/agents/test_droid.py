"""The agent `droid`: how it is called, and what its output means."""

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
from tests.agents.recordings import agents, read

DROID = agents()["droid"]
NONE = (None, None)

CAME_TO: dict[str, Row] = {
    "ok": ("ok", "", "494c4e2e", "FAKE-FINAL: done.", (200, 40)),
    "flaky": ("ok", "", "721500fd", "FAKE-FINAL: done.", (200, 40)),
    "read-only": ("ok", "", "49eae541", "All done.", (100, 20)),
    "fork": ("ok", "", "61d034c2", "SECOND TURN OK", (100, 20)),
    "j": ("ok", "", "d3891601", "FAKE-FINAL: done.", (200, 40)),
    "401": ("auth", "401 invalid x-api-key", "2eef77f2", "", NONE),
    "404": ("needs_human", "404 The model `m` does not exist", "0807f0b2", "", NONE),
    "429": ("rate_limited", "429 rate limited", "5fcebe92", "", NONE),
    "hang": ("timeout", "time limit", "a6341244", "", NONE),
    "denied": ("awaiting_permission", "insufficient permission", "", "", NONE),
    "nologin": ("auth", "FACTORY_API_KEY", "8edc3280", "", NONE),
    "resume": ("crashed", "exited with 1", "", "", NONE),
    "resume2": ("crashed", "exited with 1", "", "", NONE),
    "jr": ("crashed", "exited with 1", "", "", NONE),
    "resume-bad": ("crashed", "exited with 1", "", "", NONE),
}


@pytest.mark.parametrize("scenario", CAME_TO)
def test_what_each_recording_came_to(scenario: str) -> None:
    wanted, why, session, text, tokens = CAME_TO[scenario]
    got = came_to("droid", scenario)
    assert (got[0], got[3], got[4]) == (wanted, text, tokens), got
    assert why in got[1]
    assert got[2].startswith(session)


def summary_of(*objects: dict[str, Any]) -> Summary:
    return read(DROID, b"".join(json.dumps(one).encode() + b"\n" for one in objects), 70)[0]


def error(message: str, source: str = "agent_loop") -> dict[str, Any]:
    return {"type": "error", "source": source, "message": message}


@settings(deadline=None)
@given(st.text(min_size=1), st.text(max_size=20), st.lists(st.text(max_size=9), max_size=4), st.integers(0, 10**9))
def test_whatever_the_ids_texts_and_tools_are_they_are_read(
    words: str, session: str, tools: list[str], tokens: int
) -> None:
    used = [{"type": "tool_call", "id": f"t{n}", "messageId": "m1", "toolName": name} for n, name in enumerate(tools)]
    usage = {"input_tokens": tokens, "cache_read_input_tokens": 5, "output_tokens": tokens}
    got = summary_of(
        {"type": "system", "subtype": "init", "session_id": session},
        *used,
        {"type": "message", "role": "user", "id": "u", "text": "not the answer"},
        {"type": "message", "role": "assistant", "id": "m2", "text": words},
        {"type": "completion", "finalText": words, "numTurns": 99, "usage": usage},
    )
    assert got == Summary(
        session=session or None,
        text=words.strip(),
        final=True,
        usage=Usage(tokens + 5, tokens, None, 2 if tools else 1),
        tools=len(tools),
    )


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("401 no", "auth"),
        ("403 no", "auth"),
        ("402 pay", "auth"),
        ("429 slow down", "rate_limited"),
        ("529 overloaded", "rate_limited"),
        ("500 oops", "crashed"),
        ("404 no such model", "needs_human"),
        ("40123 things", "crashed"),
    ],
)
def test_the_first_error_says_what_failed(words: str, wanted: str) -> None:
    got = summary_of(error(words), error("Exec failed", "cli"))
    assert (got.error, got.final) == (words, True)
    assert outcome(1, got, agent=DROID).outcome == wanted


def test_an_error_that_it_got_over_is_forgotten() -> None:
    got = summary_of(error("429 slow down"), {"type": "completion", "finalText": "done"})
    assert (got.outcome, got.error, got.text) == (None, "", "done")


def test_one_that_is_ended_is_no_success_although_it_exits_with_0() -> None:
    got = summary_of({"type": "message", "role": "assistant", "id": "m", "text": "half"})
    assert outcome(0, got, agent=DROID).outcome == "crashed"
    assert outcome(0, got, "stalled", agent=DROID).outcome == "stalled"


def test_a_new_session_and_what_came_of_it(tmp_path: Path) -> None:
    done = play(tmp_path, "droid", model="custom:m")
    place = str(tmp_path / "w")
    assert done.argv == ["exec", "-o", "stream-json", "--cwd", place, "-m", "custom:m", "--auto", "medium"]
    assert (done.result.outcome, done.result.output) == ("ok", "FAKE-FINAL: done.")
    assert done.result.session == "494c4e2e-4b73-42ab-99a4-b0feb5ed9bbe"
    assert done.result.usage == Usage(200, 40, None, 2)


def test_a_session_goes_on_in_a_fork_with_an_id_of_its_own(tmp_path: Path) -> None:
    done = play(tmp_path, "droid", "fork", session="S", env={"FACTORY_EXEC_TARGET_AUTONOMY": "x"})
    assert done.argv[-4:] == ["--auto", "medium", "--fork", "S"]
    assert done.argv[3:5] == ["--cwd", str(tmp_path / "w")]
    assert done.result.session == "61d034c2-32cf-48e7-930b-f29be37f851a"
    assert "FACTORY_EXEC_TARGET_AUTONOMY" not in done.env


@pytest.mark.parametrize(
    ("level", "words"), [("read-only", ["--only-tools", "Read,LS,Grep,Glob"]), ("full", ["--auto", "high"])]
)
def test_every_level_has_its_flags(tmp_path: Path, level: str, words: list[str]) -> None:
    assert play(tmp_path, "droid", permission=level).argv[-2:] == words
