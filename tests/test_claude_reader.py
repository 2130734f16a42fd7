"""The reader of claude's output, on recorded sessions and on what can happen to them on the way."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from runner.agents import ReaderEvent, Summary, outcome
from runner.model import Usage
from runner_plugins.agent_claude import register_agents
from runner_plugins.formats.claude import ClaudeReader

SAMPLES = Path(__file__).parent / "data" / "claude"
CLAUDE = register_agents()["claude"]
NAMES = sorted(path.name for path in SAMPLES.iterdir())


def read(data: bytes, size: int = 1 << 20) -> tuple[Summary, list[ReaderEvent]]:
    reader = ClaudeReader()
    events = [event for place in range(0, len(data), size) for event in reader.feed(data[place : place + size])]
    events += reader.close()
    return reader.summary(), events


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def lines(*objects: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


OK_RESULT = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "fine",
    "terminal_reason": "completed",
}


def said(text: str, message: str = "m", **more: Any) -> dict[str, Any]:
    return {"type": "assistant", "message": {"id": message, "content": [{"type": "text", "text": text}]}, **more}


def test_a_good_run_gives_session_text_tools_usage_and_cost() -> None:
    summary, events = read(sample("ok.jsonl"))
    assert summary.session == "efe3de15-93e6-40be-a692-cd7c73122e70"
    assert (summary.final, summary.outcome, summary.text) == (True, None, "FAKE-FINAL: done.")
    assert summary.usage == Usage(200, 40, pytest.approx(0.0012), 2)  # type: ignore[arg-type]
    assert [event.kind for event in events] == ["session", "tool", "text", "usage", "cost", "final"]
    assert outcome(0, summary, agent=CLAUDE).outcome == "ok"


@pytest.mark.parametrize(
    ("name", "code", "wanted", "why"),
    [
        ("401.jsonl", 1, "auth", "Invalid API key"),
        ("401.json", 1, "auth", ""),
        ("429.jsonl", 1, "rate_limited", "429"),
        ("429.json", 1, "rate_limited", ""),
        ("maxturns.json", 1, "budget", "maximum number of turns"),
        ("flaky.jsonl", 0, "ok", ""),
        ("denied.jsonl", 0, "awaiting_permission", "Bash"),
        ("hang.jsonl", 143, "crashed", "before its final event"),
        ("resume.json", 0, "awaiting_permission", "Bash"),
        ("two_turns.jsonl", 0, "ok", ""),
    ],
)
def test_what_each_recording_came_to(name: str, code: int, wanted: str, why: str) -> None:
    decision = outcome(code, read(sample(name))[0], agent=CLAUDE)
    assert decision.outcome == wanted
    assert why in decision.why


def test_an_api_error_is_no_answer_although_it_is_called_a_success() -> None:
    summary, _ = read(sample("401.jsonl"))
    assert b'"subtype":"success"' in sample("401.jsonl")
    assert (summary.text, summary.error) == ("", "Invalid API key · Fix external API key")


def test_a_run_that_is_ended_while_it_retries_was_waiting() -> None:
    whole = sample("429.jsonl").splitlines(keepends=True)
    summary, _ = read(b"".join(whole[:6]))
    assert summary.waiting == "rate_limited"
    assert outcome(-15, summary, "timeout", agent=CLAUDE).outcome == "rate_limited"
    summary, _ = read(b"".join(sample("flaky.jsonl").splitlines(keepends=True)[:4]))
    assert summary.waiting is None


def test_two_turns_give_the_last_word_the_sum_of_tokens_and_the_last_cost() -> None:
    summary, _ = read(sample("two_turns.jsonl"))
    assert summary.text == "TWO"
    assert summary.usage is not None
    assert (summary.usage.input_tokens, summary.usage.cost_usd) == (200, pytest.approx(0.0008))


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
@pytest.mark.parametrize("name", NAMES)
def test_it_makes_no_difference_how_the_bytes_arrive(name: str, size: int) -> None:
    assert read(sample(name), size) == read(sample(name))


def test_a_rate_limit_event_that_allows_is_no_failure() -> None:
    for status in ("allowed", "allowed_warning"):
        event = {"type": "rate_limit_event", "rate_limit_info": {"status": status, "resetsAt": 1_900_000_000}}
        summary, _ = read(lines(event, OK_RESULT))
        assert outcome(0, summary, agent=CLAUDE) == ("ok", None, "")


@pytest.mark.parametrize("reset", [1_900_000_000, 1_900_000_000_000])
def test_a_rejection_carries_the_reset_time(reset: int) -> None:
    event = {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": reset}}
    bad = {"type": "result", "subtype": "success", "is_error": True, "api_error_status": 429, "result": "limit"}
    decision = outcome(1, read(lines(event, bad))[0], agent=CLAUDE)
    assert (decision.outcome, decision.retry_at) == ("rate_limited", 1_900_000_000)


def test_a_rejection_that_the_run_got_over_is_forgotten() -> None:
    event = {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 1_900_000_000}}
    assert outcome(0, read(lines(event, said("hi"), OK_RESULT))[0], agent=CLAUDE) == ("ok", None, "")


def test_the_older_words_for_a_limit_carry_the_time_too() -> None:
    bad = {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "result": "Claude AI usage limit reached|1900000000",
    }
    assert outcome(1, read(lines(bad))[0], agent=CLAUDE)[:2] == ("rate_limited", 1_900_000_000)


def test_an_event_in_the_middle_of_another_loses_neither() -> None:
    whole = json.dumps(said("the answer")).encode()
    event = json.dumps({"type": "rate_limit_event", "rate_limit_info": {"status": "allowed"}}).encode()
    empty = {**OK_RESULT, "result": ""}
    for torn in (
        whole[:40] + event + b"\n" + whole[40:],
        whole[:40] + event + whole[40:],
        event + whole,
        whole + event,
    ):
        summary, events = read(torn + b"\n" + lines(empty))
        assert summary.text == "the answer"
        assert "limit" in [one.kind for one in events]


def test_an_empty_result_falls_back_to_what_was_streamed() -> None:
    blocks = [said("first"), said("part one", "m2"), said("part two", "m2")]
    assert read(lines(*blocks, {**OK_RESULT, "result": ""}))[0].text == "part one\npart two"


def test_a_subagents_words_are_not_the_answer() -> None:
    nested = said("inner", "m2", parent_tool_use_id="t1")
    assert read(lines(said("outer"), nested, {**OK_RESULT, "result": ""}))[0].text == "outer"


def test_a_denial_is_counted_once_wherever_it_is_said() -> None:
    summary, events = read(sample("denied.jsonl"))
    assert summary.denied == ("Bash",)
    assert [event.data for event in events if event.kind == "denied"] == [{"tool": "Bash"}]


@pytest.mark.parametrize("budget", ["error_max_turns", "error_max_budget_usd"])
def test_a_limit_of_its_own_is_budget(budget: str) -> None:
    bad = {"type": "result", "subtype": budget, "is_error": True, "errors": []}
    assert outcome(1, read(lines(bad))[0], agent=CLAUDE).outcome == "budget"


@pytest.mark.parametrize(
    ("status", "wanted"), [(403, "auth"), (529, "rate_limited"), (500, "crashed"), (404, "crashed")]
)
def test_a_status_of_the_provider_is_a_class(status: int, wanted: str) -> None:
    bad = {"type": "result", "subtype": "success", "is_error": True, "api_error_status": status, "result": "x"}
    assert outcome(1, read(lines(bad))[0], agent=CLAUDE).outcome == wanted


def test_a_very_long_answer_is_not_held() -> None:
    summary, _ = read(lines({**OK_RESULT, "result": "x" * 2_000_000}))
    assert (summary.cut, summary.text) == (True, "")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The same bytes after something happened to them."""
    pieces = data.splitlines(keepends=True)
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(7)
        place = rng.randrange(max(1, len(data)))
        if kind == 0:
            data = data[:place]
        elif kind == 1 and pieces:
            data = b"".join(piece for piece in pieces if rng.random() > 0.3)
        elif kind == 2 and pieces:
            data = b"".join(piece * rng.randint(1, 3) for piece in pieces)
        elif kind == 3 and data:
            flipped = bytearray(data)
            for _ in range(rng.randint(1, 30)):
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            data = bytes(flipped)
        elif kind == 4:
            data = data[:place] + rng.randbytes(rng.randint(1, 50)) + data[place:]
        elif kind == 5:
            other = sample(rng.choice(NAMES))
            data = data[:place] + other[: rng.randrange(len(other))] + data[place:]
        else:
            data = data.replace(b"\n", b"", rng.randint(1, 3))
    return data


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_happens_to_the_bytes_makes_it_raise(name: str) -> None:
    rng = random.Random(name)
    for _ in range(150):
        summary, _ = read(mutated(sample(name), rng), rng.choice([1 << 20, 500]))
        assert summary.text is not None
        outcome(rng.choice([0, 1, -9]), summary, rng.choice([None, "timeout"]), agent=CLAUDE)


def values(rng: random.Random, depth: int = 0) -> Any:
    simple: list[Any] = [None, True, -1, 0, 1e308, 10**30, "", "x", "success", 429, float("nan"), float("inf")]
    if depth > 2 or rng.random() < 0.7:
        return rng.choice(simple)
    if rng.random() < 0.5:
        return [values(rng, depth + 1) for _ in range(3)]
    return {rng.choice(["type", "id", "text", "content", "status"]): values(rng, depth + 1) for _ in range(3)}


@pytest.mark.parametrize("name", NAMES)
def test_no_value_in_any_place_makes_it_raise(name: str) -> None:
    rng = random.Random(name)

    def change(value: Any) -> Any:
        if rng.random() < 0.08:
            return values(rng)
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items()}
        return [change(item) for item in value] if isinstance(value, list) else value

    for _ in range(60):
        objects = [change(json.loads(line)) for line in sample(name).splitlines()]
        data = b"".join(json.dumps(one).encode() + b"\n" for one in objects)
        summary, _ = read(data)
        outcome(0, summary, agent=CLAUDE)
        json.dumps([summary.text, summary.retry_at, summary.session_cost_usd])
