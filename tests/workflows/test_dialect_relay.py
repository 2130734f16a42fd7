"""Workflow files of Agent Relay load unmodified; what can't be honoured is told, and what would lie is refused."""
# ruff: noqa: E501 - tables of files and what is said of them

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.workflows.check import check
from runner.workflows.load import Source, load, read
from runner_plugins.dialect_relay import converted, load_workflow

PLAIN = """
version: '1.0'
name: my-workflow
swarm:
  pattern: dag
  channel: wf-my-workflow
agents:
  - name: lead
    cli: claude
    role: Architect
  - name: worker
    cli: codex
    role: Implementer
workflows:
  - name: default
    steps:
      - name: plan
        agent: lead
        task: 'Produce a detailed implementation plan.'
      - name: implement
        agent: worker
        task: 'Implement: {{steps.plan.output}}'
        dependsOn: [plan]
        verification:
          type: exit_code
"""

WHOLE = """
version: "1.0"
name: whole
swarm: {pattern: dag, maxConcurrency: 3, timeoutMs: 3600000, tokenBudget: 200000, idleNudge: {maxNudges: 1}}
agents:
  - {name: dev, cli: codex, preset: worker, constraints: {model: big, timeoutMs: 60000, retries: 1}, permissions: {access: readonly, network: false}}
vars: {target: src}
workflows:
  - name: other
    steps: [{name: x, type: deterministic, command: echo}]
  - name: default
    preflight: [{command: git status --porcelain, failIf: non-empty}]
    steps:
      - {name: read, type: deterministic, command: 'cat {{target}}/types.ts', captureOutput: true}
      - name: edit
        agent: dev
        dependsOn: [read]
        task: "Edit. Contents: {{steps.read.output}} {{who}} ${{ x }} {{.Names}}"
        retries: 2
        timeoutMs: 1500
        verification: {type: custom, value: npm test, timeoutMs: 5000}
      - {name: gate, dependsOn: [edit], command: 'docker ps --format "{{.Names}}"', failOnError: false}
      - {name: tree, type: worktree, dependsOn: [gate], branch: fix/x, baseBranch: main}
errorHandling: {strategy: retry, maxRetries: 3, retryDelayMs: 5000, repairAgent: dev}
"""


def reader(path: Path) -> Source:
    return load_workflow(path=path, text=path.read_text()) or read(path)


def source_of(text: str, **more: str):  # type: ignore[no-untyped-def]
    return converted(text, Path("relay.yaml"), "relay.yaml", **more)


def test_the_smallest_file(tmp_path: Path) -> None:
    (tmp_path / "relay.yaml").write_text(PLAIN)
    loaded = load(tmp_path / "relay.yaml", reader=reader)
    plan, implement = loaded.root.children
    assert (plan.id, plan.kind, plan.needs, implement.needs) == ("plan", "agent", (), ("plan",))
    assert {key: implement.definition[key] for key in ("cli", "role", "prompt", "expects", "verify")} == {
        "cli": "codex",
        "role": "Implementer",
        "prompt": "Implement: {{steps.plan.output}}",
        "expects": "answer",
        "verify": ({"exit_code": 0},),
    }
    assert check(loaded.root, loaded.params, literal_expressions=True) == []
    assert [note.partition(": ")[2] for note in loaded.source.notes] == ["`channel` has no effect here"]


def test_everything_that_means_something_here() -> None:
    source = source_of(WHOLE)
    flow = source.workflow
    assert (flow.max_concurrency, flow.timeout, flow.budget and flow.budget.tokens) == (3, 3600, 200000)
    assert (flow.on_error.strategy, flow.on_error.retry and (flow.on_error.retry.max, flow.on_error.retry.delay)) == (
        "fail-fast",
        (3, 5),
    )
    assert flow.repairable.agent == "dev"  # type: ignore[union-attr]
    dev = flow.agents["dev"]
    assert (dev.cli, dev.model, dev.timeout, dev.retries, dev.permission, dev.interactive) == (
        "codex",
        "big",
        60,
        1,
        "read-only",
        False,
    )
    assert [param.model_dump(include={"name", "default"}) for param in flow.params] == [
        {"name": "target", "default": "src"},
        {"name": "who", "default": None},
    ]
    steps = {step.id: step for step in flow.steps}
    assert list(steps) == ["preflight", "read", "edit", "gate", "tree"]
    assert steps["read"].needs == ("preflight",)
    assert steps["preflight"].preflight[0].fail_if == "non-empty"  # type: ignore[index]
    assert (steps["edit"].retries, steps["edit"].timeout) == (2, 1.5)
    assert steps["edit"].verify == ({"command": {"run": "npm test", "timeout": 5.0}},)
    assert steps["gate"].continue_on_failure
    assert (steps["tree"].worktree.branch, steps["tree"].worktree.base) == ("fix/x", "main")  # type: ignore[union-attr]
    assert source.place("steps", 2) == "relay.yaml:15:9"
    assert source.notes == (
        "relay.yaml:6:134: `network` of permissions has no effect here",
        "relay.yaml:4:83: `idleNudge` has no effect here",
    )


def test_one_of_several_workflows_is_chosen_by_name() -> None:
    assert [step.id for step in source_of(WHOLE, which="other").workflow.steps] == ["x"]
    with pytest.raises(ConfigError, match="there is no workflow 'othr'"):
        source_of(WHOLE, which="othr")


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("type: exit_code", "type: exitcode", "relay.yaml:25:11: there is no verification 'exitcode'", "did you mean 'exit_code'?"),
        ("agent: worker", "agent: wroker", "relay.yaml:21:9: there is no agent 'wroker'", "did you mean 'worker'?"),
        ("pattern: dag", "patern: dag", "relay.yaml:5:3: unknown key 'patern'", "did you mean 'pattern'?"),
        ("pattern: dag", "pattern: dagg", "pattern: there is no pattern 'dagg' (did you mean 'dag'?)", None),
        ("channel: wf-my-workflow", "timeoutMs: 1_200_000", "relay.yaml:6:3: '1_200_000' is not a number of milliseconds", "write 1200000"),
        ("dependsOn: [plan]", "dependsOn: [plna]", "step 'implement' needs 'plna', which is no step beside it", "did you mean 'plan'?"),
        ("agent: lead\n", "type: determinstic\n", "type can't be 'determinstic'", "did you mean 'deterministic'?"),
        ("version: '1.0'", "errorHandling: {strategy: fail}", "relay.yaml:2:17: strategy can't be 'fail'", "did you mean 'fail-fast'?"),
    ],
)  # fmt: skip
def test_what_is_wrong(
    old: str, new: str, message: str, hint: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relay.yaml").write_text(PLAIN.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(Path("relay.yaml"), reader=reader)
    assert message in caught.value.message
    assert hint is None or hint in caught.value.hint


def test_other_files_are_left_to_others() -> None:
    assert load_workflow(path=Path("w.yaml"), text="steps: [{id: a, command: 'echo swarm: x'}]") is None


MORE = [
    ("there are two agents", "name: worker", "name: lead", "relay.yaml:11:5: there are two agents 'lead'", ""),
    ("a list of needs", "dependsOn: [plan]", "dependsOn: plan", "relay.yaml:23:9: must be a list, not 'plan'", ""),
    ("an unquoted colon", "role: Architect", "role: a: b", "relay.yaml:10:12: not valid YAML", "quote the value"),
    ("no name", "name: plan", "description: plan", "relay.yaml:17:9: a step needs a `name`", ""),
    ("another key of a check", "type: exit_code", "kind: exit_code", "relay.yaml:25:11: unknown key 'kind'", ""),
    ("another permission", "cli: codex", "permissions: readnly", "relay.yaml:12:5: permissions can't be 'readnly'", "readonly"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message", "hint"), [row[1:] for row in MORE], ids=[row[0] for row in MORE])
def test_more_that_is_wrong(old: str, new: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        source_of(PLAIN.replace(old, new))
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_step_that_can_not_be_run_here_loads_is_told_and_fails_in_its_turn() -> None:
    source = source_of(
        PLAIN.replace("agent: lead\n", "type: integration\n        integration: github\n        action: createPR\n")
    )
    command = source.workflow.steps[0].command or ""
    assert any(
        note == "relay.yaml:18:9: a step of type integration (github createPR) can't be run here: "
        "step 'plan' fails when it is reached"
        for note in source.notes
    )
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (ran.returncode, "github createPR" in ran.stderr) == (1, True)
