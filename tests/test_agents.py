"""Calling agents: launch plans, readers, and what an end means."""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.agents import JsonLines, Summary, TextReader, bind_readers, make_reader, outcome, plan
from runner.errors import ConfigError, UsageError
from runner.model import Agent
from runner_plugins import agent_claude, agent_script
from runner_plugins.formats.script import ScriptReader

CLAUDE = agent_claude.register_agents()["claude"]
SCRIPT = agent_script.register_agents()["script"]
HERE = Path("/work")


def argv(agent: Agent, **given: Any) -> list[str]:
    return list(plan(agent, prompt=given.pop("prompt", "do it"), cwd=HERE, env={}, **given).argv)


def test_words_are_filled_in_and_whole_words_become_none_or_many() -> None:
    agent = Agent(
        "a",
        "prog",
        argv=("--x", "{model}", "{permissions}", "id={session}"),
        resume=("--again", "{session}", "{model}"),
        model_flag=("-m", "{model}"),
        permissions={"edit": ("-e",), "full": ("-f", "-g"), "read-only": ()},
    )
    launch = plan(agent, prompt="p", cwd=HERE, env={}, model="big")
    assert launch.session is not None
    assert list(launch.argv) == ["prog", "--x", "-m", "big", "-e", f"id={launch.session}"]
    assert argv(agent, session="s", permission="full") == ["prog", "--again", "s"]
    assert argv(replace(agent, model="own"), session="s") == ["prog", "--again", "s", "-m", "own"]


def test_a_value_is_never_taken_for_a_placeholder() -> None:
    agent = Agent("a", "prog", argv=("{prompt}", "{model}"), prompt="argv", model_flag=("{model}",))
    assert argv(agent, prompt="{model} {session}", model="{prompt}") == ["prog", "{model} {session}", "{prompt}"]


def test_a_prompt_on_the_command_line_is_no_option_and_not_too_long() -> None:
    agent = Agent("a", "prog", argv=("{prompt}",), prompt="argv")
    assert argv(agent, prompt="--help") == ["prog", " --help"]
    with pytest.raises(UsageError, match=r"200000 bytes and agent 'a' takes it as an argument"):
        argv(agent, prompt="x" * 200_000)
    assert plan(agent, prompt="p", cwd=HERE, env={}).stdin == b""


def test_the_environment_loses_what_strip_names_and_keeps_what_it_excepts() -> None:
    env = {"CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "x", "CLAUDE_CODE_USE_BEDROCK": "1", "PATH": "/bin", "A": "b"}
    launch = plan(CLAUDE, prompt="p", cwd=HERE, env=env)
    assert launch.stripped == ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT")
    assert {"CLAUDE_CODE_USE_BEDROCK", "PATH", "A", "DISABLE_AUTOUPDATER"} <= launch.env.keys()
    assert env["CLAUDECODE"] == "1"


def test_only_root_with_full_permission_says_it_is_in_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, permission, there in ((0, "full", True), (0, "edit", False), (1000, "full", False)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        launch = plan(CLAUDE, prompt="p", cwd=HERE, env={}, permission=permission)  # type: ignore[arg-type]
        assert ("IS_SANDBOX" in launch.env) is there


def test_claudes_permissions_are_its_own_flags() -> None:
    assert "bypassPermissions" in argv(CLAUDE, permission="full")
    assert "bypassPermissions" not in argv(CLAUDE)
    assert "Bash,Edit,Write,NotebookEdit" in argv(CLAUDE, permission="read-only")


def test_an_agent_without_resume_says_so() -> None:
    with pytest.raises(UsageError, match="can't go on in a session"):
        argv(Agent("a", "prog"), session="s")


def test_a_format_is_read_by_the_agent_that_brings_its_reader() -> None:
    bound = bind_readers({"script": SCRIPT, "mine": Agent("mine", "x", format="script"), "plain": Agent("plain", "y")})
    assert isinstance(make_reader(bound["mine"]), ScriptReader)
    assert isinstance(make_reader(bound["plain"]), TextReader)
    with pytest.raises(ConfigError, match=r"no output format is called 'scrpt'.*did you mean 'script'"):
        bind_readers({"script": SCRIPT, "b": Agent("b", "x", format="scrpt")})


def test_a_format_that_nobody_reads_is_not_read_as_text() -> None:
    with pytest.raises(ConfigError, match="nothing here reads the output format 'odd'"):
        make_reader(Agent("a", "x", format="odd"))


# Lines


def objects(data: bytes, *cuts: int) -> list[Any]:
    lines, found, place = JsonLines(), [], 0
    for cut in (*cuts, len(data)):
        found += lines.feed(data[place:cut])
        place = cut
    return found + lines.close()


A, B, C = {"type": "a", "x": [1, {"y": 'q"{'}]}, {"type": "b"}, {"type": "c", "t": "é\n"}


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (f"{json.dumps(A)}\n{json.dumps(B)}\n", [A, B]),
        (f"noise\n\n{json.dumps(A)}\r\n[oops\n{json.dumps(B)}", [A, B]),
        (f"{json.dumps(A)}{json.dumps(B)} {json.dumps(C)}\n", [A, B, C]),
        (f"warning: {json.dumps(A)}\n", [A]),
        (f"[{json.dumps(A)}, {json.dumps(B)}]\n", [A, B]),
        (f"{json.dumps(A)[:20]}{json.dumps(B)}\n{json.dumps(A)[20:]}\n{json.dumps(C)}\n", [B, A, C]),
        (f"{json.dumps(A)[:20]}{json.dumps(B)}{json.dumps(A)[20:]}\n", [B, A]),
        (f"{json.dumps(A)[:20]}\n{json.dumps(B)}\n", [B]),
        ('{"no": "mark"} {"type": 1}\n', [{"type": 1}]),
        ("[" * 100_000 + "\n" + json.dumps(B), [B]),
        ('{"type": ' * 5000 + "\n" + json.dumps(B), [B]),
        ('{"type": 1' + "0" * 5000 + "}\n" + json.dumps(B), [B]),
        ("null\n3\n{}\n", [{}]),
    ],
)
def test_objects_are_found_however_the_stream_is_torn(data: str, wanted: list[Any]) -> None:
    assert objects(data.encode()) == wanted


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_it_makes_no_difference_where_the_bytes_are_cut(data: st.DataObject) -> None:
    pieces = [
        json.dumps(A),
        json.dumps(B),
        json.dumps(C, ensure_ascii=False),
        "noise",
        "\n",
        "\r\n",
        "{",
        json.dumps(A)[:9],
        json.dumps(A)[9:],
    ]
    text = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=14))).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    assert objects(text, *cuts) == objects(text)


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    objects(data)


def test_a_line_without_end_is_dropped_and_the_next_is_read() -> None:
    lines = JsonLines(limit=1000)
    for _ in range(100):
        assert lines.feed(b'{"type": "' + b"x" * 100) == []
    assert sum(map(len, lines._pending)) <= 1100
    assert lines.feed(b'\n{"type": "b"}\n') == [B]
    assert lines.dropped == 1


def test_garbage_costs_little_time() -> None:
    began = time.process_time()
    objects(b'{"a' * 1_000_000 + b"\n")
    objects((b"x" * 79 + b"\n") * 500_000)
    assert time.process_time() - began < 2


# What an end means


@pytest.mark.parametrize(
    ("code", "summary", "limit", "wanted"),
    [
        (0, Summary(final=True, text="done"), None, "ok"),
        (0, Summary(), None, "crashed"),
        (1, Summary(final=True, text="done"), None, "crashed"),
        (143, Summary(final=True), "ended", "ok"),
        (-15, Summary(final=True), None, "crashed"),
        (0, Summary(final=True), "timeout", "timeout"),
        (0, Summary(), "stalled", "stalled"),
        (143, Summary(waiting="rate_limited", error="429"), "timeout", "rate_limited"),
        (143, Summary(waiting="auth"), "stalled", "auth"),
        (143, Summary(waiting="auth", final=True), "timeout", "timeout"),
        (1, Summary(final=True, outcome="auth", error="401"), None, "auth"),
        (0, Summary(final=True, outcome="crashed", error="x"), None, "crashed"),
        (0, Summary(final=True, outcome="crashed", error="Invalid API key"), None, "auth"),
        (1, Summary(error="usage limit reached"), None, "rate_limited"),
        (0, Summary(final=True, denied=("Bash",), tools=1), None, "awaiting_permission"),
        (0, Summary(final=True, denied=("Bash",), tools=3), None, "ok"),
        (0, Summary(final=True, question="Which?"), None, "needs_human"),
        (0, Summary(final=True, text="I read about rate limit and /login"), None, "ok"),
        (1, Summary(final=True, text="I read about rate limit and /login"), None, "crashed"),
    ],
)
def test_an_outcome_needs_exit_code_and_terminal_event(
    code: int, summary: Summary, limit: str | None, wanted: str
) -> None:
    decision = outcome(code, summary, limit, agent=CLAUDE)
    assert decision.outcome == wanted
    assert (decision.why == "") is (wanted == "ok")
    assert "\n" not in decision.why


def test_known_words_on_standard_error_name_a_failure() -> None:
    assert outcome(1, Summary(), None, agent=CLAUDE, stderr="Please run /login").outcome == "auth"
    assert outcome(0, Summary(final=True, text="ok"), None, agent=CLAUDE, stderr="Please run /login").outcome == "ok"


def test_a_pattern_that_is_none_is_passed_over() -> None:
    agent = Agent("a", "x", errors={"(": "auth", "boom": "nonsense", "bo+m": "budget"})
    assert outcome(1, Summary(final=True), None, agent=agent, stderr="boom").outcome == "budget"


# Plain text and script


def test_plain_text_survives_cuts_inside_characters() -> None:
    reader = TextReader()
    for byte in "  é 日本\n".encode():
        reader.feed(bytes([byte]))
    reader.close()
    assert reader.summary() == Summary(text="é 日本", final=True)


def test_plain_text_is_held_up_to_a_mebibyte() -> None:
    reader = TextReader()
    for _ in range(40):
        reader.feed(b"x" * 65536)
    reader.close()
    assert reader.summary() == Summary(cut=True, final=True)


def test_the_script_reader_never_raises() -> None:
    rng = random.Random(5)
    words = ["session", "text", "tool", "denied", "usage", "limit", "error", "ask", "final", "x"]
    values: list[Any] = [None, 1, -1, 1e400, "x", [], {}, True, "rate_limited", 2e9]
    for _ in range(300):
        reader = ScriptReader()
        for _ in range(5):
            keys = (
                "id",
                "text",
                "name",
                "tool",
                "input_tokens",
                "cost_usd",
                "retry_at",
                "class",
                "message",
                "question",
            )
            line = {"event": rng.choice([*words, *values]), **{key: rng.choice(values) for key in keys}}
            reader.feed(json.dumps(line).encode() + b"\n")
        reader.close()
        outcome(rng.choice([0, 1]), reader.summary())
