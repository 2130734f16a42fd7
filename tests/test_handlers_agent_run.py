"""The type agent_run: an agent once, its prompt and call written down, its end understood."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runner.agents import ReaderEvent, Summary
from runner.errors import UsageError
from runner.handlers import HandlerFile
from runner.model import Agent, Attempt, Policy, Step, StepResult
from runner.shipped import shipped
from runner.testing.agent import fake_cli
from runner.testing.context import StepContext
from runner_plugins import agent_claude, agent_script

HANDLER = HandlerFile(shipped("handlers") / "agent_run.py", "shipped").load()
SCRIPT = agent_script.register_agents()["script"]
CLAUDE = agent_claude.register_agents()["claude"]
SAMPLES = Path(__file__).parent / "data" / "claude"


class Kit:
    """Makes contexts of successive attempts in one workspace, and runs the handler in them."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path
        self.workspace = tmp_path / "w"
        self.workspace.mkdir()
        self.bin = tmp_path / "bin"
        self.bin.mkdir()
        self.folder = tmp_path
        self.attempt = 0

    def run(self, prompt: str, *agents: Agent, policy: Policy | None = None, **given: Any) -> StepResult:
        payload = {"prompt": prompt, **given.pop("payload", {})}
        self.attempt += 1
        self.folder = self.root / f"attempt{self.attempt}"
        env = {"PATH": f"{self.bin}:{os.environ['PATH']}", **given.pop("env", {})}
        with StepContext(
            self.workspace, self.folder, agents=agents or (SCRIPT,), env=env, attempt=self.attempt, **given
        ) as context:
            result = HANDLER.run_step(Step("main", "agent_run", payload, policy=policy or Policy()), context)
        assert isinstance(result, StepResult)
        return result

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def attempt(outcome: str, **result: Any) -> Attempt:
    return Attempt("t", "main", 1, 1, "script", "w", 0.0, 1.0, outcome, result, None)


def test_the_agent_works_in_the_workspace_and_its_last_word_is_the_output(kit: Kit) -> None:
    result = kit.run("Fix it. [[write: a.txt <<fixed]] [[say: I fixed a.txt]] [[usage: 10 2 0.5]]")
    assert (result.outcome, result.output, result.exit_code) == ("ok", "I fixed a.txt", 0)
    assert (kit.workspace / "a.txt").read_text() == "fixed\n"
    assert (kit.folder / "output.txt").read_text() == "I fixed a.txt\n"
    assert kit.json("usage.json") == {"input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5, "turns": None}
    assert result.session == kit.json("argv.json")["session"]
    assert result.evidence == {"agent": "script"}


def test_what_it_is_told_and_how_is_written_down_without_secrets(kit: Kit) -> None:
    kit.run("use key hunter2hunter2 [[say: hunter2hunter2]]", secrets=("hunter2hunter2",), payload={"model": "m"})
    for name in ("prompt.md", "argv.json", "output.txt", "stdout.log"):
        assert "hunter2" not in (kit.folder / name).read_text(), name
    assert kit.json("argv.json")["argv"][-4:-2] == ["--model", "m"]


def test_a_prompt_that_no_command_line_could_hold_arrives(kit: Kit) -> None:
    result = kit.run(f"-rf {'x' * 300_000} [[say: read]]")
    assert result.output == "read"


@pytest.mark.parametrize(
    ("prompt", "outcome", "words"),
    [
        ("[[exit: 3]]", "crashed", "it exited with 3 before its final event"),
        ("[[exit: 0]]", "crashed", "it exited with 0 before its final event"),
        ("[[crash]]", "crashed", "it ended by signal 9 before its final event"),
        ("[[stderr: boom]] [[exit: 1]]", "crashed", "it exited with 1 before its final event: boom"),
        ("[[auth]]", "auth", "not logged in"),
        ("[[rate-limit: 100]]", "rate_limited", "rate limit reached"),
        ("[[deny: Bash]]", "awaiting_permission", "it was not allowed to use Bash"),
    ],
)
def test_its_end_is_named(kit: Kit, prompt: str, outcome: str, words: str) -> None:
    result = kit.run(prompt)
    assert (result.outcome, result.evidence["error"]) == (outcome, words)


def test_a_rate_limit_carries_its_end(kit: Kit) -> None:
    result = kit.run("[[rate-limit: 100]]")
    assert result.retry_at == pytest.approx(time.time() + 100, abs=20)


def test_one_denial_beside_work_that_was_done_is_evidence_not_the_end(kit: Kit) -> None:
    result = kit.run("[[write: a <<x]] [[deny: Bash]] [[say: did what I could]]")
    assert (result.outcome, result.evidence["denied"]) == ("ok", ["Bash"])


def test_an_agent_may_ask_and_goes_on_with_the_answer(kit: Kit) -> None:
    prompt = "[[ask: Which colour?]] [[write: c <<red]]"
    result = kit.run(prompt)
    assert (result.outcome, result.evidence["question"]) == ("needs_human", "Which colour?")
    result = kit.run(prompt, question="Which colour?", answer="red", previous=[attempt("needs_human")])
    assert result.outcome == "ok"
    told = (kit.folder / "prompt.md").read_text()
    assert "You asked: Which colour?\nA person says: red" in told


def test_limits_of_time_and_silence_are_outcomes(kit: Kit) -> None:
    assert kit.run("[[hang]]", replace(SCRIPT, timeout=0.5)).outcome == "timeout"
    assert kit.run("[[hang]]", replace(SCRIPT, silence=0.5)).outcome == "stalled"


def test_an_agent_that_stays_after_its_last_word_is_ended_and_its_word_counts(kit: Kit) -> None:
    said = b'{"event": "session", "id": "s"}\n{"event": "final", "text": "all done"}\n'
    fake_cli(kit.bin, "slow", said, stay=60)
    began = time.monotonic()
    result = kit.run("x", Agent("slow", "slow", format="script", reader=SCRIPT.reader, linger=0.3))
    assert time.monotonic() - began < 15
    assert (result.outcome, result.output, result.evidence["limit"]) == ("ok", "all done", "ended")


def test_what_an_agent_leaves_running_is_ended(kit: Kit) -> None:
    result = kit.run("[[fork-daemon: pid]]")
    pid = int((kit.workspace / "pid").read_text())
    assert result.outcome == "ok"
    assert result.evidence["ended_processes"] >= 1
    assert not Path(f"/proc/{pid}").exists()


def test_a_repair_is_told_what_is_red_and_where_it_says_so(kit: Kit) -> None:
    red = [
        {
            "summary": "`pytest -q` exited with 1: 1 failed",
            "evidence": {"stdout": "/logs/check-1.log", "tail": "E  x\nF"},
        },
        {"summary": "'out.txt' does not exist", "evidence": {}},
    ]
    result = kit.run(
        "Do it. [[on-repair: [[write: out.txt <<x]]]]", payload={"_repair": red}, previous=[attempt("crashed")]
    )
    assert result.outcome == "ok"
    assert (kit.workspace / "out.txt").exists()
    told = (kit.folder / "prompt.md").read_text()
    assert told.startswith("Do it.")
    for words in ("1. `pytest -q` exited with 1: 1 failed", "stdout: /logs/check-1.log", "   | E  x", "2. 'out.txt'"):
        assert words in told
    assert "The attempt before" not in told


def test_a_retry_is_told_how_the_last_attempt_ended(kit: Kit) -> None:
    kit.run("Do it.", previous=[attempt("timeout", error="it took too long", folder="/state/1")])
    told = (kit.folder / "prompt.md").read_text()
    assert "ended as: timeout" in told
    assert "it took too long" in told
    assert "/state/1" in told


def test_a_first_attempt_is_told_the_prompt_and_nothing_else(kit: Kit) -> None:
    kit.run("Do it.  \n")
    assert (kit.folder / "prompt.md").read_text() == "Do it.  \n"


def test_plugins_add_to_the_prompt(kit: Kit) -> None:
    kit.run("Do it.", enrichment="House rules apply.")
    assert (kit.folder / "prompt.md").read_text() == "Do it.\n\nHouse rules apply."


def test_a_program_that_is_not_there_asks_a_person(kit: Kit) -> None:
    result = kit.run("x", Agent("ghost", "no-such-agent-cli"))
    assert result.outcome == "needs_human"
    assert "the program 'no-such-agent-cli' is not on this machine's PATH" in result.evidence["question"]


def test_an_unknown_agent_or_permission_is_one_sentence(kit: Kit) -> None:
    with pytest.raises(UsageError, match=r"no agent is called 'scrpt'.*did you mean 'script'"):
        kit.run("x", payload={"agent": "scrpt"})
    with pytest.raises(UsageError, match="no permission 'everything'"):
        kit.run("x", payload={"permission": "everything"})


def test_a_plain_cli_needs_five_lines_and_all_it_prints_is_its_answer(kit: Kit) -> None:
    fake_cli(kit.bin, "plain", b"The answer\nis 42.\n", stderr=b"log\n")
    result = kit.run("ask", Agent("plain", "plain", argv=("--do", "{prompt}"), prompt="argv"))
    assert (result.outcome, result.output) == ("ok", "The answer\nis 42.")


def test_a_plain_cli_that_fails_with_exit_0_is_known_by_its_words(kit: Kit) -> None:
    fake_cli(kit.bin, "plain", b"litellm.RateLimitError: slow down\n")
    agent = Agent("plain", "plain", errors={"RateLimitError": "rate_limited"})
    assert kit.run("x", agent).outcome == "rate_limited"


def test_a_gigabyte_would_not_be_held_a_long_answer_is_named(kit: Kit) -> None:
    result = kit.run(
        "[[flood: 3M]]", replace(SCRIPT, argv=(*SCRIPT.argv, "--format", "text"), format="text", reader=None)
    )
    assert result.outcome == "ok"
    assert result.evidence["output_path"] == str(kit.folder / "stdout.log")
    assert len(result.output) < 500
    assert not (kit.folder / "output.txt").exists()


def test_a_reader_that_breaks_is_a_crash_in_one_sentence_and_the_agent_is_not_cut_off(kit: Kit) -> None:
    class Broken:
        def feed(self, data: bytes) -> list[ReaderEvent]:
            raise KeyError("nope")

        def close(self) -> list[ReaderEvent]:
            return []

        def summary(self) -> Summary:
            return Summary()

    result = kit.run("[[print: x]] [[sleep: 0.2]] [[write: a <<x]]", replace(SCRIPT, reader=Broken))
    assert (result.outcome, result.evidence["error"]) == ("crashed", "its output can't be read: KeyError: 'nope'")
    assert (kit.workspace / "a").exists()


def test_claude_is_called_as_it_wants_to_be(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLAUDE") or name == "IS_SANDBOX"]:
        monkeypatch.delenv(name)
    cli = fake_cli(kit.bin, "claude", (SAMPLES / "ok.jsonl").read_bytes(), pieces=[100, 1000], pause=0.02)
    result = kit.run(
        "-p is no option",
        CLAUDE,
        payload={"model": "sonnet"},
        env={"CLAUDECODE": "1", "CLAUDE_CODE_CHILD_SESSION": "x", "CLAUDE_CODE_OAUTH_TOKEN": "t"},
    )
    assert (result.outcome, result.output) == ("ok", "FAKE-FINAL: done.")
    assert result.usage is not None
    assert (result.usage.input_tokens, result.usage.cost_usd) == (200, pytest.approx(0.0012))
    [call] = cli.calls()
    assert call["stdin"] == "-p is no option"
    argv = " ".join(call["argv"])
    assert argv.startswith("-p --output-format stream-json --verbose --model sonnet --permission-mode acceptEdits")
    assert "CLAUDECODE" not in call["env"]
    assert "CLAUDE_CODE_CHILD_SESSION" not in call["env"]
    assert call["env"]["CLAUDE_CODE_OAUTH_TOKEN"] == "t"
    assert "IS_SANDBOX" not in call["env"]
    assert kit.json("argv.json")["env_stripped"] == ["CLAUDECODE", "CLAUDE_CODE_CHILD_SESSION"]


def test_a_resumed_sessions_cost_is_what_was_added_to_it(kit: Kit) -> None:
    cli = fake_cli(kit.bin, "claude", (SAMPLES / "resume.json").read_bytes())
    session = "efe3de15-93e6-40be-a692-cd7c73122e70"
    before = attempt("ok", session=session, session_cost_usd=0.0012)
    result = kit.run("more", CLAUDE, payload={"session": session}, previous=[before])
    assert cli.calls()[0]["argv"][-2:] == ["--resume", session]
    assert result.session == session
    assert result.usage is not None
    assert result.usage.cost_usd == pytest.approx(0.0008)
    assert result.evidence["session_cost_usd"] == pytest.approx(0.002)
    unknown = kit.run("more", CLAUDE, payload={"session": session})
    assert unknown.usage is not None
    assert unknown.usage.cost_usd is None


def test_a_session_that_does_not_exist_says_so(kit: Kit) -> None:
    fake_cli(kit.bin, "claude", b"", stderr=b"No conversation found with session ID: x\n", exit_code=1)
    result = kit.run("x", CLAUDE, payload={"session": "x"})
    assert result.outcome == "crashed"
    assert "No conversation found with session ID" in result.evidence["error"]


@pytest.mark.parametrize(
    "payload",
    [
        {"agent": "claude", "prompt": "x", "cwd": "~/p", "model": "m", "_target_machine": "thinkpad"},
        {"prompt": "x", "session": "s", "permission": "full", "_repair": []},
    ],
)
def test_a_payload_of_the_documented_form_is_accepted(payload: dict[str, Any]) -> None:
    HANDLER.spec.payload_model.model_validate(payload)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "permission": "root"}, "permission"),
        ({"prompt": "x", "promt": 1}, "promt"),
    ],
)
def test_a_wrong_payload_is_refused_by_field(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HANDLER.spec.payload_model.model_validate(payload)
    assert caught.value.errors()[0]["loc"][0] == field


def test_it_expects_changes_and_may_be_repaired_twice() -> None:
    assert (HANDLER.spec.expects, HANDLER.spec.repairs, HANDLER.spec.implicit_checks) == ("changes", 2, ())
