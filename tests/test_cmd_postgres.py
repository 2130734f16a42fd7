"""The task commands on PostgreSQL: the same words, the same answers; the schema only by `store upgrade`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runner.testing import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.serve() as server:
        yield server


def test_a_database_is_made_ready_by_store_upgrade_alone(
    server: postgres.Server, project: Path, runner: Runner
) -> None:
    runner.env["RUNNER_STORE"] = server.create()
    ended = runner("queue")
    assert ended.code == 4
    assert "runner store upgrade" in ended.stderr
    assert runner.ok("store", "upgrade", "--format", "json").json["applied"] != []
    assert runner.ok("store", "upgrade").stdout == "The store is up to date.\n"
    assert runner.ok("queue", "--format", "json").items == []


def test_the_way_of_a_task_is_the_same(server: postgres.Server, project: Path, runner: Runner) -> None:
    runner.env["RUNNER_STORE"] = server.create()
    runner.ok("store", "upgrade")
    submit = ("submit", "--type", "run_script", "--format", "json", "--payload")
    good = runner.ok(*submit, '{"script": "echo hi | tee out.txt"}', "--artifact", "out.txt", "--key", "k").json
    bad = runner.ok(*submit, '{"script": "exit 3"}', "--after", good["id"][:9]).json
    assert (good["status"], bad["status"]) == ("pending", "blocked")
    assert runner.ok(*submit, '{"script": "echo hi | tee out.txt"}', "--key", "k").json["id"] == good["id"]
    assert runner("why", bad["id"]).stdout.startswith(f"{bad['id']} is blocked: it waits: task {good['id']}")
    assert runner("work", "--drain").code == 1
    assert [item["status"] for item in runner.ok("queue", "--all", "--format", "json").items] == ["failed", "done"]
    assert runner.ok("logs", good["id"]).stdout == "hi\n"
    [artifact] = runner.ok("show", good["id"], "--format", "json").json["artifacts"]
    assert runner.ok("artifact", "download", artifact["ref"], "--output", "-").stdout == "hi\n"
    assert [item["id"] for item in runner.ok("failures", "--format", "json").items] == [bad["id"]]
    assert "exit" in runner.ok("why", bad["id"]).stdout
    runner.ok("retry", bad["id"])
    runner.ok("cancel", bad["id"])
    assert runner.ok("status", "--format", "json").json["counts"] == {"done": 1, "cancelled": 1}
    assert runner.ok("store", "info", "--format", "json").json["bytes"] is None
