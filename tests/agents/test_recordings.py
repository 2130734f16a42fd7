"""Real outputs of agent CLIs, read in any pieces, cut anywhere, with junk between the lines."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.statuses import OUTCOMES
from tests.agents.recordings import Recording, agents, names, read, recording

ALL = [pair for pair in names() if pair[0] in agents()]
LINES = [pair for pair in ALL if agents()[pair[0]].format != "text"]

# cli: scenario → outcome, session, final text, tokens (in, out) of the process or session, cost
WANTED: dict[str, dict[str, tuple[str, str | None, str, tuple[int | None, int | None] | None, float | None]]] = {
    "claude": {
        "ok": ("ok", "efe3de15-93e6-40be-a692-cd7c73122e70", "FAKE-FINAL: done.", (200, 40), 0.0012),
        "flaky": ("ok", "c173e08a-2ca6", "FAKE-FINAL: done.", (200, 40), 0.0008),
        "sjin": ("ok", "c4f2391c-2fe", "TWO", (200, 40), 0.0008),
        "mcp": ("awaiting_permission", "3bd65a4c-b37", "FAKE-FINAL: done.", (200, 40), 0.0016),
        "resume": (
            "awaiting_permission",
            "efe3de15-93e6-40be-a692-cd7c73122e70",
            "FAKE-FINAL: done.",
            (200, 40),
            0.002,
        ),
        "deny": ("ok", "649f090e-78a0-460b-a762-1fd2318bfc30", "FAKE-FINAL: done.", (200, 40), 0.0008),
        "401": ("auth", "73cee713-763", "", (0, 0), 0.0),
        "429": ("rate_limited", "3bbd7603-e67", "", (0, 0), 0.0),
        "maxturns": ("budget", "54613ed5-e4e", "", (100, 20), 0.0004),
        "hang": ("timeout", "bbcaa0e6-408", "", None, None),
        "resume-bad": ("crashed", None, "", None, None),
        "sid": ("crashed", None, "", None, None),
        "continue": (
            "awaiting_permission",
            "1a3eb7b9-6d81-47c1-8808-ca086065ee00",
            "FAKE-FINAL: done.",
            (200, 40),
            0.0036,
        ),
        "resume-otherdir": (
            "awaiting_permission",
            "efe3de15-93e6-40be-a692-cd7c73122e70",
            "FAKE-FINAL: done.",
            (200, 40),
            0.0028,
        ),
        "hooks": ("ok", "673c9abc-9234-444e-b06e-1da2b69409a0", "FAKE-FINAL: done.", (200, 40), 0.0008),
        "json": ("ok", "ecc4fb5c-eb04-4394-983f-e6b5e08d92ea", "FAKE-FINAL: done.", (200, 40), 0.0008),
        "ok2": ("ok", "a1a06ad9-9cb0-4193-9a9f-fc1285082d2e", "FAKE-FINAL: done.", (200, 40), 0.0008),
        "hookfail": ("auth", "f1615cf1-19c9-4a27-9089-6f70b450af9d", "", (0, 0), 0.0),
        "r1-401": ("auth", "a68be5db-f0e5-48df-b3a8-62713753bf71", "", (0, 0), 0.0),
        "r1-429": ("rate_limited", "446ef550-ea82-4f42-b85b-5d9cbf13f0ba", "", (0, 0), 0.0),
        "resume2": ("crashed", None, "", None, None),  # plain text: nothing in it says that it ended well
    },
    "codex": {
        "ok": ("ok", "01a1faef-10b4-7db1-a02c-338f20c84f60", "FAKE-FINAL: done.", (200, 40), None),
        "ws": ("ok", "01a1faf6-a9e6-7872-9314-da1cff43f2bf", "FAKE-FINAL: done.", (200, 40), None),
        "flaky": ("ok", "01a1fb10-3e30-7962-9e14-54a6a02de9ea", "FAKE-FINAL: done.", (200, 40), None),
        "builtin2": ("ok", "01a1fb0a-31b5-7d20-902c-62ec4d668c41", "SECOND TURN OK", (100, 20), None),
        "di": ("ok", "01a1fb0a-122e-7870-86d4-1e18dde6f4bf", "SECOND TURN OK", (100, 20), None),
        "eph": ("ok", "01a1fb0a-13bd-7243-bd1a-4cc6aae06329", "SECOND TURN OK", (100, 20), None),
        "resume": ("ok", "01a1faef-10b4-7db1-a02c-338f20c84f60", "SECOND TURN OK", (300, 60), None),
        "resume-last": ("ok", "01a1faef-10b4-7db1-a02c-338f20c84f60", "SECOND TURN OK", (400, 80), None),
        "resume-bad": ("crashed", None, "", None, None),
        "401": ("auth", "01a1faf2-a429-7441-afdc-165122abfae1", "", (None, None), None),
        "429": ("rate_limited", "01a1faf3-1d1a-7c02-bfee-ba76a1146cb2", "", (None, None), None),
        "nokey": ("auth", "01a1faf6-fcd1-7c43-82b9-79365c33e6a2", "", (None, None), None),
        "hang": ("timeout", "01a1faf2-a3a8-7772-b06c-8d38512f9dde", "", (None, None), None),
    },
    "gemini": {
        "ok": ("ok", "4f429e5a-6fcc-4130-ae53-d8dd8a57fb8f", "FAKE-FINAL: done.", (200, 40), None),
        "flaky": ("ok", "0a5261d9-372", "FAKE-FINAL: done.", (200, 40), None),
        "json": ("ok", "99c6c625-15be-4701-a2a0-abb960987c29", "FAKE-FINAL: done.", (200, 40), None),
        "resume": ("ok", "4f429e5a-6fcc-4130-ae53-d8dd8a57fb8f", "SECOND TURN OK", (100, 20), None),
        "deny": ("ok", "f7b9360c-d02", "fake title", (100, 20), None),
        "401": ("auth", "c70c833c-2a1b-41e0-a189-fe5e2afe10a1", "", (0, 0), None),
        "401j": ("auth", None, "", None, None),
        "429": ("rate_limited", "729e4927-09e7-4ea6-a4b2-29d41b4d5f2a", "", (0, 0), None),
        "noauth": ("auth", None, "", None, None),
        "hang": ("timeout", "ebb06a59-c834-44bb-8038-6a803c57b882", "", None, None),
        "nourl": ("timeout", None, "", None, None),
    },
    "opencode": {
        "ok": ("ok", "ses_e0510646cffee02vmUUNmWBq2W", "FAKE-FINAL: done.", (200, 40), None),
        "flaky": ("ok", "ses_e04efb91ffferH88aAAINM7jnO", "FAKE-FINAL: done.", (200, 40), None),
        "deny": ("ok", "ses_e04f82153ffeXpzUB6KowzCxF6", "FAKE-FINAL: done.", (200, 40), None),
        "resume": ("ok", "ses_e0510646cffee02vmUUNmWBq2W", "SECOND TURN OK", (100, 20), None),
        "401": ("auth", "ses_e050d2b33ffeWIebyw07xp0D0X", "", None, None),
        "429": ("rate_limited", "ses_e050cc32dffenxz6CcXL33VD0x", "", None, None),
        "hang": ("timeout", None, "", None, None),
    },
    "qwen": {
        "ok": ("ok", "4bc939eb-c95a-4fe0-bf21-fa6164bc7fb6", "FAKE-FINAL: done.", (200, 40), None),
        "flaky": ("ok", "e13334ee-fea5-4693-ad83-38e2a46d8c73", "FAKE-FINAL: done.", (200, 40), None),
        "resume": ("ok", "4bc939eb-c95a-4fe0-bf21-fa6164bc7fb6", "SECOND TURN OK", (500, 100), None),
        "deny": ("ok", "200711eb-b88f-41f7-a987-e9ad70c10ce6", "fake title", (300, 60), None),
        "401": ("auth", "7f415bac-9dd7-49c6-9cb3-89ede91e7aec", "", (0, 0), None),
        "429": ("rate_limited", "4c5953a4-31b9-4e5e-8009-985c0fb48bf0", "", None, None),
        "json": ("budget", None, "", None, None),
        "hang": ("timeout", "2c5734f2-95b5-472c-af59-76faa5b6cc47", "", None, None),
    },
}


def cases() -> list[Any]:
    return [pytest.param(cli, scenario, id=f"{cli}-{scenario}") for cli in WANTED for scenario in WANTED[cli]]


@pytest.mark.parametrize(("cli", "scenario"), cases())
def test_what_a_recording_came_to(cli: str, scenario: str) -> None:
    wanted_outcome, session, text, tokens, cost = WANTED[cli][scenario]
    summary, decision = recording(cli, scenario).decide()
    assert decision.outcome == wanted_outcome, decision
    assert (summary.session or "").startswith(session or "")
    assert bool(summary.session) == bool(session)
    assert summary.text == text
    spent = summary.usage and (summary.usage.input_tokens, summary.usage.output_tokens)
    assert spent in (tokens, tokens or (None, None))
    assert (summary.usage.cost_usd if summary.usage else None) == (None if cost is None else pytest.approx(cost))
    assert (decision.why == "") == (decision.outcome == "ok")


@pytest.mark.parametrize(("cli", "scenario"), ALL)
def test_however_the_bytes_are_cut_the_summary_is_the_same(cli: str, scenario: str) -> None:
    one = recording(cli, scenario)
    whole, events = one.read()
    dice = random.Random(1)
    for size in (1, 7, dice.randrange(2, 5000)) if len(one.stdout) < 20_000 else (97, dice.randrange(100, 60_000)):
        summary, pieces = one.read(size)
        assert _timeless(summary) == _timeless(whole)
        assert [event.kind for event in pieces if event.kind != "text"] == [
            event.kind for event in events if event.kind != "text"
        ]


def _timeless(summary: Any) -> Any:
    import dataclasses

    return dataclasses.replace(summary, retry_at=None)


@pytest.mark.parametrize(("cli", "scenario"), LINES)
def test_what_breaks_off_is_no_success(cli: str, scenario: str) -> None:
    """Cut anywhere before the end of its terminal event, an output is not `ok`."""
    one = recording(cli, scenario)
    dice = random.Random(2)
    places = {dice.randrange(len(one.stdout)) for _ in range(25)} if one.stdout else set()
    for place in places:
        summary, _ = read(one.agent, one.stdout[:place])
        from runner.agents import outcome

        came_to = outcome(-9, summary, None, agent=one.agent, stderr="").outcome
        assert came_to in OUTCOMES
        assert came_to != "ok"


JUNK = [
    b"\n",
    b"not json\n",
    b"{\n",
    b'{"type":\n',
    b"\xff\xfe\x00\x01\n",
    b"[1, 2, 3]\n",
    b"null\n",
    b'"text"\n',
    b'{"type": null}\n',
    b'{"type": "assistant", "message": 7}\n',
    b'{"type": "result", "usage": []}\n'[:0] or b"{}\n",
    b'{"type": "unheard_of", "data": {"a": [1]}}\n',
    b"x" * 100_000 + b"\n",
]


@pytest.mark.parametrize(("cli", "scenario"), LINES)
def test_junk_between_the_lines_changes_nothing(cli: str, scenario: str) -> None:
    one = recording(cli, scenario)
    lines = one.stdout.splitlines(keepends=True)
    if len(lines) < 2 or not lines[0].lstrip().startswith(b'{"'):
        return  # one document over many lines: junk inside it is another document
    whole, _ = one.read()
    dice = random.Random(3)
    for junk in JUNK:
        place = dice.randrange(len(lines))
        summary, _ = read(one.agent, b"".join([*lines[:place], junk, *lines[place:]]))
        assert _timeless(summary) == _timeless(whole), junk[:40]


@pytest.mark.parametrize("cli", sorted({cli for cli, _ in LINES}))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_field_may_hold_anything(cli: str, data: st.DataObject) -> None:
    """Wherever a value is replaced by one of another type the reader goes on, and its answer is of the right types."""
    scenario = data.draw(st.sampled_from([scenario for name, scenario in LINES if name == cli]))
    one = recording(cli, scenario)
    lines = [line for line in one.stdout.splitlines() if line.strip().startswith(b"{")]
    if not lines:
        return
    number = data.draw(st.integers(0, len(lines) - 1))
    try:
        value = json.loads(lines[number])
    except ValueError:
        return
    odd = data.draw(st.sampled_from([None, 7, -1, 1e308, True, "", "x" * 5000, [], {}, [None], {"type": "error"}]))
    _replace(value, data.draw(st.integers(0, 30)), odd)
    lines[number] = json.dumps(value).encode()
    summary, events = read(one.agent, b"\n".join(lines), 4096)
    assert isinstance(summary.text, str)
    assert summary.outcome is None or summary.outcome in OUTCOMES
    assert summary.session is None or isinstance(summary.session, str)
    assert all(isinstance(event.data, dict) for event in events)


def _replace(value: Any, steps: int, odd: Any) -> None:
    """Walk `steps` leaves into the value and put `odd` there."""
    places: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        one = stack.pop()
        items = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        for key, item in items:
            places.append((one, key))
            stack.append(item)
    if places:
        holder, key = places[steps % len(places)]
        holder[key] = odd


@pytest.mark.parametrize("cli", sorted({cli for cli, _ in ALL}))
def test_memory_stays_bounded(cli: str) -> None:
    import tracemalloc

    from runner.agents import make_reader

    one: Recording = recording(cli, "ok")
    reader = make_reader(one.agent)
    tracemalloc.start()
    for _ in range(200):
        reader.feed(one.stdout)
        reader.feed(b"y" * 100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 << 20, f"{peak >> 20} MiB"


@pytest.mark.parametrize(
    "words",
    [
        "The model `gpt-9` does not exist or you do not have access to it.",
        "There's an issue with the selected model (x). It may not exist or you may not have access to it.",
        "models/gemini-9 is not found for API version v1beta",
        "Model not found: x/y",
        "unknown model 'x'",
        '{"error":{"code":"model_not_found"}}',
    ],
)
@pytest.mark.parametrize("cli", sorted(set(agents()) - {"script"}))
def test_an_unknown_model_asks_a_person_instead_of_trying_again(cli: str, words: str) -> None:
    from runner.agents import Summary, outcome

    agent = agents()[cli]
    summary = Summary(final=True, outcome="crashed", error=words)
    assert outcome(1, summary, agent=agent).outcome == "needs_human"
    for other in ("rate limited (429)", "it broke"):
        assert outcome(1, Summary(final=True, outcome="crashed", error=other), agent=agent).outcome != "needs_human"


def test_every_recording_has_its_row_in_a_table() -> None:
    import importlib

    rows = {(cli, scenario) for cli in WANTED for scenario in WANTED[cli]}
    for cli in {cli for cli, _ in names()} - set(WANTED):
        rows |= {(cli, scenario) for scenario in importlib.import_module(f"tests.agents.test_{cli}").CAME_TO}
    assert set(names()) <= rows
