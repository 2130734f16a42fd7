"""What `workflow validate` refuses or warns of before anything runs: each with its place, and what to do about it."""
# ruff: noqa: E501 - a table: a workflow and what is said of it, side by side

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.workflows.load import load
from tests.conftest import Runner
from tests.workflows.flows import Flows


def refused(place: Path, **files: str | bytes) -> str:
    """What is said of the file `w` beside these files."""
    for name, content in files.items():
        (place / f"{name}.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load(place / "w.yaml", [place])
    return str(caught.value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


BASE = "name: nightly\nsteps: [{id: a, command: x}]"
FILES = {
    "itself": ({"w": "name: x\nextends: w"}, "w.yaml:2:1: the workflow extends itself (name another workflow in `extends`)"),
    "two in a circle": ({"w": "extends: b", "b": "name: b\nextends: w"}, "b.yaml:2:1: w.yaml extends b.yaml extends w.yaml (name another workflow in `extends`)"),
    "a circle behind": ({"w": "extends: b", "b": "extends: c", "c": "extends: b"}, "c.yaml:1:1: b.yaml extends c.yaml extends b.yaml (name another workflow in `extends`)"),
    "no base": ({"w": "name: x\nextends: bsae", "base": BASE}, "w.yaml:2:1: there is no workflow 'bsae' (did you mean 'base'?)"),
    "no tests offered": ({"w": "extends: q", "base": BASE, "test_base": "x"}, "w.yaml:1:1: there is no workflow 'q' (known: base, w)"),
    "own steps": ({"w": "extends: base\nsteps: [{id: z, command: x}]\noverride: {a: {command: y}}", "base": BASE}, "w.yaml:3:12: the `steps` of this file take the place of the base's, and 'a' is none of them (leave `steps` out; `insert` adds some to the base's)"),
    "no UTF-8": ({"w": b"steps:\n  - {id: a, command: 'gr\xfcn'}"}, "w.yaml:2:25: the file is not UTF-8 (save it as UTF-8)"),
    "NUL": ({"w": b"steps:\n  - {id: a, command: 'a\0b'}"}, "w.yaml:2:24: not valid YAML: it has the character U+0000 (remove it)"),
    "NUL in a text": ({"w": 'steps:\n  - {id: a, command: "a\\0b"}'}, "w.yaml:2:13: the command has a NUL character"),
    "no command": ({"w": "steps: [{id: a, command: ' '}]"}, "w.yaml:1:17: the command is empty"),
    "no preflight": ({"w": "steps: [{id: a, preflight: [{command: ''}]}]"}, "w.yaml:1:30: the command is empty"),
    "twice": ({"w": "params: [{name: x}, {name: x}]\nsteps: [{id: a, command: x}]"}, "w.yaml:1:21: the parameter 'x' is there twice (also at w.yaml:1:10)"),
    "variable": ({"w": "steps: [{id: a, command: x, env: {'A=B': c}}]"}, "w.yaml:1:35: 'A=B' can't be the name of an environment variable"),
    "no variable": ({"w": "env: {'': c}\nsteps: [{id: a, command: x}]"}, "w.yaml:1:7: '' can't be the name of an environment variable"),
    "several": ({"w": "stepz: 1\nsteps: [{id: a, comand: x, command: ''}]"}, "w.yaml:2:28: the command is empty (and 2 more)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_that_can_not_be_read_are_refused_with_their_place(name: str, here: Path) -> None:
    files, said = FILES[name]
    assert refused(here, **files) == said  # type: ignore[arg-type]


def test_an_extending_file_is_called_as_it_is_itself(here: Path) -> None:
    (here / "base.yaml").write_text(BASE)
    (here / "w.yaml").write_text("extends: base\noverride: {a: {command: y}}")
    assert load(here / "w.yaml", [here]).source.workflow.name == "w"
    (here / "w.yaml").write_text("extends: base\nname: mine")
    assert load(here / "w.yaml", [here]).source.workflow.name == "mine"


STEPS = {
    "payload": ("{task: run_script, with: {scrpt: x}}", ["2:38: step 'b': payload of run_script: unknown field 'scrpt' (did you mean 'script'?)"]),
    "payload's name, its value not known": ("{task: run_script, with: {scrpt: 'x {{steps.a.output}}'}}", ["2:38: step 'b': payload of run_script: unknown field 'scrpt' (did you mean 'script'?)"]),
    "payload's value": ("{task: run_script, with: {script: x, timeout: long}}", ["2:49: step 'b': payload of run_script: timeout: input should be a valid number (it takes: script, [cwd], [timeout], [env])"]),
    "payload's value, not known": ("{task: run_script, with: {script: x, timeout: '{{steps.a.output}}'}}", []),
    "no payload": ("{task: run_script}", ["2:5: step 'b': payload of run_script: script: field required (it takes: script, [cwd], [timeout], [env])"]),
    "an agent too much": ("{task: run_script, agent: script, with: {script: x}}", ["2:31: step 'b': payload of run_script: unknown field 'agent' (known: cwd, env, script, timeout)"]),
    "check": ("{command: x, verify: [{command: ''}]}", ["2:34: step 'b': the check 'command' needs a value (a shell command that the runner runs exits with 0)"]),
    "check's value": ("{command: x, checks: ['exit_code: one']}", ["2:34: step 'b': the check 'exit_code': 'one' is not an exit code; write a number such as 0 (the exit code is 0, or the one or those given)"]),
    "check's value, not known": ("{command: x, verify: [{exit_code: '{{steps.a.output}}'}]}", []),
    "no check": ("{command: x, verify: [5, {}, {exit_code: 0, file_exists: x}]}", ["2:34: step 'b': 5 is not a check (write `TYPE: VALUE`)", "2:37: step 'b': {} is not a check (write `TYPE: VALUE`)", "2:41: step 'b': {'exit_code': 0, 'file_exists': 'x'} is not a check (write `TYPE: VALUE`)"]),
    "script": ("{script: nofile.sh}", ["2:13: step 'b': there is no script 'nofile.sh' (its place is told from the workflow's file)"]),
    "script, not known": ("{script: '{{steps.a.output}}.sh'}", []),
    "answers": ("{gate: ok?, options: [yes, no], default: yse, deadline: 5}", ["2:44: step 'b': the default 'yse' is none of its options (did you mean 'yes'?)"]),
    "any answer": ("{gate: ok?, default: yse, deadline: 5}", []),
    "no answer": ("{gate: ok?, deadline: 5}", ["2:24: step 'b': nothing says what the answer is when the deadline is over (give it a `default`)"]),
    "short": ("{command: x, when: 'a =='}", ["2:5: step 'b': when: 'a ==' is not an expression: it ends too early"]),
    "open": ("{command: x, when: '(a'}", ["2:5: step 'b': when: '(a' is not an expression: it ends too early"]),
    "and": ("{command: x, when: 'true && false'}", ["2:5: step 'b': when: 'true && false' is not an expression: unexpected char '&' (write `and`, `or`, `not`)"]),
    "braces": ("{command: x, when: '{{a}} == 1'}", ["2:5: step 'b': when: '{{a}} == 1' is not an expression: expected token ':', got '}' (write it without {{ and }})"]),
    "short placeholder": ("{prompt: '{{ a == }}', agent: script}", ["2:5: prompt: 'a ==' is not an expression: it ends too early (write \\{{ for literal braces)"]),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_what_a_step_says_that_can_not_be(name: str, flows: Flows) -> None:
    text, said = STEPS[name]
    text = text.replace("steps.a.output", "run_id")
    found = [
        str(one).rpartition("flow.yaml:")[2]
        for one in flows.problems(f"steps:\n  - {{id: b, {text.removeprefix('{')}\n")
        if not one.warning
    ]
    assert found == said


SHELL = "step 'a': `retries` is not for an exit code other than 0, which is a red check (to try again after that, put it in a `loop: {max: 3}`, with `break_if: success`)"
SECRET = "looks like a secret, and what the file says is not redacted"
WARNINGS = {
    "retries": ("steps: [{id: a, command: x, retries: 2}]", [f"1:29: {SHELL}"]),
    "no retries": ("steps: [{id: a, command: x, retries: 0}]", []),
    "retries of all": ("on_error: {retry: {max: 2}}\nsteps: [{id: a, command: x}]", []),
    "secret": ("steps: [{id: a, command: x, env: {API_KEY: 0123456789}}]", [f"1:35: the value of API_KEY {SECRET} (leave it out here and set API_KEY in the environment)"]),
    "secret of all": ("env: {API_KEY: sk-123456}\nsteps: [{id: a, command: x}, {id: b, command: x}]", [f"1:7: the value of API_KEY {SECRET} (leave it out here and set API_KEY in the environment)"]),
    "no secret": ("params: [{name: k}]\nsteps: [{id: a, command: x, env: {API_KEY: 'x{{k}}', MAX_TOKENS: 1000, TOKEN: 1}}]", []),
    "machine": ("steps: [{id: a, task: run_script, with: {script: x}, machine: studoi}]", ["1:54: step 'a': no machine is called 'studoi' in machines.yaml, and this one is 'laptop' (did you mean 'studio'?)"]),
    "this machine": ("steps: [{id: a, task: run_script, with: {script: x}, machine: laptop}]", []),
    "its alias": ("steps: [{id: a, task: run_script, with: {script: x}, machine: st}]", []),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNINGS)
def test_what_can_run_and_is_hardly_meant(name: str, flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_DEVICE_ID", "laptop")
    (flows.root / "machines.yaml").write_text("machines: {studio: {role: worker, aliases: [st]}}\n")
    text, said = WARNINGS[name]
    found = flows.problems(text)
    assert all(one.warning for one in found), found
    assert [str(one).rpartition("flow.yaml:")[2] for one in found] == said


def test_a_payload_that_does_not_fit_once_it_is_known_fails_the_step(flows: Flows) -> None:
    ran = flows.run(
        "steps:\n  - {id: a, command: echo long}\n  - {id: b, task: run_script, with: {script: x, timeout: '{{steps.a.output}}'}}"
    )
    assert ran.states == {"a": "done", "b": "failed"}
    assert "3:5: payload of run_script: timeout: input should be a valid number" in ran.summary("b")
    assert "KeyError" not in ran.summary("b")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("when: steps.a.output > 3, command: x", "3:5: when: 'steps.a.output > 3' compares a text with a number (write `(steps.a.output | int) > 3`)"),
        ("when: 3 <= steps.a.output, command: x", "3:5: when: '3 <= steps.a.output' compares a text with a number (write `3 <= (steps.a.output | int)`)"),
        ("command: 'echo {{steps.a.json}}'", "3:5: the output of step 'a' is not JSON (line 1, column 3: Extra data)"),
        ("when: steps.a.json.x == 1, command: x", "3:5: when: in 'steps.a.json.x == 1': the output of step 'a' is not JSON"),
    ],
)  # fmt: skip
def test_values_that_can_not_be_used_so_are_told_with_the_place(flows: Flows, step: str, said: str) -> None:
    ran = flows.run(f"steps:\n  - {{id: a, command: echo 5 apples}}\n  - {{id: b, {step}}}")
    assert ran.states["b"] == "failed"
    assert ran.summary("b").endswith(said)


def test_validate_tells_all_errors_of_a_file_and_others_the_first(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/bad.yaml").write_text("stepz: 1\nsteps:\n  - {id: a, comand: x}\n  - {id: b, command: ''}\n")
    ended = runner("workflow", "validate", "bad")
    assert ended.code == 2
    assert [line for line in ended.stdout.splitlines() if "error: " in line] == [
        "workflows/bad.yaml:3:13: error: unknown key 'comand'",
        "workflows/bad.yaml:4:13: error: the command is empty",
        "workflows/bad.yaml:1:1: error: unknown key 'stepz'",
    ]
    assert "1 workflow: 3 error(s), 0 warning(s)" in ended.stderr
    found = runner("workflow", "validate", "bad", "--format", "json").items
    assert [(one["place"].rpartition("yaml:")[2], one["hint"]) for one in found] == [
        ("3:13", "did you mean 'command'?"),
        ("4:13", ""),
        ("1:1", "did you mean 'steps'?"),
    ]
    ended = runner("workflow", "run", "bad")
    assert "bad.yaml:3:13: unknown key 'comand' (did you mean 'command'?; and 2 more)" in ended.stderr
