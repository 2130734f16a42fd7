"""Extended workflows, how files are read and printed, engines, and what is told of an installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import ConfigError
from tests.conftest import Runner
from tests.workflows.flows import Flows

# Extended workflows


def test_show_prints_what_an_extended_workflow_comes_to(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/base.yaml").write_text("steps: [{name: a, command: one}, {name: b, command: two}]")
    (project / "workflows/flow.yaml").write_text(
        "extends: base.yaml\noverride: {b: {command: other}}\ninsert: [{after: a, steps: [{id: new, command: x}]}]\n"
    )
    shown = runner.ok("workflow", "show", "flow").stdout
    assert [word for word in ("id: a", "id: new", "id: b") if word in shown] == ["id: a", "id: new", "id: b"]
    assert shown.index("id: a") < shown.index("id: new") < shown.index("id: b")
    assert ("command: other" in shown, "two" in shown) == (True, False)
    assert "extends" not in shown
    (project / "workflows/again.yaml").write_text(shown)
    assert runner.ok("workflow", "show", "again").stdout == shown


def test_one_spelling_is_printed(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text(
        "maxConcurrency: 2\nsteps: [{name: a, command: x}, {name: b, command: y, dependsOn: [a]}]\n"
    )
    shown = runner.ok("workflow", "show", "flow").stdout
    assert ("max_concurrency: 2" in shown, "needs:" in shown, "id: b" in shown) == (True, True, True)
    assert not [word for word in ("maxConcurrency", "dependsOn", "name: a") if word in shown]


def test_words_and_numbers_are_those_of_yaml_1_2(flows: Flows) -> None:
    ran = flows.run(
        """
params: [{name: on, default: off}, {name: number, default: 010}, {name: time, default: 12:30}, {name: y, default: yes}]
steps: [{id: a, command: "echo {{on}} {{number}} {{time}} {{y}}"}]
"""
    )
    assert ran.outputs["a"] == "off 10 12:30 yes"


# Engines


ENGINE = """
from runner import hookimpl
from runner.model import CheckSpec, Verdict


@hookimpl
def validate_workflow(workflow):
    engine = workflow.source.workflow.engine
    if engine is None or engine.type != "house":
        return ()
    return [] if "style" in engine.model_dump() else [f"{workflow.source.place('engine')}: the engine needs a style"]


@hookimpl
def enrich_prompt(step, prompt, context):
    engine = (context.workflow or {}).get("engine")
    return f"Write it in the style {engine['style']}." if engine and engine["type"] == "house" else None


@hookimpl
def register_checks():
    return {"house": CheckSpec("it is in the style")}


@hookimpl
def verify(check, step, context):
    style = context.workflow["engine"]["style"]
    return Verdict((context.workspace / "made.txt").read_text().strip() == style, f"it is not in the style {style}")
"""


@pytest.fixture
def house(flows: Flows) -> Flows:
    """A project with a plugin that is an engine."""
    (flows.root / "plugins").mkdir()
    (flows.root / "plugins/house.py").write_text(ENGINE)
    return flows


HOUSE = """
engine: {type: house, STYLE}
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[write: made.txt <<MADE]]"}
  - {id: sh, command: "true"}
"""


def house_of(style: str, made: str = "plain") -> str:
    return HOUSE.replace("STYLE", style).replace("MADE", made)


def test_an_engine_looks_at_the_file_with_its_place(house: Flows) -> None:
    [said] = [str(one) for one in house.problems(house_of("colour: red"))]
    assert "flow.yaml:2" in said
    assert "the engine needs a style" in said
    assert house.problems(house_of("style: plain")) == []
    assert house.problems(HOUSE.replace("engine: {type: house, STYLE}", "")) == []


def test_an_engine_adds_to_the_prompts_of_its_own_workflows_alone(house: Flows) -> None:
    for text, told in ((house_of("style: plain"), True), (house_of("").replace("engine: {type: house, }", ""), False)):
        ran = house.run(text)
        assert ran.status == "done", ran.result["summary"]
        prompt = Path(str((ran.tries("a")[0].result or {})["folder"]), "prompt.md").read_text()
        assert ("in the style plain" in prompt) is told


def test_an_engine_judges_the_agents_steps_of_its_workflows(house: Flows) -> None:
    ran = house.run(house_of("style: plain", "loud"))
    assert (ran.status, ran.states, ran.summary("a")) == (
        "failed",
        {"a": "failed", "sh": "not_run"},
        "it is not in the style plain",
    )


def test_an_agent_whose_program_is_not_here_is_a_warning(flows: Flows) -> None:
    text = "steps: [{id: a, agent: nobody-has-it, prompt: x}]"
    (flows.root / "runner.yaml").write_text('agents: {nobody-has-it: {program: no-such-program, argv: ["{prompt}"]}}\n')
    found = flows.problems(text)
    assert [(one.warning, "no-such-program" in str(one)) for one in found] == [(True, True)]


# Extended


def test_an_inserted_step_stands_between_and_an_overridden_one_keeps_what_is_not_said_of_it(flows: Flows) -> None:
    flows.write(
        """
params: [{name: who, default: you}]
env: {LEVEL: base}
steps:
  - {id: a, command: "echo a >> log"}
  - {id: b, command: "echo b$LEVEL$OWN >> log", env: {OWN: own}, capture: got, continue_on_failure: true}
  - {id: g, steps: [{id: c, command: "echo c{{who}} >> log"}]}
""",
        "base",
    )
    ran = flows.run(
        """
extends: base.yaml
override: {b: {command: "echo B$LEVEL$OWN >> log; echo {{who}}; exit 1"}, g/c: {command: "echo C{{got}} >> log"}}
insert:
  - {after: a, steps: [{id: x, command: "echo x >> log"}]}
  - {before: c, steps: [{id: y, command: "echo y >> log"}]}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert (flows.root / "log").read_text().split() == ["a", "x", "Bbaseown", "y", "Cyou"]


def test_an_extension_of_an_extension(flows: Flows) -> None:
    flows.write("steps: [{id: a, command: echo one}, {id: b, command: echo two}]", "base")
    flows.write("extends: base.yaml\noverride: {a: {command: echo three}}", "middle")
    ran = flows.run("extends: middle.yaml\noverride: {b: {command: 'echo {{steps.a.output}} four'}}")
    assert ran.outputs == {"a": "three", "b": "three four"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: base.yaml\noverride: {b: {command: x, comand: y}}", "flow.yaml:2:"),
        ("extends: base.yaml\ninsert: [{after: b, steps: [{id: a, command: x}]}]", "flow.yaml:2:"),
        ("extends: base.yaml\ninsert: [{after: b, steps: [{id: n, command: 'echo {{nobody}}'}]}]", "flow.yaml:2:"),
    ],
)
def test_what_is_wrong_with_an_extension_is_said_where_it_stands(flows: Flows, text: str, said: str) -> None:
    flows.write("steps: [{id: a, command: one}, {id: b, command: two}]", "base")
    try:
        found = "\n".join(str(one) for one in flows.problems(text))
    except ConfigError as error:
        found = str(error)
    assert said in found


def test_a_sub_workflow_has_its_own_variables_and_rules_for_retries(flows: Flows) -> None:
    flows.write(
        """
env: {LEVEL: inner}
on_error: {retry: {max: 1}}
steps:
  - id: a
    agent: script
    expects: answer
    prompt: "[[run: echo $LEVEL$OUTER >> log]] [[on-attempt 1: [[exit: 7]] ]] [[say: x]]"
""",
        "inner",
    )
    ran = flows.run("env: {LEVEL: outer, OUTER: outer}\nsteps: [{id: s, workflow: inner}]")
    assert (ran.status, (flows.root / "log").read_text().split()) == ("done", ["inner", "inner"])
