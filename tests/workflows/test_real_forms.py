"""Files in the forms that the other runners' own projects write load, are checked and planned; the rest is told."""
# ruff: noqa: E501 - tables of notes and of what is wrong

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.workflows.check import check
from runner.workflows.items import Result
from runner.workflows.load import Loaded, Source, load, parse, read
from runner.workflows.machine import Machine
from runner.workflows.nodes import Node
from runner.workflows.plan import plan
from runner_plugins.dialect_relay import load_workflow

FILES = Path(__file__).parent / "dialects"
NAMES = sorted(path.name for path in FILES.iterdir())

NOTES = {
    "screens-v1.0.yaml": {
        "3:1: `hidden` has no effect here",
        "25:9: what it offers is known only then: any answer is taken",
        "30:9: `default` of an input has no effect here: the person chooses",
    },
    "rounds-v2.1.yaml": {
        "3:1: `scope: workspace` has no effect here: its steps run once, in this repository",
        "19:5: `tools` has no effect here: the agent gets no tool 'call_agent'",
        "22:5: no `session` is a new one here; write `session: resume` to go on in the one before",
        "51:12: the loop has 4 iterations, the default of 'rounds'; another value does not change that",
        "55:9: `metrics_source` has no effect here",
    },
    "each-v1.2.yaml": {
        "8:5: `scope: repositories` has no effect here: its steps run once, in this repository",
        "20:5: nothing is built in: 'dialects/rounds-v2.1.yaml' is looked up beside this file and where workflows are",
    },
    "team.yaml": {
        "9:3: `channel` has no effect here",
        "10:3: `humanAssistance` has no effect here",
        "12:18: '../site' starts from where the workflow runs, not from this file",
        "18:7: `files` of permissions has no effect here",
        "21:1: `integrations` has no effect here",
        "22:1: `cwdResolution` has no effect here",
        "32:67: `idleThresholdSecs` has no effect here",
        "35:5: `persona` has no effect here: without `cli` the agent is the one called 'reader'",
        "37:5: `watch` of an agent has no effect here",
        "40:5: `onError` has no effect beside `errorHandling`",
        "42:62: `captureOutput` of a preflight has no effect here",
        "49:9: `maxIterations` of a step has no effect here",
        "50:72: `diagnosticAgent` has no effect here",
        "60:9: `terminalSuccessExitCodes` of a step has no effect here",
        "61:9: its output is kept all the same",
        "65:9: '{{steps.plan.output | first-line}}' stays as it is: there are no filters here",
        "67:37: `maxRetries` has an effect only with `strategy: retry`",
        "67:52: `notifyChannel` has no effect here",
        "67:73: a used-up repair waits for a person here",
        "68:1: `trajectories` has no effect here",
    },
    "services.yaml": {
        "10:9: a step of type integration (github createPR) can't be run here: step 'open' fails when it is reached",
        "15:9: a step of type waitFor can't be run here: step 'answered' fails when it is reached",
        "18:21: `use: docker-build` can't be run here: step 'own' fails when it is reached",
    },
}  # fmt: skip
"""What of each file has no effect, and where it says it."""


def reader(path: Path) -> Source:
    return load_workflow(path=path, text=path.read_text()) or read(path)


def loaded(name: str) -> Loaded:
    return load(FILES / name, [FILES.parent], reader)


@pytest.mark.parametrize("name", NAMES)
def test_every_form_loads_is_checked_without_a_problem_and_is_planned(name: str) -> None:
    one = loaded(name)
    problems = check(one.root, one.params, literal_expressions=one.source.foreign)
    assert [str(problem) for problem in problems if not problem.warning] == []
    planned = plan(one.root)
    assert planned["steps"]
    assert all(re.search(r"\.yaml:\d+:\d+$", step["place"]) for step in planned["steps"])


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_effect_is_told_at_its_line(name: str) -> None:
    assert {note.partition(".yaml:")[2] for note in loaded(name).source.notes} == NOTES[name]


def test_the_notes_of_all_files_of_a_workflow_are_told_together() -> None:
    assert len(loaded("each-v1.2.yaml").notes) == len(NOTES["each-v1.2.yaml"]) + len(NOTES["rounds-v2.1.yaml"])


def by_path(name: str) -> dict[str, Node]:
    found: dict[str, Node] = {}

    def walk(nodes: tuple[Node, ...], above: str) -> None:
        for node in nodes:
            found[f"{above}{node.id}"] = node
            walk(node.children, f"{above}{node.id}/")

    walk(loaded(name).root.children, "")
    return found


def test_a_screen_is_a_gate_whose_buttons_are_its_options() -> None:
    nodes = by_path("screens-v1.0.yaml")
    assert (nodes["hello"].kind, nodes["hello"].definition["options"]) == ("gate", ("continue",))
    assert nodes["hello"].definition["gate"] == "A first look\n\nThis shows what a screen is."
    assert nodes["sure"].capture == "answer"
    assert nodes["sure"].definition["options"] == ("yes_please", "leave")
    assert nodes["sure"].definition["gate"].endswith("yes_please: Set it up\nleave: Leave it")


def test_each_choice_of_a_screen_is_a_gate_and_a_value_of_its_own() -> None:
    nodes = by_path("screens-v1.0.yaml")
    assert [node.id for node in nodes["pick"].children] == ["tool", "place"]
    assert nodes["pick/place"].definition["options"] == ("here", "everywhere")
    assert "options" not in nodes["pick/tool"].definition
    assert nodes["pick/tool"].definition["gate"].endswith("Tool\n\nOne of: {{tools}}")
    assert (nodes["pick/tool"].capture, nodes["pick/place"].capture) == ("chosen-tool", "chosen-place")
    assert nodes["set-up"].definition["command"] == 'set-up --tool "{{chosen-tool}}" --place "{{chosen-place}}"'


def test_sessions_say_whose_they_are_and_backends_what_mode() -> None:
    nodes = by_path("rounds-v2.1.yaml")
    assert (nodes["build"].definition["agent"], nodes["build"].definition["mode"]) == ("maker", "live")
    assert nodes["says-so"].definition["agent"] == "maker"
    assert nodes["polish/mend"].definition["permission"] == "edit"
    assert nodes["note"].continue_on_failure
    assert nodes["polish"].iterations is not None
    assert (nodes["polish"].iterations.max, nodes["polish"].iterations.index) == (4, "round")


def ran(name: str, failing: dict[str, int]) -> tuple[list[str], str]:
    """Run a file's machine: each path of `failing` fails so often → the leaves that ran, how it ended."""
    one = loaded(name)
    machine = Machine(one.root, {"area": "src", "quiet": "false", "rounds": "4"})
    left, order = dict(failing), []
    while (effect := machine.take()) is not None:
        if effect.kind == "run":
            order.append(effect.address)
        bare = re.sub(r"\[[^]]*\]", "", effect.address)
        good = effect.kind == "run"
        if good and left.get(bare, 0) > 0:
            left[bare] -= 1
            good = False
        machine.answer(effect, Result("ok" if good else "check_failed", "said"))
    return order, machine.root.state


def test_a_repair_runs_the_check_again_after_the_agent_as_often_as_it_says() -> None:
    order, state = ran("rounds-v2.1.yaml", {"tidy/tidy": 1})
    first = order.index("tidy/tidy")
    assert order[first : first + 3] == ["tidy/tidy", "tidy/tidy-repair[1]/tidy-mend", "tidy/tidy-repair[1]/tidy-again"]
    assert state == "done"


def test_a_check_that_is_good_is_not_repaired() -> None:
    order, state = ran("rounds-v2.1.yaml", {})
    assert not any("repair" in address for address in order)
    assert state == "done"


def test_a_repair_that_is_used_up_is_a_failure() -> None:
    order, state = ran("rounds-v2.1.yaml", {"tidy/tidy": 1, "tidy/tidy-repair/tidy-again": 1})
    assert order[-1] == "tidy/tidy-repair[1]/tidy-again"
    assert state == "failed"


def test_a_repair_can_run_the_steps_before_the_check_again() -> None:
    order, state = ran("rounds-v2.1.yaml", {"reachable/reachable": 1, "reachable/reachable-repair/reachable-again": 1})
    again = [address.partition("reachable-repair")[2] for address in order if "reachable-repair" in address]
    assert again == ["[1]/publish", "[1]/reachable-again", "[2]/publish", "[2]/reachable-again"]
    assert state == "done"


def test_named_permissions_and_folders_of_a_team() -> None:
    nodes = by_path("team.yaml")
    assert [nodes[id].definition.get("permission") for id in ("plan", "make", "read")] == [
        "read-only",
        "edit",
        "read-only",
    ]
    assert nodes["plan"].definition["role"] == "Knows \\{{steps.plan.output}} by heart"
    assert nodes["make"].definition["workdir"] == "../site"
    assert nodes["make"].definition["budget"] == {"tokens": 90000}
    assert nodes["save"].definition["workdir"] == "docs"
    assert nodes["gate"].definition["protect"] == ("Makefile",)
    assert loaded("team.yaml").source.workflow.timeout is None


WRONG = {
    "a screen without a title": ("{id: a, mode: ui, actions: [{label: Go, outcome: go}]}", "w.yaml:2:5: a step with `mode: ui` needs a `title`"),
    "a screen without a button": ("{id: a, mode: ui, title: T}", "w.yaml:2:5: a step with `mode: ui` needs `actions`: [{label, outcome}]"),
    "a screen with a prompt": ("{id: a, mode: ui, title: T, prompt: x}", "w.yaml:2:33: 'prompt' does not belong to a step with `mode: ui`"),
    "a button twice": ("{id: a, mode: ui, title: T, actions: [{label: A, outcome: go}, {label: B, outcome: go}]}", "w.yaml:2:68: two actions have the outcome 'go'"),
    "a title elsewhere": ("{id: a, command: x, title: T}", "w.yaml:2:25: 'title' belongs to steps with `mode: ui`"),
    "a choice of another kind": ("{id: a, mode: ui, title: T, actions: [{label: A, outcome: a}], inputs: [{kind: text, id: x, prompt: p, options: [y]}]}", "w.yaml:2:78: kind can't be 'text'"),
    "a capture of nothing": ("{id: a, mode: ui, title: T, actions: [{label: A, outcome: a}], capture: x}", "w.yaml:2:68: 'capture' is for what the `inputs` choose"),
    "tools of a command": ("{id: a, command: x, tools: [call_agent]}", "w.yaml:2:25: 'tools' belongs to agent steps"),
    "a repair of an agent": ("{id: a, prompt: x, repair: {agent: b, prompt: y}}", "w.yaml:2:24: 'repair' belongs to shell and script steps"),
    "a repair of nobody": ("{id: a, command: x, repair: {prompt: y}}", "w.yaml:2:25: a repair has either `session` or `agent`"),
    "a repair of what is not there": ("{id: a, command: x, repair: {rerun: b}}", "w.yaml:2:34: there is no step 'b' before it, beside it"),
    "a repair with a wrong number": ("{id: a, command: x, repair: {agent: b, prompt: y, max: many}}", "w.yaml:2:55: 'max' must be a whole number, from 1 on"),
    "another key of a repair": ("{id: a, command: x, repair: {promt: y}}", "w.yaml:2:34: unknown key 'promt'"),
    "another backend": ("{id: a, prompt: x, autonomous_backend: pty}", "w.yaml:2:24: autonomous_backend can't be 'pty'"),
    "another permission": ("{id: a, prompt: x, permission_mode: careful}", "w.yaml:2:24: permission_mode can't be 'careful'"),
    "rounds of an unknown parameter": ("{id: a, loop: {max_param: n}, steps: [{id: b, command: x}]}", "w.yaml:2:20: there is no parameter 'n'"),
}  # fmt: skip


@pytest.mark.parametrize(("step", "message"), WRONG.values(), ids=WRONG)
def test_what_the_other_project_refuses_is_refused(step: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"steps:\n  - {step}", Path("w.yaml"), "w.yaml")
    assert caught.value.message == message
