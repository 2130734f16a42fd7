"""`runner show` and `runner why`, called as a program; the stories themselves as a library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from played import Played, add

from runner import takers, why
from runner.app import App
from runner.model import Lane, Worker
from runner.store import Facts, PutLimits, StartAttempt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner

RED = {"ok": False, "summary": "weighs: 3, not 5", "evidence": {"check": "weighs", "value": 5}}
GREEN = {"ok": True, "summary": "it is there", "evidence": {"check": "file_exists", "value": "a"}}


@pytest.fixture
def played(project: Path) -> Iterator[Played]:
    played = Played(project)
    yield played
    played.close()


def told(runner: Runner, id: str) -> dict[str, Any]:
    value: dict[str, Any] = runner.ok("why", id, "--format", "json").json
    return value


def kinds(runner: Runner, id: str) -> list[str]:
    return [reason["kind"] for reason in told(runner, id)["reasons"]]


# -- show


def test_show_has_the_task_its_attempts_and_their_verdicts(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project, priority=2, key="k", requires=())
    [claim] = played.claim()
    n = played.start(claim, agent="cook")
    folder = played.folder(id, n)
    played.finish(claim, n, "check_failed", {"summary": "too light", "verdicts": [RED, GREEN]})
    second = played.start(claim, agent="cook")
    played.finish(claim, second, "ok", {"summary": "baked", "verdicts": [GREEN]})
    played.settle(claim, "ok", {"summary": "baked", "verdicts": [GREEN], "branch": "runner/x"})
    value = runner.ok("show", id, "--format", "json").json
    assert (value["status"], value["outcome"], value["attempts"], value["attempt"]) == ("done", "ok", 1, 2)
    assert [a["outcome"] for a in value["history"]] == ["check_failed", "ok"]
    assert value["history"][0]["verdicts"][0]["check"] == "weighs"
    assert value["history"][0]["folder"] == str(folder)
    assert value["history"][1]["folder"] is None
    text = runner.ok("show", id).stdout
    for part in ("done", "priority", "too light", "ok  file_exists: it is there", "runner/x", "cook"):
        assert part in text


@pytest.mark.parametrize("command", ["show", "why", "logs"])
def test_a_task_that_is_not_there_is_exit_2(project: Path, runner: Runner, command: str) -> None:
    ended = runner(command, "zzz")
    assert (ended.code, ended.stderr) == (2, "error: no task 'zzz'\nhint: see: runner queue --all\n")
    assert runner(command, "zzz", "--format", "json").error["code"] == "not_found"
    assert runner(command, "").code == 2


def test_an_id_may_be_the_start_of_one_or_must_be_longer(project: Path, runner: Runner) -> None:
    add(project, id="abc1")
    add(project, id="abd2")
    assert runner.ok("show", "abc", "--format", "json").json["id"] == "abc1"
    assert runner.ok("show", "ABC", "--format", "json").json["id"] == "abc1"
    ended = runner("show", "ab")
    assert ended.code == 2
    assert "abc1 (pending)" in ended.stderr
    assert "abd2 (pending)" in ended.stderr
    add(project, id="ab")
    assert runner.ok("show", "ab", "--format", "json").json["id"] == "ab"


# -- why: what a task waits for


def test_why_names_the_parents_that_are_not_done(project: Path, runner: Runner, played: Played) -> None:
    [parent] = add(project)
    [child] = add(project, after=(parent,))
    value = told(runner, child)
    assert f"task {parent} must be done first; it is pending" in value["summary"]
    assert value["commands"] == [f"runner why {parent}"]
    played.run("check_failed")
    value = told(runner, child)
    assert value["reasons"][0]["text"] == f"task {parent} must be done first; it is failed"
    assert f"runner retry {parent}" in value["commands"]


def test_why_names_the_task_that_holds_the_limit_key(project: Path, runner: Runner) -> None:
    [first] = add(project, limit_key="oven")
    [second] = add(project, limit_key="oven")
    value = told(runner, second)
    assert value["status"] == "blocked"
    assert value["reasons"] == [
        {
            "kind": "limit_key",
            "text": f"task {first} goes first: one at a time with limit key 'oven'",
            "task": first,
            "key": "oven",
        }
    ]
    assert value["commands"] == [f"runner why {first}"]
    add(project, limit_key="cwd:/srv/app")
    [behind] = add(project, limit_key="cwd:/srv/app")
    assert told(runner, behind)["summary"].endswith("goes first: one at a time in the folder /srv/app")


def test_why_names_the_task_that_holds_the_work_unit(project: Path, runner: Runner) -> None:
    [first] = add(project, unit="wu-1")
    [second] = add(project, unit="wu-1")
    assert told(runner, second)["summary"] == f"it waits: {first} holds work unit 'wu-1'"


def test_why_tells_when_a_scheduled_task_is_due(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project, not_before=4102444800.0)
    assert kinds(runner, id) == ["not_before"]
    assert told(runner, id)["reasons"][0]["until"] == "2100-01-01T00:00:00.000Z"


def test_why_tells_that_an_account_is_parked(project: Path, runner: Runner, played: Played) -> None:
    [first] = add(project, account="kitchen")
    played.run("rate_limited", retry_at=4102444800.0)
    assert "account 'kitchen' is parked until 2100-01-01" in told(runner, first)["summary"]
    [second] = add(project, account="kitchen")
    assert kinds(runner, second)[0] == "parked"


def test_why_tells_how_to_end_the_rest_of_an_account(project: Path, runner: Runner, played: Played) -> None:
    [first] = add(project, account="kitchen")
    played.run("auth", retry_at=4102444800.0)
    [second] = add(project, account="kitchen")
    for id in (first, second):
        text = runner.ok("why", id).stdout
        assert "account 'kitchen' is parked until 2100-01-01" in text
        assert "(it is not logged in)" in text
        assert f"runner retry {id}   # after logging in" in text
        assert told(runner, id)["reasons"][0]["reason"] == "auth"
    runner.ok("retry", second)
    assert "parked" not in kinds(runner, second)


def test_why_tells_that_no_worker_runs(project: Path, runner: Runner) -> None:
    [id] = add(project)
    value = told(runner, id)
    assert value["summary"] == "it waits: no worker is running"
    assert value["commands"] == ["runner work --drain"]


def test_why_sends_nobody_to_a_worker_that_would_not_take_the_task(project: Path, runner: Runner) -> None:
    (project / "runner.yaml").write_text("agents:\n  cook: {program: no-such-cook}\n  sh: {program: sh}\n")
    [away] = add(project, machine="mini")
    [cooked] = add(project, requires=("agent:cook",))
    [heavy] = add(project, requires=("gpu",))
    [fine] = add(project, requires=("agent:sh",), machine="box")
    box = {"RUNNER_DEVICE_ID": "box"}
    values = [runner.ok("why", id, "--format", "json", env=box).json for id in (away, cooked, heavy, fine)]
    texts = [value["reasons"][0]["text"] for value in values]
    assert texts[0] == "no worker is running, and only machine 'mini' may take it (this one is 'box')"
    assert texts[1].endswith("would not take it: `no-such-cook`, the program of 'agent:cook', is not installed here")
    assert texts[2].endswith("would not take it: this machine does not offer 'gpu'")
    assert texts[3] == "no worker is running"
    assert values[0]["commands"] == ["runner work --machine mini"]
    assert "runner work --drain   # once `no-such-cook` is installed" in runner.ok("why", cooked).stdout
    assert "runner work --drain   # on a machine that offers 'gpu'" in runner.ok("why", heavy).stdout
    assert values[3]["commands"] == ["runner work --drain"]


def test_why_says_that_a_run_takes_its_task_itself(project: Path, runner: Runner) -> None:
    [id] = add(project, requires=("runner-run",))
    value = told(runner, id)
    assert value["summary"].startswith("it waits: only the `runner run` that asked for it takes it")
    assert value["commands"] == [f"runner cancel {id}"]


@pytest.mark.parametrize(
    ("task", "kind", "text"),
    [
        ({"requires": ("agent:cook",)}, "capability", "no live worker with capability 'agent:cook'"),
        ({"machine": "mini"}, "machine", "no live worker on machine 'mini' (live: box)"),
        ({"type": "bake"}, "type", "no live worker runs type 'bake' (live: box)"),
    ],
)
def test_why_tells_what_the_live_workers_lack(
    project: Path, runner: Runner, played: Played, task: dict[str, Any], kind: str, text: str
) -> None:
    [id] = add(project, **task)
    [reason] = told(runner, id)["reasons"]
    assert (reason["kind"], reason["text"]) == (kind, text)


def test_why_tells_that_no_single_worker_offers_all_that_is_needed() -> None:
    lane = Lane(1, "p", None, "hello", None, ("a", "b"))
    workers = [Worker(x, x, (x,), ("hello",), (x,), "p", 1, "h", 1, "s", heartbeat=1.0) for x in ("a", "b")]
    reasons = takers.nobody_fits(lane, workers)
    assert [reason.text for reason in reasons] == ["no single live worker offers 'a', 'b' together"]


def test_why_tells_that_a_limit_is_reached_and_who_is_ahead(project: Path, runner: Runner, played: Played) -> None:
    played.store.commit([PutLimits(limits={"type:hello": 1}, project=played.project.id)])
    first, second, third = (add(project)[0] for _ in range(3))
    assert kinds(runner, third) == ["ahead"]
    assert told(runner, third)["reasons"][0]["ahead"] == 2
    assert told(runner, third)["reasons"][0]["text"] == "2 tasks of its kind are ahead of it"
    assert told(runner, first)["summary"].startswith("it is next of its kind: played-1 can take it")
    played.claim()
    assert kinds(runner, second) == ["limit"]
    assert told(runner, second)["reasons"][0] | {"text": ""} == {
        "kind": "limit",
        "text": "",
        "limit": "type:hello",
        "held": 1,
        "max": 1,
    }


# -- why: who holds it, and how it ended


def test_why_tells_who_holds_a_task_and_until_when(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    played.start(claim)
    value = told(runner, id)
    assert value["summary"].startswith("worker played-1 on box: attempt 1 runs for ")
    assert value["reasons"][0]["epoch"] == 1
    assert "lease until" in value["reasons"][0]["text"]
    assert value["claim"]["lease_until"].endswith("Z")
    runner.ok("cancel", id)
    assert [reason["kind"] for reason in told(runner, id)["reasons"]] == ["held", "cancel"]


def test_why_tells_the_question_and_how_to_answer_it(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    played.run("needs_human", question="Rye or wheat?")
    value = told(runner, id)
    assert value["summary"] == "it waits for a person: Rye or wheat?"
    assert value["commands"][0] == f'runner resolve {id} pending --answer "…"'


def test_why_tells_how_a_task_came_to_its_end(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    n = played.start(claim, agent="cook")
    folder = played.folder(id, n)
    body = {"summary": "too light", "verdicts": [RED, GREEN]}
    played.finish(claim, n, "check_failed", body)
    played.settle(claim, "check_failed", body)
    value = told(runner, id)
    assert value["summary"].endswith("after 1 attempt, outcome check_failed: too light")
    assert [reason["text"] for reason in value["reasons"]] == ["weighs: 3, not 5"]
    assert {"task.submitted", "task.claimed", "task.settled"} <= {event["kind"] for event in value["events"]}
    text = runner.ok("why", id).stdout
    for part in ("claimed by played-1 on box (epoch 1)", "attempt 1 by cook on played-1: check_failed", str(folder)):
        assert part in text
    assert "RED weighs: 3, not 5" in text
    assert f"runner retry {id}" in text


def test_a_repair_is_counted_as_one_everywhere(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    played.finish(claim, played.start(claim), "check_failed", {"verdicts": [RED]})
    played.store.commit([StartAttempt(fence=claim, repair=True)])
    played.finish(claim, 2, "ok", {"verdicts": [GREEN]})
    played.settle(claim)
    why_text, show_text = runner.ok("why", id).stdout, runner.ok("show", id).stdout
    assert "after 1 attempt and 1 repair" in why_text
    assert "attempt 2 (repair) on played-1" in why_text
    assert "attempts    1 of 3, and 1 repair" in show_text
    assert "2 (repair)" in show_text
    history = runner.ok("show", id, "--format", "json").json["history"]
    assert [attempt["repair"] for attempt in history] == [False, True]


def test_an_outcome_that_is_a_status_is_told_once(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    played.run("needs_human", question="Which?")
    text = runner.ok("why", id).stdout
    assert "it became needs_human" in text
    assert "needs_human, so it became" not in text


def test_why_tells_of_interruptions_and_late_evidence(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    played.start(claim)
    played.release(claim)
    text = runner.ok("why", id).stdout
    assert "handed back by played-1" in text
    assert "lost_claim" in text


def test_every_status_has_a_story(project: Path, played: Played) -> None:
    from dataclasses import replace

    from runner.statuses import STATUSES

    [id] = add(project)
    with App.open(project) as app:
        task = app.store.queue.get(id)
    assert task is not None
    for status in STATUSES:
        story = why.explain(replace(task, status=status), Facts(), [], [], now=task.created_at + 5)
        assert story.summary, status


# -- why: who held it, what people decided, what was kept


def test_why_tells_every_claim_and_how_it_ended(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    played.start(claim)
    played.release(claim)
    [claim] = played.claim()
    played.start(claim)
    played.settle(claim, "needs_human", {}, question="Rye or wheat?")
    runner.ok("resolve", id, "--answer", "Rye", "--notes", "as ever")
    [claim] = played.claim()
    value = told(runner, id)
    shown = [(c["epoch"], c["worker"], c["machine"], c["end"], c["reason"]) for c in value["claims"]]
    first, second, third = (c["epoch"] for c in value["claims"])
    assert shown == [
        (first, "played-1", "box", "released", "drained"),
        (second, "played-1", "box", "settled", "needs_human"),
        (third, "played-1", "box", None, None),
    ]
    assert first < second < third == claim.epoch
    assert value["claims"][0]["claimed_at"] <= value["claims"][0]["ended_at"] <= value["claims"][1]["claimed_at"]
    assert value["claims"][2]["ended_at"] is None
    [decision] = value["decisions"]
    assert (decision["decision"], decision["status"], decision["answer"]) == ("resolved", "pending", "Rye")
    assert decision["notes"] == "as ever"
    assert decision["by"]
    text = runner.ok("why", id).stdout
    assert "handed back by played-1" in text
    assert "answered: Rye" in text


def test_why_tells_what_was_kept_and_what_it_cost(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    bodies = [
        {"summary": "red", "verdicts": [RED], "usage": {"cost_usd": 0.5, "input_tokens": 1200, "output_tokens": 300}},
        {
            "summary": "green",
            "usage": {"cost_usd": 0.25},
            "branch": "runner/x",
            "commit": "0123456789abcdef",
            "snapshot": "refs/runner/x/2",
            "left_out": [{"path": "big.bin", "reason": "too large", "size": 9}],
        },
    ]
    for body, outcome in zip(bodies, ("check_failed", "ok"), strict=True):
        n = played.start(claim)
        folder = played.folder(id, n)
        for name in ("prompt.md", "stdout.log", "zz.txt"):
            (folder / name).write_text("text")
        (folder / "stderr.log").write_text("")
        played.finish(claim, n, outcome, body)
    played.settle(claim, "ok", bodies[1])
    (project / "loaf.txt").write_text("bread")
    runner.ok("artifact", "upload", "loaf.txt", "--task", id)
    value = told(runner, id)
    assert value["cost_usd"] == 0.75
    assert value["kept"]["branch"] == "runner/x"
    assert value["kept"]["snapshot"] == "refs/runner/x/2"
    assert value["kept"]["left_out"][0]["path"] == "big.bin"
    assert [artifact["name"] for artifact in value["kept"]["artifacts"]] == ["loaf.txt"]
    first = value["attempts"][0]
    assert list(first["files"]) == ["prompt.md", "stdout.log", "zz.txt"]
    assert first["files"]["prompt.md"].endswith("/1/prompt.md")
    assert first["usage"]["cost_usd"] == 0.5
    assert first["seconds"] >= 0
    text = runner.ok("why", id).stdout
    for part in (
        "$0.50, 1.5k tokens",
        "with prompt.md, stdout.log, zz.txt",
        "all attempts together cost $0.75",
        "branch    runner/x at 0123456789ab",
        "artifact  loaf.txt (5 B)",
        f"runner rescue {id} --into DIR",
        "left out  big.bin: too large",
    ):
        assert part in text


def test_why_names_the_files_that_show_a_red_check(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    n = played.start(claim)
    folder = played.folder(id, n)
    (folder / "check-1-stdout.log").write_text("FAILED")
    (folder / "check-1-stderr.log").write_text("")
    shows = {name: str(folder / f"check-1-{name}.log") for name in ("stdout", "stderr")}
    red = {**RED, "evidence": {**RED["evidence"], **shows}}  # type: ignore[dict-item]
    played.settle(claim, "check_failed", {"verdicts": [red]})
    assert "see check-1-stdout.log\n" in runner.ok("why", id).stdout


def test_a_long_story_is_told_to_its_end(project: Path, runner: Runner, played: Played) -> None:
    from runner.store import AppendEvent

    [id] = add(project)
    [claim] = played.claim()
    played.store.commit([AppendEvent(fence=claim, kind="oven.tick", data={"n": n}) for n in range(1500)])
    played.settle(claim)
    value = told(runner, id)
    assert len(value["events"]) > 1500
    assert value["claims"][0]["end"] == "settled"
