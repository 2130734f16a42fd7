"""The agent `aider`: how it is called, and what its text means although it exits 0."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.agents import Summary, outcome
from runner.model import Usage
from tests.agents.played import Row, came_to, play
from tests.agents.recordings import agents, names, read, recording
from tests.conftest import Runner

AIDER = agents()["aider"]
NONE = (None, None)
EDIT = "I will create it.\n\nout.txt\n```\n<<<<<<< SEARCH\n=======\nhello\n>>>>>>> REPLACE\n```"

CAME_TO: dict[str, Row] = {
    "ok": ("ok", "", "", EDIT, (100, 20)),
    "flaky": ("ok", "", "", EDIT, (100, 20)),
    "wide": ("ok", "", "", "All done.", (100, 20)),
    "resume": ("ok", "", "", f"out.txt\n{EDIT}", (200, 40)),
    "401": ("auth", "invalid x-api-key", "", "", NONE),
    "402": ("auth", "Insufficient credits", "", "", NONE),
    "403": ("auth", "forbidden", "", "", NONE),
    "404": ("needs_human", "The model `m` does not exist", "", "", NONE),
    "429": ("rate_limited", "rate limited", "", "", NONE),
    "limited": ("rate_limited", "waiting for its provider", "", "", NONE),
    "retrying": ("timeout", "time limit", "", "", NONE),
    "nologin": ("auth", "no API keys were provided", "", "", NONE),
    "hang": ("timeout", "time limit", "", "", NONE),
}


@pytest.mark.parametrize("scenario", CAME_TO)
def test_what_each_recording_came_to(scenario: str) -> None:
    wanted, why, session, text, tokens = CAME_TO[scenario]
    got = came_to("aider", scenario)
    assert (got[0], got[2], got[3], got[4]) == (wanted, session, text, tokens), got
    assert why in got[1]


BANNER = "Aider v9\nModel: x\nRepo-map: using 1024 tokens, auto refresh\n\n"
TOKENS = "\n\nTokens: 1 sent, 1 received.\n"


def summary_of(text: str, size: int = 9) -> Summary:
    return read(AIDER, text.encode(), size)[0]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1, max_size=6))
def test_whatever_the_answer_is_it_is_read(words: list[str]) -> None:
    answer = "\n".join(f"> {word}" for word in words)
    assert summary_of(BANNER + answer + TOKENS).text == answer


@pytest.mark.parametrize(
    ("line", "tokens", "cost"),
    [
        ("Tokens: 7 sent, 3 received.", (7, 3), None),
        ("Tokens: 2.5k sent, 155 received. Cost: $0.0098 message, $0.0123 session.", (2500, 155), 0.0123),
        ("Tokens: 2.5k sent, 1.2k cache write, 3k cache hit, 1.1k received.", (2500, 1100), None),
        ("Tokens: 12k sent, 9.1k cache hit, 2M received. Cost: $1.20 message, $3.40\nsession.", (12000, 2000000), 3.4),
        ("Tokens: 12k sent, 9.1k cache\nhit, 3 received. Cost: $1 message, $3.40 session.", (12000, 3), 3.4),
        ("Tokens: 1 sent, 3 received.\nCost: $1 message, $2 session.", (1, 3), 2.0),
    ],
)
def test_tokens_and_costs_are_read_wrapped_or_not(line: str, tokens: tuple[int, int], cost: float | None) -> None:
    for after in ("\n", "\n\n", "\nApplied edit to a.py\n", "\nOnly 3 reflections allowed, stopping.\n", ""):
        got = summary_of(f"{BANNER}Hello.\n\n{line}{after}")
        assert got.usage == Usage(*tokens, cost, 1), after
        assert got.text == "Hello."


def test_the_answers_of_one_run_add_up_and_the_last_is_the_message() -> None:
    got = summary_of(f"{BANNER}One.{TOKENS}Applied edit to a\n\nTwo.{TOKENS}\nCommit abc it\n")
    assert (got.text, got.usage) == ("Two.", Usage(2, 2, None, 2))


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ("litellm.AuthenticationError: no", "auth"),
        ("litellm.PermissionDeniedError: no", "auth"),
        ("litellm.RateLimitError: no", "rate_limited"),
        ("litellm.BudgetExceededError: no", "budget"),
        ("litellm.NotFoundError: no such model", "needs_human"),
        ("litellm.BadRequestError: LLM Provider NOT provided", "crashed"),
        ("litellm.APIConnectionError: no", "crashed"),
        ("litellm.Timeout: no", "crashed"),
        ("Model x/y has hit a token limit!", "crashed"),
    ],
)
def test_an_error_at_the_end_is_what_it_came_to(error: str, wanted: str) -> None:
    got = summary_of(f"{BANNER}Half.{TOKENS}\n{error}\nmore of it\n")
    assert outcome(0, got, agent=AIDER).outcome == wanted
    assert (got.text, got.final) == ("", False)


def test_an_error_that_it_got_over_is_forgotten() -> None:
    tried = "litellm.RateLimitError: slow\nThe API provider has rate limited you.\nRetrying in 0.2 seconds...\n"
    got = summary_of(BANNER + tried * 3 + "The answer." + TOKENS)
    assert (got.text, got.outcome, got.waiting, got.error) == ("The answer.", None, None, "")


def test_a_model_may_speak_of_errors() -> None:
    answer = "It printed\nlitellm.RateLimitError: slow down\nand so on.\nTokens: many"
    got = summary_of(BANNER + answer + TOKENS)
    assert (got.outcome, got.text) == (None, answer)


def test_a_limit_tells_when_it_ends() -> None:
    got = summary_of(BANNER + "litellm.RateLimitError: GroqException - try again in 20s.\nCheck your quotas.\n")
    assert got.outcome == "rate_limited"
    assert got.retry_at is not None


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_nothing_that_happens_to_the_bytes_makes_it_raise(seed: int) -> None:
    dice = random.Random(seed)
    data = bytearray(recording("aider", dice.choice([name for cli, name in names() if cli == "aider"])).stdout)
    for _ in range(dice.randint(0, 20)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    place = dice.randrange(len(data))
    got, _ = read(AIDER, bytes(data[:place]) + dice.randbytes(9) + bytes(data[place:]), dice.choice([11, 10**6]))
    assert outcome(dice.choice([0, 1, -15]), got, agent=AIDER).outcome


def test_a_very_long_answer_is_not_held() -> None:
    got = summary_of(BANNER + "word " * 10 + "\n" + ("y" * 70 + "\n") * 20_000 + TOKENS, 1 << 20)
    assert (got.cut, got.text, got.final) == (True, "", True)


def test_a_conversation_is_a_file_named_after_our_session(tmp_path: Path) -> None:
    done = play(tmp_path, "aider", model="openai/m", env={"HOME": "/h"})
    assert done.argv[:3] == ["--message-file", "/dev/stdin", "--yes-always"]
    assert done.argv[-2:] == ["--model", "openai/m"]
    assert "--no-auto-commits" in done.argv
    assert (done.result.outcome, done.result.output) == ("ok", EDIT)
    assert done.env["AIDER_CHAT_HISTORY_FILE"] == f"/h/.aider/runner/{done.result.session}.md"
    again = play(tmp_path, "aider", "resume", session="S", env={"HOME": "/h"})
    assert again.argv[-1] == "--restore-chat-history"
    assert again.env["AIDER_CHAT_HISTORY_FILE"] == "/h/.aider/runner/S.md"
    assert again.result.session == "S"


def test_read_only_is_a_mode_that_only_answers(tmp_path: Path) -> None:
    assert play(tmp_path, "aider", permission="read-only").argv[-2:] == ["--chat-mode", "ask"]


def test_a_failure_that_exits_with_0_is_a_failure(tmp_path: Path) -> None:
    done = play(tmp_path, "aider", "429")
    assert (done.result.outcome, done.result.exit_code, done.result.output) == ("rate_limited", 0, "")


def test_its_index_is_no_work_and_goes(project: Path, runner: Runner) -> None:
    program = project.parent / "bin" / "aider"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nmkdir -p .aider.tags.cache.v4 && echo x > .aider.tags.cache.v4/cache.db\necho mine > $FILE\n"
        "printf 'Repo-map: x\\n\\nDone.\\n\\nTokens: 1 sent, 1 received.\\n'\n"
    )
    program.chmod(0o755)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    (project / "runner.yaml").write_text(
        f"agents:\n  writes: {{extends: aider, program: {program}, env: {{FILE: a.txt}}}}\n"
        f"  idle: {{extends: aider, program: {program}, env: {{FILE: /dev/null}}}}\n"
    )
    ids = [runner.ok("submit", "--agent", name, "p", "--format", "json").json["id"] for name in ("writes", "idle")]
    runner("work", "--drain")
    writes, idle = (runner.ok("show", id, "--format", "json").json for id in ids)
    assert writes["outcome"] == "ok"
    assert idle["outcome"] == "no_op"
    shown = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", f"runner/{ids[0]}"], cwd=project, check=True, capture_output=True
    )
    assert [name for name in shown.stdout.decode().split() if not name.startswith(".runner/")] == ["a.txt"]
