"""What is wrong with a workflow is known before it runs, with its place and what to do."""
# ruff: noqa: E501 - a table: a workflow and what is said of it, side by side

from __future__ import annotations

from pathlib import Path

import pytest

from runner.workflows.check import check
from runner.workflows.load import load


def problems(place: Path, text: str, **files: str) -> list[str]:
    for name, content in {"w": text, **files}.items():
        (place / f"{name}.yaml").write_text(content)
    loaded = load(place / "w.yaml", [place])
    return [str(problem).replace(f"{place}/", "") for problem in check(loaded.root, loaded.params)]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


WRONG = {
    "undefined": ("params: [{name: change}]\nsteps:\n  - {id: a, command: 'echo {{chnge}}'}", ["w.yaml:3:5: command: 'chnge' is not defined here (did you mean 'change'?)"]),
    "no such step": ("steps:\n  - {id: read, command: x}\n  - {id: b, prompt: '{{steps.raed.output}}'}", ["w.yaml:3:5: prompt: there is no step 'raed' here (did you mean 'read'?)"]),
    "not a need": ("pattern: dag\nsteps:\n  - {id: a, command: x}\n  - {id: b, prompt: '{{steps.a.output}}'}", ["w.yaml:4:5: prompt: refers to 'a', which it does not need (add it to the needs of 'b')"]),
    "later step": ("steps:\n  - {id: a, prompt: '{{steps.b.output}}'}\n  - {id: b, command: x}", ["w.yaml:2:5: prompt: refers to 'b', which it does not need (add it to the needs of 'a')"]),
    "itself": ("steps: [{id: a, prompt: '{{steps.a.output}}'}]", ["w.yaml:1:9: prompt: refers to itself"]),
    "no such result": ("steps:\n  - {id: a, command: x}\n  - {id: b, prompt: '{{steps.a.outptu}}'}", ["w.yaml:3:5: prompt: step 'a' has no 'outptu' (did you mean 'output'?)"]),
    "capture not needed": ("pattern: dag\nsteps:\n  - {id: a, command: x, capture: got}\n  - {id: b, command: 'echo {{got}}'}", ["w.yaml:4:5: command: 'got' is captured by 'a', which 'b' does not need (add 'a' to its needs)"]),
    "captured twice": ("pattern: dag\nsteps:\n  - {id: a, command: x, capture: got}\n  - {id: b, command: x, capture: got}", ["w.yaml:4:5: step 'b': 'got' is captured by 'a' as well, which may run at the same time (let one need the other, or give them different names)"]),
    "break": ("steps: [{id: a, command: x, break_if: success}]", ["w.yaml:1:9: step 'a': `break_if` stands in no loop (it ends the loop around it)"]),
    "first skip": ("steps: [{id: a, command: x, skip_if: previous_success}]", ["w.yaml:1:9: step 'a': `skip_if: previous_success` has no step before it (it is the first of its container)"]),
    "skip of many": ("pattern: dag\nsteps:\n  - {id: a, command: x}\n  - {id: b, command: x}\n  - {id: c, command: x, needs: [a, b], skip_if: previous_success}", ["w.yaml:5:5: step 'c': `skip_if: previous_success` has several steps before it (use `when` with their outcomes)"]),
    "skip word": ("steps: [{id: a, command: x}, {id: b, command: x, skip_if: done}]", ["w.yaml:1:30: step 'b': `skip_if` can't be 'done' (write previous_success, or sh: and a command)"]),
    "condition": ("steps: [{id: a, command: x}, {id: b, command: x, when: 'failed()'}]", ["w.yaml:1:30: step 'b': when: 'failed()' calls what is no function here (known: always, failure, success)"]),
    "condition's name": ("steps: [{id: a, command: x}, {id: b, command: x, when: steps.c.output == 'x'}]", ["w.yaml:1:30: when: there is no step 'c' here (known: a, b)"]),
    "shell": ("params: [{name: n}]\nsteps:\n  - {id: a, command: 'eval {{n}}'}", ["w.yaml:3:5: command: '{{n}}' can't stand in the code that 'eval' runs (its value would be evaluated as code there; pass it as an argument, or in a file)"]),
    "leading": ("params: [{name: n}]\nsteps:\n  - {id: a, command: 'rm {{n}}'}", ["w.yaml:3:5: command: '{{n}}' leads a word: a value like -rf becomes an option; write -- before it"]),
    "open": ("steps: [{id: a, prompt: 'x {{y'}]", ["w.yaml:1:9: prompt: '{{y' is not closed with '}}' (write \\{{ for a literal)"]),
    "in a loop": ("steps:\n  - id: l\n    loop: {over: '*.md', as: file}\n    steps: [{id: a, prompt: '{{fle}}'}]", ["w.yaml:4:13: prompt: 'fle' is not defined here (did you mean 'file'?)"]),
    "loop's name outside": ("steps:\n  - id: l\n    loop: {over: '*.md', as: file}\n    steps: [{id: a, command: x}]\n  - {id: b, prompt: '{{file}}'}", ["w.yaml:5:5: prompt: 'file' is not defined here (known: project_dir, run_dir, run_id, session_dir, step_id, steps, workflow_dir)"]),
    "inner step from outside": ("steps:\n  - {id: g, steps: [{id: a, command: x}]}\n  - {id: b, prompt: '{{steps.a.output}}'}", ["w.yaml:3:5: prompt: there is no step 'a' here (known: b, g)"]),
    "sub sees outer name": ("params: [{name: p}]\nsteps: [{id: s, workflow: sub}]", ["sub.yaml:1:9: command: 'p' is not defined here (known: project_dir, run_dir, run_id, session_dir, step_id, steps, workflow_dir)"]),
    "output of a sub": ("steps:\n  - {id: s, workflow: good}\n  - {id: b, prompt: '{{steps.s.reslt}}'}", ["w.yaml:3:5: prompt: step 's' has no 'reslt' (did you mean 'result'?)"]),
    "param of a call": ("steps: [{id: s, workflow: takes, params: {a: '{{zz}}'}}]", ["w.yaml:1:9: params.a: 'zz' is not defined here (known: project_dir, run_dir, run_id, session_dir, step_id, steps, workflow_dir)"]),
}  # fmt: skip

FILES = {
    "sub": "steps: [{id: x, command: 'echo {{p}}'}]",
    "good": "outputs: {result: '{{got}}'}\nsteps: [{id: x, command: x, capture: got}]",
    "takes": "params: [{name: a}]\nsteps: [{id: x, command: 'echo {{a}}'}]",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong(name: str, tmp_path: Path) -> None:
    text, wanted = WRONG[name]
    assert problems(tmp_path, text, **FILES) == wanted


RIGHT = {
    "a transitive need": "steps:\n  - {id: a, command: x}\n  - {id: b, command: x}\n  - {id: c, prompt: '{{steps.a.output}}'}",
    "an outer step": "steps:\n  - {id: a, command: x, capture: got}\n  - id: g\n    steps: [{id: b, prompt: '{{steps.a.output}} {{got}}'}]",
    "an iteration before": "steps:\n  - id: l\n    loop: {max: 3}\n    steps:\n      - {id: a, prompt: 'go {{told}}', continue_on_failure: true}\n      - {id: b, command: x, capture: told, break_if: success}",
    "a capture after its loop": "steps:\n  - id: l\n    loop: {max: 3}\n    steps: [{id: b, command: x, capture: told}]\n  - {id: c, prompt: '{{told}}'}",
    "a loop's results": 'steps:\n  - {id: l, loop: {max: 1}, steps: [{id: a, command: x}]}\n  - {id: b, prompt: "{{steps.l.results[0].a.output}}"}',
    "an expression": "steps:\n  - {id: a-b, command: x}\n  - {id: c, prompt: \"{{ steps['a-b'].output|upper }}\", when: always()}",
    "a literal": "steps: [{id: a, command: 'docker ps --format \\{{.Names}}'}]",
    "a built-in": "steps: [{id: a, prompt: '{{run_id}} {{step_id}}'}]",
    "the same capture in order": "steps:\n  - {id: a, command: x, capture: v}\n  - {id: b, command: x, capture: v}",
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right(name: str, tmp_path: Path) -> None:
    assert problems(tmp_path, RIGHT[name]) == []
