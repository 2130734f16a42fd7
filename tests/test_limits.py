"""The limits of a process: what is silent, says nothing at first or never stops talking is ended; what works is not."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.agents import Summary, outcome
from runner.model import Agent
from tests.conftest import Runner
from tests.keeping import Bench, running

if TYPE_CHECKING:
    from collections.abc import Iterator

NAP = f"77.{os.getpid()}"
BUSY = "import time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.keeper.close()


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_child_that_says_nothing_at_first_is_ended_however_busy_it_is(bench: Bench) -> None:
    began = time.monotonic()
    done = bench(sys.executable, "-c", BUSY.format(30), first_output=0.5)
    assert done.limit == "first_output"
    assert 0.4 < time.monotonic() - began < 10


@pytest.mark.parametrize("stream", ["1", "2"])
def test_the_first_byte_on_either_stream_is_the_first_output(bench: Bench, stream: str) -> None:
    done = bench("sh", "-c", f"printf x >&{stream}; sleep 1.5; echo late", first_output=1.0)
    assert (done.limit, done.exit_code) == (None, 0)
    assert b"late" in bench.stdout


def test_the_end_of_a_stream_is_no_output(bench: Bench) -> None:
    assert bench("sh", "-c", "exec 1>&- 2>&-; sleep 30", first_output=0.5).limit == "first_output"


def test_a_child_that_talks_without_end_is_ended_and_its_log_stays_bounded(bench: Bench) -> None:
    done = bench("sh", "-c", "yes & yes >&2", max_output=1_000_000)
    assert done.limit == "max_output"
    kept = done.stdout_bytes + done.stderr_bytes
    assert 900_000 < kept <= 1_000_000 + (512 << 10)
    assert len(bench.stdout) + len(bench.stderr) == kept


def test_one_that_ended_by_itself_beyond_its_bytes_reached_the_limit_too(bench: Bench) -> None:
    assert bench("sh", "-c", "printf '%2000d' 1", max_output=1000).limit == "max_output"
    assert bench("sh", "-c", "printf '%1000d' 1", max_output=1000).limit is None


def test_a_child_that_ignores_the_request_to_end_prints_no_more_into_its_log(bench: Bench) -> None:
    done = bench("sh", "-c", "trap '' TERM; yes", max_output=100_000)
    assert done.limit == "max_output"
    assert done.stdout_bytes <= 100_000 + (512 << 10)


@pytest.mark.parametrize(
    ("limit", "named", "sentence"),
    [
        ("stalled", "stalled", "it was silent for too long"),
        ("first_output", "stalled", "it said nothing for 60 s"),
        ("max_output", "budget", "it printed more than 1000 bytes (its max_output)"),
        ("timeout", "timeout", "it took longer than its time limit"),
    ],
)
def test_each_limit_has_its_outcome_and_its_sentence(limit: str, named: str, sentence: str) -> None:
    agent = Agent("a", "a", first_output=60.0, max_output=1000)
    decision = outcome(-15, Summary(), limit, agent=agent)
    assert (decision.outcome, decision.why) == (named, sentence)


def test_no_agent_may_be_silent_for_ever_unless_it_is_told_so() -> None:
    assert Agent("a", "a").silence == 900.0


AGENTS = """
agents:
  quiet: {{program: {bin}/quiet, silence: 1s}}
  builder: {{program: {bin}/builder, silence: 1s}}
  dumb: {{program: {bin}/dumb, first_output: 1s}}
  chatter: {{program: {bin}/chatter, max_output: 100 KiB}}
"""


@pytest.fixture
def team(project: Path, tmp_path: Path) -> Path:
    """A project with agents that hang, compile, never begin, and never stop."""
    bin = tmp_path / "bin"
    bin.mkdir()
    script(bin / "quiet", f"echo hello; sleep {NAP}")
    script(bin / "builder", f'"{sys.executable}" -c "{BUSY.format(4)}"; echo built')
    script(bin / "dumb", f'exec "{sys.executable}" -c "{BUSY.format(60)}"')
    script(bin / "chatter", "exec yes")
    (project / "runner.yaml").write_text(AGENTS.format(bin=bin))
    return project


@pytest.mark.parametrize(
    ("agent", "named", "sentence"),
    [
        ("quiet", "stalled", "it was silent for too long"),
        ("dumb", "stalled", "it said nothing for 1 s"),
        ("chatter", "budget", "it printed more than 102400 bytes"),
    ],
)
def test_an_agent_that_reaches_a_limit_ends_with_it_and_leaves_nothing(
    team: Path, runner: Runner, agent: str, named: str, sentence: str
) -> None:
    began = time.monotonic()
    options = ("--agent", agent, "--expects", "answer", "--attempts", "1", "--format", "json")
    id = runner.ok("submit", *options, "work").json["id"]
    assert runner("work", "--drain").code == 3
    task = runner.ok("show", id, "--format", "json").json
    assert (task["status"], task["outcome"]) == ("needs_human", named)
    assert sentence in task["result"]["error"]
    assert sentence in runner.ok("why", id).stdout
    assert time.monotonic() - began < 30
    assert not running(NAP)


def test_an_agent_whose_child_works_in_silence_is_left_to_work(team: Path, runner: Runner) -> None:
    id = runner.ok("submit", "--agent", "builder", "--expects", "answer", "build", "--format", "json").json["id"]
    runner.ok("work", "--drain")
    task = runner.ok("show", id, "--format", "json").json
    assert (task["outcome"], task["result"]["output"]) == ("ok", "built")


def test_what_defaults_say_of_silence_counts_for_every_agent(team: Path, runner: Runner) -> None:
    with (team / "runner.yaml").open("a") as file:
        file.write(
            "  patient: {program: sh, argv: [-c, 'sleep 60'], silence: 5m}\ndefaults: {silence: 1s, attempts: 1}\n"
        )
    id = runner.ok("submit", "--agent", "patient", "--expects", "answer", "wait", "--format", "json").json["id"]
    assert runner("work", "--drain").code == 3
    assert runner.ok("show", id, "--format", "json").json["outcome"] == "stalled"
