"""Submit as a library: what becomes of a request before it is stored."""

from __future__ import annotations

import subprocess
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from played import Played

from runner import taskrequest
from runner.app import App
from runner.errors import Conflict, UsageError
from runner.store import TaskFilter
from runner.submission import Submission
from runner.taskrequest import TaskRequest, read_lines, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.model import NewTask

KIT = """
from pydantic import BaseModel, ConfigDict

from runner import Agent, CheckSpec, TypeSpec, hookimpl


class Bake(BaseModel):
    model_config = ConfigDict(extra="forbid")
    flavour: str
    minutes: int = 5


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: str
    agent: str | None = None
    model: str | None = None
    cwd: str | None = None


def number(text):
    value = int(text)
    if value < 0:
        raise ValueError("it must not be negative")
    return value


@hookimpl
def register_types():
    return {
        "bake": TypeSpec(Bake, requires=("oven",), repairs=1),
        "ask": TypeSpec(Ask, expects="changes", repairs=2),
        "here": TypeSpec(workplace="cwd"),
    }


@hookimpl
def register_checks():
    return {
        "weighs": CheckSpec("the weight in grams", parse=number),
        "looks_good": CheckSpec("somebody looked", needs_value=False),
    }


@hookimpl
def register_agents():
    return {
        "cook": Agent("cook", "cook", account="kitchen"),
        "taster": Agent("taster", "taster", permission="read-only"),
    }
"""


@pytest.fixture
def kit(project: Path) -> Path:
    """A project with types, checks and agents of its own."""
    (project / "plugins").mkdir()
    (project / "plugins" / "kit.py").write_text(KIT)
    (project / "runner.yaml").write_text("defaults:\n  agent: cook\n")
    return project


@pytest.fixture
def app(kit: Path) -> Iterator[App]:
    with App.open(kit, code=True) as app:
        yield app


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(folder: Path) -> str:
    """Make `folder` a repository with one commit → its hash."""
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.txt").write_text("a\n")
    git(folder, "add", "a.txt")
    git(folder, "commit", "-q", "-m", "first")
    return git(folder, "rev-parse", "HEAD")


def one(app: App, **values: Any) -> NewTask:
    """The task of one request."""
    return Submission(app, app.project.root, by="me").prepare([request(values)])[0].task


def refused(app: App, **values: Any) -> UsageError:
    with pytest.raises(UsageError) as error:
        one(app, **values)
    return error.value


def test_every_field_of_a_request_can_be_given_by_name() -> None:
    assert set(taskrequest._READERS) == {field.name for field in fields(TaskRequest)} - {"where"}


# -- type and payload


def test_an_unknown_type_is_refused_with_the_nearest_one(app: App) -> None:
    error = refused(app, type="bakee", payload={})
    assert error.message == "no task type is called 'bakee'"
    assert error.hint == "did you mean 'bake'?"


def test_a_request_for_nothing_is_refused(app: App) -> None:
    assert "nothing to do" in refused(app).message


def test_a_payload_with_an_unknown_field_is_refused_with_the_nearest_one(app: App) -> None:
    error = refused(app, type="bake", payload={"flavour": "rye", "minuts": 3})
    assert "unknown field 'minuts'" in error.message
    assert error.hint == "did you mean 'minutes'?"


def test_a_payload_that_lacks_a_field_names_it(app: App) -> None:
    assert "flavour" in refused(app, type="bake", payload={}).message


def test_a_payload_of_the_wrong_kind_names_the_field(app: App) -> None:
    assert "minutes" in refused(app, type="bake", payload={"flavour": "rye", "minutes": "long"}).message


def test_the_payload_is_stored_as_it_was_given(app: App) -> None:
    assert one(app, type="bake", payload={"flavour": "rye"}).payload == {"flavour": "rye"}


def test_prompt_and_model_go_into_the_payload(app: App) -> None:
    task = one(app, type="ask", prompt="Bake!", model="big")
    assert task.payload == {"prompt": "Bake!", "model": "big"}


def test_a_prompt_for_a_type_that_takes_none_is_refused(app: App) -> None:
    assert "prompt" in refused(app, type="bake", prompt="x", payload={"flavour": "rye"}).message


def test_a_prompt_that_differs_from_the_payloads_is_refused(app: App) -> None:
    assert "another 'prompt'" in refused(app, type="ask", prompt="a", payload={"prompt": "b"}).message


def test_bytes_that_are_not_utf8_are_refused(app: App) -> None:
    assert "UTF-8" in refused(app, type="ask", prompt="caf\udce9").message
    assert "UTF-8" in refused(app, type="here", payload={"x": ["\udce9"]}).message


def test_a_number_that_json_lacks_is_refused(app: App) -> None:
    assert "JSON" in refused(app, type="here", payload={"x": float("nan")}).message


# -- agent, machine, requirements


def test_a_task_that_names_no_agent_gets_the_configured_one(app: App) -> None:
    task = one(app, type="ask", prompt="Bake!")
    assert (task.agent, task.account, task.requires) == ("cook", "kitchen", ("agent:cook",))


def test_an_agent_is_named_by_the_request_or_by_the_payload(app: App) -> None:
    assert one(app, type="ask", prompt="x", agent="taster").agent == "taster"
    assert one(app, type="ask", payload={"prompt": "x", "agent": "taster"}).agent == "taster"


def test_an_agent_without_an_account_is_its_own_account(app: App) -> None:
    assert one(app, type="ask", prompt="x", agent="taster").account == "taster"


def test_two_different_agents_are_refused(app: App) -> None:
    assert "names agent" in refused(app, type="ask", agent="cook", payload={"prompt": "x", "agent": "taster"}).message


def test_an_unknown_agent_is_refused_with_the_nearest_one(app: App) -> None:
    error = refused(app, type="ask", prompt="x", agent="tester")
    assert error.hint == "did you mean 'taster'?"


def test_a_type_without_an_agent_has_none_and_refuses_one(app: App) -> None:
    task = one(app, type="bake", payload={"flavour": "rye"})
    assert (task.agent, task.account, task.requires) == (None, None, ("oven",))
    assert "takes no agent" in refused(app, type="bake", payload={"flavour": "rye"}, agent="cook").message


def test_a_dash_says_that_no_agent_is_wanted(app: App) -> None:
    assert one(app, type="bake", payload={"flavour": "rye"}, agent="-").agent is None
    assert "needs an agent" in refused(app, type="ask", prompt="x", agent="-").message


def test_a_target_machine_in_the_payload_is_the_tasks_machine(app: App) -> None:
    task = one(app, type="bake", payload={"flavour": "rye", "_target_machine": "mini"})
    assert task.machine == "mini"
    assert task.payload == {"flavour": "rye"}
    assert "mini" in refused(app, type="here", machine="maxi", payload={"_target_machine": "mini"}).message


def test_a_type_that_only_workers_know_is_taken_as_it_is(app: App, kit: Path) -> None:
    played = Played(kit, types=("far_away",), capabilities=("agent:remote",))
    try:
        assert one(app, type="far_away", payload={"x": 1}).type == "far_away"
        assert refused(app, type="far_awai").hint == "did you mean 'far_away'?"
    finally:
        played.close()


# -- where it works


def test_the_base_is_the_head_of_the_repository_at_submit(app: App, kit: Path) -> None:
    (kit / "sub").mkdir()
    commit = repository(kit)
    (kit / "a.txt").write_text("uncommitted\n")
    task = one(app, type="bake", payload={"flavour": "rye"}, cwd="sub")
    assert task.spec["base"] == {"repo": str(kit), "commit": commit, "subdir": "sub"}
    assert task.spec["cwd"] == str(kit / "sub")
    assert task.limit_key is None


def test_without_a_repository_one_task_works_in_a_folder_at_a_time(app: App, kit: Path) -> None:
    task = one(app, type="bake", payload={"flavour": "rye"})
    assert task.spec["base"] is None
    assert task.limit_key == f"cwd:{kit}"
    assert one(app, type="bake", payload={"flavour": "rye"}, limit_key="oven").limit_key == "oven"
    assert one(app, type="bake", payload={"flavour": "rye"}, limit_key="").limit_key is None


def test_a_type_that_works_in_place_has_no_base_even_in_a_repository(app: App, kit: Path) -> None:
    repository(kit)
    task = one(app, type="here")
    assert task.spec["base"] is None
    assert task.limit_key == f"cwd:{kit}"


def test_a_folder_that_is_not_there_is_refused_unless_another_machine_has_it(app: App) -> None:
    assert "does not exist" in refused(app, type="here", cwd="/no/such/place").message
    assert one(app, type="here", cwd="/no/such/place", machine="far").spec["cwd"] == "/no/such/place"


def test_the_payloads_folder_counts_when_the_request_names_none(app: App, kit: Path) -> None:
    (kit / "sub").mkdir()
    assert one(app, type="here", payload={"cwd": "sub"}).spec["cwd"] == str(kit / "sub")
    assert one(app, type="here", payload={"repo_path": str(kit / "sub")}).spec["cwd"] == str(kit / "sub")


# -- checks and policy


def test_checks_are_read_in_all_their_forms(app: App) -> None:
    task = one(app, type="here", checks=["weighs: 500", "looks_good", {"weighs": "7"}, {"type": "weighs", "value": 8}])
    assert task.spec["checks"] == [
        {"type": "weighs", "value": 500},
        {"type": "looks_good", "value": None},
        {"type": "weighs", "value": 7},
        {"type": "weighs", "value": 8},
    ]


@pytest.mark.parametrize(
    ("check", "part"),
    [
        ("wieghs: 5", "did you mean 'weighs'?"),
        ("weighs", "needs a value"),
        ("weighs:", "needs a value"),
        ("weighs: -3", "must not be negative"),
        ({"a": 1, "b": 2}, "is not a check"),
        (7, "is not a check"),
    ],
)
def test_a_wrong_check_is_refused(app: App, check: Any, part: str) -> None:
    assert part in str(refused(app, type="here", checks=[check]))


def test_the_policy_comes_from_request_then_type_section_then_defaults_then_the_type(kit: Path) -> None:
    (kit / "runner.yaml").write_text(
        "defaults: {agent: cook, attempts: 4, timeout: 1h}\n"
        "types:\n  bake: {attempts: 5, requires: [gas], priority: 3, artifacts: ['*.html']}\n"
    )
    with App.open(kit, code=True) as app:
        task = one(app, type="bake", payload={"flavour": "rye"}, timeout="5m", artifacts=["out.txt"])
        here = one(app, type="here")
    assert task.spec["policy"] == {
        "expects": "none",
        "attempts": 5,
        "interruptions": 10,
        "repairs": 1,
        "repair_agent": None,
        "timeout": 300.0,
        "silence": None,
        "may_edit": [],
        "protect": [],
        "artifacts": ["out.txt", "*.html"],
        "touches": [],
    }
    assert (task.attempts, task.priority, task.requires) == (5, 3, ("oven", "gas"))
    assert (here.attempts, here.spec["policy"]["timeout"]) == (4, 3600.0)


def test_changes_are_expected_only_where_they_can_be_seen(app: App, kit: Path) -> None:
    assert one(app, type="ask", prompt="x").spec["policy"]["expects"] == "answer"
    repository(kit)
    with App.open(kit, code=True) as fresh:
        assert one(fresh, type="ask", prompt="x").spec["policy"]["expects"] == "changes"
        assert one(fresh, type="ask", prompt="x", agent="taster").spec["policy"]["expects"] == "answer"
        careful = one(fresh, type="agent_run", payload={"prompt": "x", "agent": "script", "permission": "read-only"})
        assert careful.spec["policy"]["expects"] == "answer"
        assert one(fresh, type="ask", prompt="x", expects="none").spec["policy"]["expects"] == "none"


@pytest.mark.parametrize("unit", ["a/../../b", "-x", "a b", "\u00fcn\u00ef", "x" * 200, "a\nb", "x.lock"])
def test_a_work_unit_that_could_be_no_folder_and_branch_is_refused(app: App, unit: str) -> None:
    error = refused(app, type="bake", payload={"flour": 1}, work_unit=unit)
    assert "can't name a work unit" in error.message


def test_asking_for_changes_that_nobody_could_see_is_refused(app: App) -> None:
    assert "git repository" in refused(app, type="ask", prompt="x", expects="changes").message
    assert (
        one(app, type="ask", prompt="x", expects="changes", artifacts=["out.txt"]).spec["policy"]["expects"]
        == "changes"
    )


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"priority": 10**9}, "priority"),
        ({"attempts": 0}, "attempts"),
        ({"timeout": "0s"}, "more than 0"),
        ({"expects": "miracles"}, "known: answer, changes, none"),
        ({"hold": "yes"}, "hold"),
        ({"after": 7}, "after"),
        ({"key": "a\0b"}, "NUL"),
        ({"prio": 1}, "did you mean 'priority'?"),
        ({"check": "a", "checks": "b"}, "given twice"),
    ],
)
def test_a_wrong_value_is_refused_by_name(app: App, values: dict[str, Any], part: str) -> None:
    assert part in str(refused(app, type="here", **values))


# -- routes


ROUTES = """
defaults: {agent: cook}
routes:
  - {match: {type: bake}, machine: oven-1, reason: the only oven}
  - {match: {type: [ask, here], agent: taster}, machine: table}
  - {match: {type: ask}, agent: taster}
  - {match: {requires: gas}, machine: cellar}
"""


def test_the_first_rule_that_matches_fills_in_what_was_left_open(kit: Path) -> None:
    (kit / "runner.yaml").write_text(ROUTES)
    with App.open(kit, code=True) as app:
        submission = Submission(app, kit, by="me")
        bake, ask, tasted, here = submission.prepare(
            [
                request({"type": "bake", "payload": {"flavour": "rye"}}),
                request({"type": "ask", "prompt": "x"}),
                request({"type": "ask", "prompt": "x", "agent": "taster"}),
                request({"type": "here"}),
            ]
        )
        named = one(app, type="bake", payload={"flavour": "rye"}, machine="mine")
    assert (bake.task.machine, bake.reason) == ("oven-1", "the only oven")
    assert (ask.task.agent, ask.task.machine, ask.task.requires) == ("taster", None, ("agent:taster",))
    assert (tasted.task.agent, tasted.task.machine) == ("taster", "table")
    assert (here.task.machine, here.reason) == (None, "")
    assert named.machine == "mine"


def test_a_route_may_name_the_type_of_a_task_that_left_it_open(kit: Path) -> None:
    (kit / "plugins" / "router.py").write_text(
        "from runner import Route, hookimpl\n\n"
        "@hookimpl\ndef route(task, fleet):\n"
        "    return Route(type='ask', agent='taster') if 'prompt' in task.payload else None\n\n"
    )
    with App.open(kit, code=True) as app:
        task = one(app, prompt="x")
        kept = one(app, type="bake", payload={"flavour": "rye"})
    assert (task.type, task.agent) == ("ask", "taster")
    assert kept.type == "bake"


def test_a_route_that_fails_refuses_the_submit(kit: Path) -> None:
    (kit / "plugins" / "router.py").write_text(
        "from runner import hookimpl\n\n@hookimpl\ndef route(task, fleet):\n    raise ValueError('no map')\n"
    )
    with App.open(kit, code=True) as app:
        assert "no map" in refused(app, type="here").message


# -- many at once


def lines(*texts: str, **defaults: Any) -> list[TaskRequest]:
    return list(read_lines(texts, "tasks.jsonl", defaults))


def test_a_line_that_is_wrong_names_file_and_line() -> None:
    with pytest.raises(UsageError) as error:
        lines('{"type": "here"}', "", '{"type": ')
    assert error.value.message.startswith("tasks.jsonl:3: not JSON")
    with pytest.raises(UsageError) as error:
        lines('["type"]')
    assert error.value.message == "tasks.jsonl:1: a JSON object is expected, not a list"
    with pytest.raises(UsageError) as error:
        lines('{"type": "here", "payload": {"x": NaN}}')
    assert "tasks.jsonl:1: not JSON: NaN" in error.value.message


def test_a_line_may_nest_absurdly_deep() -> None:
    with pytest.raises(UsageError) as error:
        lines('{"payload": ' * 100_000)
    assert error.value.message.startswith("tasks.jsonl:1: not JSON")


def test_options_fill_in_what_lines_leave_out() -> None:
    first, second = lines('{"type": "here"}', '{"priority": 1}', type="bake", priority=5)
    assert (first.type, first.priority) == ("here", 5)
    assert (second.type, second.priority) == ("bake", 1)


def test_names_join_tasks_of_one_submit_whatever_their_order(app: App) -> None:
    submission = Submission(app, app.project.root, by="me")
    requests = lines(
        '{"type": "here", "name": "last", "after": ["middle", "first"]}',
        '{"type": "here", "name": "middle", "after": "first"}',
        '{"type": "here", "name": "first"}',
    )
    prepared = submission.prepare(requests)
    assert [one.name for one in prepared] == ["first", "middle", "last"]
    done = submission.submit(prepared)
    assert [one.status for one in done] == ["pending", "blocked", "blocked"]
    last = app.store.queue.get(done[2].id)
    assert last is not None
    assert set(last.after) == {done[0].id, done[1].id}


def test_names_that_wait_for_each_other_are_refused(app: App) -> None:
    requests = lines(
        '{"type": "here", "name": "a", "after": "b"}',
        '{"type": "here", "name": "b", "after": "a"}',
        '{"type": "here", "name": "c"}',
    )
    with pytest.raises(UsageError) as error:
        Submission(app, app.project.root).prepare(requests)
    assert error.value.message == "tasks.jsonl:1: these tasks wait for each other: a, b"


def test_a_name_that_is_taken_is_refused_with_both_places(app: App) -> None:
    requests = lines('{"type": "here", "name": "a"}', '{"type": "here", "name": "a"}')
    with pytest.raises(UsageError) as error:
        Submission(app, app.project.root).prepare(requests)
    assert str(error.value) == "tasks.jsonl:2: the name 'a' is taken (by tasks.jsonl:1)"


def test_an_unknown_parent_is_refused_with_the_nearest_name(app: App) -> None:
    requests = lines('{"type": "here", "name": "build"}', '{"type": "here", "after": "biuld"}')
    with pytest.raises(UsageError) as error:
        Submission(app, app.project.root).prepare(requests)
    assert str(error.value) == "tasks.jsonl:2: no task 'biuld' to wait for (did you mean 'build'?)"


def test_a_wrong_line_stores_none_of_them(app: App) -> None:
    submission = Submission(app, app.project.root)
    with pytest.raises(UsageError) as error:
        submission.submit(submission.prepare(lines('{"type": "here"}', '{"type": "hree"}')))
    assert error.value.message.startswith("tasks.jsonl:2:")
    assert app.store.queue.count(TaskFilter()) == {}


def test_a_parent_may_be_named_by_the_start_of_its_id(app: App) -> None:
    submission = Submission(app, app.project.root)
    [first] = submission.submit(submission.prepare([request({"type": "here"})]))
    assert one(app, type="here", after=[first.id[:8]]).after == (first.id,)


def test_the_same_key_is_the_same_task_and_another_payload_a_conflict(app: App) -> None:
    submission = Submission(app, app.project.root)
    [first] = submission.submit(submission.prepare([request({"type": "here", "key": "k"})]))
    [second] = submission.submit(submission.prepare([request({"type": "here", "key": "k"})]))
    assert (second.id, second.created) == (first.id, False)
    with pytest.raises(Conflict):
        submission.submit(submission.prepare([request({"type": "here", "key": "k", "payload": {"x": 1}})]))


def test_a_file_with_names_and_keys_can_be_submitted_again(app: App) -> None:
    submission = Submission(app, app.project.root)
    texts = (
        '{"type": "here", "name": "a", "key": "ka"}',
        '{"type": "here", "name": "b", "key": "kb", "after": "a"}',
    )
    first = submission.submit(submission.prepare(lines(*texts)))
    again = submission.submit(submission.prepare(lines(*texts)))
    assert [one.id for one in again] == [one.id for one in first]
    assert not any(one.created for one in again)


def test_two_thousand_lines_take_little_time(app: App, kit: Path) -> None:
    repository(kit)
    texts = [f'{{"type": "bake", "payload": {{"flavour": "rye {n}"}}, "checks": ["weighs: 5"]}}' for n in range(2000)]
    began = time.perf_counter()
    submission = Submission(app, kit)
    done = submission.submit(submission.prepare(lines(*texts)))
    took = time.perf_counter() - began
    assert len({one.id for one in done}) == 2000
    assert took < 10, f"2,000 lines took {took:.1f} s"
