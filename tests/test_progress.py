"""What a slot tells who watches it: states, last lines of logs and of handlers, cost; without secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.model import Usage
from runner.progress import LINE, Look, Progress
from runner.testing.context import _TASK as TASK


@pytest.fixture
def progress() -> Progress:
    progress = Progress()
    progress.begin(TASK)
    return progress


def seen(progress: Progress) -> Look:
    look = progress.look()
    assert look is not None
    return look


def test_a_free_slot_has_nothing_to_show(progress: Progress) -> None:
    assert Progress().look() is None
    progress.end()
    assert progress.look() is None


def test_states_follow_the_task(progress: Progress) -> None:
    assert (seen(progress).task, seen(progress).state, seen(progress).attempt) == (TASK, "preparing", 0)
    progress.attempt(3, repair=False)
    assert (seen(progress).state, seen(progress).attempt) == ("running", 3)
    progress.enter("checking")
    progress.attempt(4, repair=True)
    assert (seen(progress).state, seen(progress).attempt) == ("repairing", 4)


def test_the_last_line_of_what_a_handler_told_is_shown_until_the_next_state(progress: Progress) -> None:
    progress.told("first\nsecond\n\n")
    assert seen(progress).line == "second"
    progress.told("   \n")
    assert seen(progress).line == "second"
    progress.enter("checking")
    assert seen(progress).line == ""


def test_the_newest_log_is_followed_and_a_told_line_ends_that(progress: Progress, tmp_path: Path) -> None:
    out, err = tmp_path / "stdout.log", tmp_path / "stderr.log"
    progress.told("command: make")
    progress.follow((out, err))
    assert seen(progress).line == "command: make"
    out.write_text("one\ntwo\n\n")
    assert seen(progress).line == "two"
    err.write_text("warning\n")
    os.utime(err, ns=(out.stat().st_mtime_ns + 10**9,) * 2)
    assert seen(progress).line == "warning"
    progress.told("12 of 30")
    out.write_text("three\n")
    assert seen(progress).line == "12 of 30"


def test_a_log_that_did_not_grow_is_not_read_again(progress: Progress, tmp_path: Path) -> None:
    log = tmp_path / "stdout.log"
    log.write_text("line\n")
    progress.follow((log,))
    assert seen(progress).line == "line"
    status = log.stat()
    log.write_text("LINE\n")
    os.utime(log, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert seen(progress).line == "line"


def test_costs_of_attempts_add_up_and_facts_replace_what_was_told(progress: Progress) -> None:
    assert seen(progress).cost_usd is None
    progress.attempt(1, repair=False)
    progress.told(cost_usd=0.1, tokens=500)
    assert (seen(progress).cost_usd, seen(progress).tokens) == (0.1, 500)
    progress.spent(Usage(cost_usd=0.25))
    assert seen(progress).cost_usd == 0.25
    progress.attempt(2, repair=True)
    progress.told(cost_usd=0.5)
    assert seen(progress).cost_usd == 0.75
    progress.spent(None)
    assert seen(progress).cost_usd == 0.75
    progress.begin(TASK)
    assert seen(progress).cost_usd is None


def test_secrets_are_taken_out_before_the_line_is_cut(tmp_path: Path) -> None:
    secret = "s3cr3t" * 20
    progress = Progress(lambda text: text.replace(secret, "***"))
    progress.begin(TASK)
    progress.told("x" * (LINE - 10) + secret)
    assert seen(progress).line == ("x" * (LINE - 10) + "***")[:LINE]
    # Of a very long text the end is looked at, but never from the middle of a word on.
    progress.told(secret * 200 + " the end")
    assert seen(progress).line == "the end"


def test_what_one_step_of_a_workflow_cost_is_not_the_next_ones(progress: Progress) -> None:
    progress.attempt(1, repair=False, step="write")
    progress.told(cost_usd=0.5, tokens=200)
    progress.spent(None)
    progress.attempt(2, repair=False, step="write")
    assert (seen(progress).cost_usd, seen(progress).tokens) == (0.5, 200)
    progress.attempt(3, repair=False, step="check")
    assert (seen(progress).step, seen(progress).cost_usd, seen(progress).tokens) == ("check", None, None)
