"""A workflow's file: read, validated with file, line and column, extended, put together with its sub-workflows."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.workflows.finding import find
from runner.workflows.load import load


def write(place: Path, **files: str) -> Path:
    """Write `NAME.yaml` files → the first."""
    for name, text in files.items():
        (place / f"{name}.yaml").write_text(text)
    return place / f"{next(iter(files))}.yaml"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


WRONG = {
    "no mapping": ("[]", "w.yaml:1: a workflow is a mapping with `steps`", ""),
    "no steps": ("name: x", "w.yaml:1:1: a workflow needs `steps`", ""),
    "unknown key": (
        "steps:\n  - id: a\n    comand: x\n    command: x",
        "w.yaml:3:5: unknown key 'comand'",
        "did you mean 'command'?",
    ),
    "no kind": ("steps: [{id: a}]", "w.yaml:1:9: nothing says what the step does", None),
    "two kinds": (
        "steps:\n  - {id: a, command: x, prompt: y}",
        "w.yaml:2:5: a step does one thing; this has prompt and command",
        "",
    ),
    "no id": ("steps:\n  - command: x", "w.yaml:2:5: 'id' is missing", ""),
    "misplaced": (
        "steps:\n  - {id: a, command: x, session: new}",
        "w.yaml:2:5: 'session' belongs to agent steps; this is a shell step",
        "",
    ),
    "twice": (
        "steps:\n  - {id: a, command: x}\n  - {id: a, command: y}",
        "w.yaml:3:5: the id 'a' is used twice (also at w.yaml:2:5)",
        "",
    ),
    "need": (
        "steps:\n  - {id: build, command: x}\n  - id: b\n    command: y\n    needs: [biuld]",
        "w.yaml:5:5: step 'b' needs 'biuld', which is no step beside it",
        "did you mean 'build'?",
    ),
    "itself": ("steps: [{id: a, command: x, needs: [a]}]", "w.yaml:1:29: step 'a' needs itself", None),
    "cycle": (
        "pattern: dag\nsteps:\n  - {id: a, command: x, needs: [b]}\n  - {id: b, command: x, needs: [a]}",
        "w.yaml:3:5: the steps 'a', 'b' wait for each other",
        "remove one of their `needs`",
    ),
    "loop": ("steps: [{id: a, loop: {}, steps: [{id: b, command: x}]}]", "a loop has either `max` or `over`", ""),
    "over": ("steps: [{id: a, loop: {over: x}, steps: [{id: b, command: x}]}]", "a loop `over` files needs `as`", ""),
    "mode": (
        "steps: [{id: a, prompt: x, mode: shel}]",
        "w.yaml:1:28: steps.0.mode can't be 'shel'",
        "did you mean 'shell'?",
    ),
    "number": (
        "max_concurrency: many\nsteps: [{id: a, command: x}]",
        "w.yaml:1:1: max_concurrency must be a whole number, not 'many'",
        "",
    ),
    "sub missing": (
        "steps: [{id: a, workflow: othr}]",
        "w.yaml:1:17: there is no workflow 'othr'",
        "did you mean 'other'?",
    ),
    "sub param": (
        "steps: [{id: a, workflow: other, params: {chnge: x}}]",
        "w.yaml:1:43: 'other' has no parameter 'chnge'",
        "did you mean 'change'?",
    ),
    "sub needs": (
        "steps: [{id: a, workflow: other.yaml}]",
        "w.yaml:1:17: 'other' needs the parameter 'change'",
        "give it in `params`",
    ),
    "itself called": ("steps: [{id: a, workflow: w.yaml}]", "w.yaml:1:1: the workflow calls itself", None),
    "bad yaml": ("steps: [", "w.yaml:2:1: not valid YAML", None),
    "unquoted braces": (
        "steps:\n  - {id: a, command: x}\n  - id: b\n    command: {{x}}",
        "w.yaml:4:",
        'quote it: "{{…}}"',
    ),
    "unquoted colon": (
        "steps:\n  - id: a\n    command: x\n    skip_if: sh: test -f x",
        "w.yaml:4:",
        "quote the value: it has a colon",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_place_and_the_nearest_name(name: str, tmp_path: Path) -> None:
    text, message, hint = WRONG[name]
    path = write(tmp_path, w=text, other="params: [{name: change}]\nsteps: [{id: x, command: 'echo {{change}}'}]")
    with pytest.raises(ConfigError) as caught:
        load(path, [tmp_path])
    assert message in caught.value.message
    assert hint is None or caught.value.hint == hint


def test_needs_are_written_out(tmp_path: Path) -> None:
    text = """
steps:
  - {id: a, command: x}
  - {id: b, command: x}
  - id: c
    pattern: dag
    steps:
      - {id: d, command: x}
      - {id: e, command: x}
      - {id: f, command: x, dependsOn: [d, e]}
  - {id: g, command: x, needs: [a]}
"""
    root = load(write(tmp_path, w=text)).root
    assert [(node.id, node.needs) for node in root.children] == [("a", ()), ("b", ("a",)), ("c", ("b",)), ("g", ("a",))]
    assert [(node.id, node.needs) for node in root.children[2].children] == [("d", ()), ("e", ()), ("f", ("d", "e"))]
    assert root.children[2].children[2].place == "w.yaml:10:9"


def test_agents_and_workflow_settings_stand_below_the_steps_own(tmp_path: Path) -> None:
    text = """
agents: {impl: {cli: codex, model: big, preset: worker, retries: 2}}
env: {A: 1, B: two}
shell: bash
steps:
  - {id: a, agent: impl, prompt: do it, model: small, env: {B: three}}
  - {id: b, command: x}
"""
    a, b = load(write(tmp_path, w=text)).root.children
    assert {key: a.definition[key] for key in ("cli", "model", "preset", "retries", "env")} == {
        "cli": "codex",
        "model": "small",
        "preset": "worker",
        "retries": 2,
        "env": {"A": "1", "B": "three"},
    }
    assert b.definition["shell"] == "bash"


def test_files_are_found_by_name_the_newest_version_of_several(tmp_path: Path) -> None:
    for name in ("ship-v1.2", "ship-v1.10", "ship-v0.99", "ship-it-v9.9"):
        write(tmp_path, **{name: "steps: [{id: a, command: x}]"})
    assert find("ship", [tmp_path]).name == "ship-v1.10.yaml"
    assert find("ship-v1.2", [tmp_path]).name == "ship-v1.2.yaml"
    assert load(find("ship", [tmp_path])).source.workflow.name == "ship"
    with pytest.raises(ConfigError, match="there is no workflow 'shp'"):
        find("shp", [tmp_path])


def test_a_workflow_extends_another(tmp_path: Path) -> None:
    base = """
agents: {impl: {cli: codex}}
steps:
  - {id: plan, agent: impl, prompt: Plan it, session: new}
  - id: work
    steps:
      - {id: do, prompt: Do it}
      - {id: check, command: make check}
  - {id: end, command: echo end}
"""
    text = """
extends: base
agents: {lead: {cli: claude}}
override:
  plan: {agent: lead, session: null}
  work/do: {prompt: Do it well}
insert:
  - after: check
    steps: [{id: lint, command: make lint}, {id: lint2, command: make lint2}]
  - {before: plan, steps: [{id: start, command: echo start}]}
"""
    root = load(write(tmp_path, w=text, base=base), [tmp_path]).root
    assert [node.id for node in root.children] == ["start", "plan", "work", "end"]
    assert [node.id for node in root.children[2].children] == ["do", "check", "lint", "lint2"]
    plan = root.children[1].definition
    assert (plan["cli"], "session" in plan) == ("claude", False)
    assert root.children[2].children[0].definition["prompt"] == "Do it well"
    assert [node.place for node in root.children] == ["w.yaml:10:28", "w.yaml:5:3", "base.yaml:5:5", "base.yaml:9:5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("override: {plna: {prompt: x}}", "w.yaml:2:12: the base has no step 'plna'"),
        ("override: {plan: {promt: x}}", "w.yaml:2:19: unknown key 'promt'"),
        ("insert: [{after: x, steps: [{id: b, command: x}]}]", "the base has no step 'x'"),
        ("insert: [{steps: [{id: b, command: x}]}]", "say either `after` or `before` which step"),
    ],
)
def test_what_is_wrong_with_an_extension(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, w=f"extends: base\n{text}", base="steps: [{id: plan, prompt: x}]")
    with pytest.raises(ConfigError) as caught:
        load(path, [tmp_path])
    assert message in caught.value.message
