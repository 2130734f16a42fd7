"""Workflows in Python make the same model as a file, and say which line is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.workflows.builder import workflow
from runner.workflows.load import load
from runner.workflows.plan import plan


def test_a_chain_of_calls_is_a_workflow(tmp_path: Path) -> None:
    made = (
        workflow("ship")
        .description("Ship it")
        .param("change")
        .param("base", default="main")
        .max_concurrency(3)
        .timeout("1h")
        .budget(usd=5, tokens="2M")
        .env(A="1")
        .agent("lead", cli="claude", model="opus", role="Architect", retries=2)
        .step("plan", agent="lead", task="Plan {{change}}", verification={"type": "output_contains", "value": "OK"})
        .step("build", command="make", needs=["plan"])
        .step("lint", type="deterministic", command="make lint", depends_on=["plan"], fail_on_error=False)
        .step("ios", task_type="ios_build", with_={"scheme": "App"}, needs=["build", "lint"])
        .on_error("retry", max_retries=3, retry_delay=10, repair_agent="lead")
        .packages(["web"])
    )
    loaded = made.loaded()
    assert [(node.id, node.kind, node.needs) for node in loaded.root.children] == [
        ("plan", "agent", ()),
        ("build", "shell", ("plan",)),
        ("lint", "shell", ("plan",)),
        ("ios", "task", ("build", "lint")),
    ]
    assert loaded.root.children[2].continue_on_failure
    flow = loaded.source.workflow
    assert (flow.timeout, flow.budget and flow.budget.tokens, flow.on_error.retry and flow.on_error.retry.delay) == (
        3600,
        2_000_000,
        10,
    )
    assert plan(loaded.root)["waves"] == [["plan"], ["build", "lint"], ["ios"]]
    (tmp_path / "ship.yaml").write_text(made.to_yaml())
    again = load(tmp_path / "ship.yaml")
    assert again.source.workflow == flow


def test_what_is_wrong_is_said_with_the_line_of_the_call() -> None:
    made = workflow("x").step("a", commnd="x")
    with pytest.raises(ConfigError, match=r"test_builder\.py:\d+: unknown key 'commnd'"):
        made.loaded()
    with pytest.raises(ConfigError, match="on_error can't be 'fail'"):
        workflow("x").on_error("fail")


def test_a_plan_shows_loops_and_groups_where_they_stand(tmp_path: Path) -> None:
    text = """
pattern: dag
steps:
  - {id: a, command: x}
  - {id: l, needs: [a], loop: {over: "*.md", as: f}, steps: [{id: one, prompt: 'do {{f}}'}, {id: two, command: y}]}
  - {id: b, command: x}
  - {id: end, command: x, needs: [l, b]}
"""
    (tmp_path / "w.yaml").write_text(text)
    found = plan(load(tmp_path / "w.yaml").root)
    assert found["waves"] == [["a", "b"], ["l[]/one"], ["l[]/two"], ["end"]]
    assert [step["path"] for step in found["steps"]] == ["a", "l", "l[]/one", "l[]/two", "b", "end"]
    assert found["steps"][1]["loop"] == {"over": "*.md", "as": "f"}
