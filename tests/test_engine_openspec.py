"""The engine openspec, with a small program of that name on PATH that speaks its JSON."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import UsageError
from runner.hookcheck import check_hooks, implementations
from runner.model import Check, Step, Verdict
from runner.testing.context import StepContext
from runner.workflows.load import load
from runner_plugins import engine_openspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROGRAM = f"""#!{sys.executable}
import glob, json, os, sys
SCHEMA = {{"proposal": ("proposal.md", []), "specs": ("specs/**/*.md", ["proposal"]), "tasks": ("tasks.md", ["specs"])}}
words = sys.argv[1:]
change = words[words.index("--change") + 1]
folder = os.path.join(os.getcwd(), "openspec", "changes", change)
if not os.path.isdir(folder):
    sys.exit(f"Error: Change '{{change}}' not found")
def done(id):
    return bool(glob.glob(os.path.join(folder, SCHEMA[id][0]), recursive=True))
if words[0] == "status":
    artifacts = []
    for id, (path, needs) in SCHEMA.items():
        missing = [need for need in needs if not done(need)]
        one = {{"id": id, "outputPath": path, "status": "done" if done(id) else "blocked" if missing else "ready"}}
        artifacts.append({{**one, "missingDeps": missing}} if one["status"] == "blocked" else one)
    print(json.dumps({{"changeName": change, "schemaName": "spec-driven", "artifacts": artifacts}}))
else:
    path, needs = SCHEMA[words[1]]
    print("- Loading", file=sys.stderr)
    print(json.dumps({{
        "changeName": change, "artifactId": words[1], "changeDir": folder, "outputPath": path,
        "description": "x", "instruction": "Say why.\\n", "template": "## Why\\n", "rules": ["Be brief"],
        "dependencies": [{{"id": n, "done": done(n), "path": SCHEMA[n][0], "description": "the " + n}} for n in needs],
        "unlocks": [],
    }}))
"""


class InWorkflow(StepContext):
    workflow: Mapping[str, Any] | None = None


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "openspec").write_text(PROGRAM)
    (folder / "openspec").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture
def context(tmp_path: Path, bin: Path) -> Iterator[InWorkflow]:
    (tmp_path / "w/openspec/changes/add-x").mkdir(parents=True)
    with InWorkflow(tmp_path / "w", tmp_path / "attempt") as made:
        made.workflow = {"name": "w", "engine": {"type": "openspec", "change_param": "c"}, "params": {"c": "add-x"}}
        yield made


def change(context: InWorkflow) -> Path:
    return context.workspace / "openspec/changes/add-x"


def enriched(id: str, context: InWorkflow) -> str | None:
    return engine_openspec.enrich_prompt(step=Step(id, "agent_run", {"prompt": "Write it."}), context=context)


def verified(id: str, context: InWorkflow, value: str | None = None) -> Verdict:
    check = Check("openspec", value)
    return engine_openspec.verify(check=check, step=Step(id, "agent_run", {}, checks=(check,)), context=context)


# Prompts


def test_a_step_named_after_an_artifact_is_told_what_to_write(context: InWorkflow) -> None:
    assert enriched("plan/proposal", context) == (
        "This step writes the artifact 'proposal' of the OpenSpec change 'add-x'.\n\n"
        f"Write it to: {change(context)}/proposal.md\n\n"
        "Keep to:\n\n- Be brief\n\n"
        "Say why.\n\n"
        "Follow this template:\n\n<template>\n## Why\n</template>"
    )


def test_it_is_told_what_to_read_before_and_what_of_that_is_missing(context: InWorkflow) -> None:
    said = enriched("specs", context)
    assert said is not None
    assert f"Read before:\n- {change(context)}/proposal.md: the proposal (not there yet)\n\n" in said
    (change(context) / "proposal.md").write_text("x")
    said = enriched("specs", context)
    assert said is not None
    assert f"Read before:\n- {change(context)}/proposal.md: the proposal\n\n" in said


def test_other_steps_and_other_workflows_keep_their_prompts(context: InWorkflow) -> None:
    assert enriched("implement", context) is None
    for workflow in (None, {"name": "w", "engine": None, "params": {}}, {"name": "w", "engine": {"type": "x"}}):
        context.workflow = workflow
        assert enriched("proposal", context) is None


def test_a_change_that_does_not_exist_yet_leaves_the_prompt_alone_and_is_logged(context: InWorkflow) -> None:
    change(context).rmdir()
    assert enriched("proposal", context) is None
    assert context.lines == [
        "openspec status: Error: Change 'add-x' not found; the prompt stays as it is",
    ]


def test_without_the_program_the_step_says_what_to_install(
    context: InWorkflow, bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.env = {**context.env, "PATH": "/nowhere"}
    with pytest.raises(UsageError, match="needs the program 'openspec' on PATH"):
        enriched("proposal", context)


@pytest.mark.parametrize("name", ["../x", "a/b", "-rf", ".."])
def test_a_change_is_a_name_and_not_a_path(context: InWorkflow, name: str) -> None:
    context.workflow = {"name": "w", "engine": {"type": "openspec"}, "params": {"change_name": name}}
    with pytest.raises(UsageError, match="is no name of an OpenSpec change"):
        enriched("proposal", context)


def test_an_answer_that_is_no_json_is_an_error_that_says_so(context: InWorkflow, bin: Path) -> None:
    (bin / "openspec").write_text("#!/bin/sh\necho usage\n")
    with pytest.raises(UsageError, match="did not answer with JSON"):
        enriched("proposal", context)


# Checks


def test_an_artifact_is_done_when_its_file_is_there(context: InWorkflow) -> None:
    (change(context) / "proposal.md").write_text("## Why")
    assert verified("proposal", context) == Verdict(
        True,
        "the artifact 'proposal' is done",
        {
            "change": "add-x",
            "artifact": "proposal",
            "status": "done",
            "expected": "proposal.md",
            "files": ["openspec/changes/add-x/proposal.md"],
        },
    )


def test_a_glob_is_done_when_one_file_matches(context: InWorkflow) -> None:
    (change(context) / "specs/auth").mkdir(parents=True)
    (change(context) / "specs/auth/spec.md").write_text("x")
    assert verified("specs", context).ok


def test_a_missing_artifact_is_red_with_what_it_waits_for(context: InWorkflow) -> None:
    assert verified("proposal", context).summary == "the artifact 'proposal' (proposal.md) is not done: it is ready"
    assert verified("tasks", context).summary == (
        "the artifact 'tasks' (tasks.md) is not done: it is blocked, for want of specs"
    )
    assert not verified("tasks", context).ok


def test_an_empty_file_is_no_artifact(context: InWorkflow) -> None:
    (change(context) / "proposal.md").touch()
    assert verified("proposal", context).summary == "the artifact 'proposal' (proposal.md) is empty"


def test_a_step_that_is_no_artifact_is_well_and_a_named_one_must_be_there(context: InWorkflow) -> None:
    assert verified("implement", context).ok
    assert verified("implement", context, "propsal").summary == (
        "the change 'add-x' has no artifact 'propsal' (did you mean 'proposal'?)"
    )
    assert not verified("implement", context, "proposal").ok


def test_a_change_that_is_gone_is_an_error_with_the_programs_words(context: InWorkflow) -> None:
    change(context).rmdir()
    with pytest.raises(UsageError, match="openspec status: Error: Change 'add-x' not found"):
        verified("proposal", context)


def test_the_program_of_the_workspace_is_not_asked(context: InWorkflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(context.workspace)
    fake = context.workspace / "openspec-fake"
    fake.mkdir()
    (fake / "openspec").write_text('#!/bin/sh\necho \'{"artifacts": [{"id": "proposal", "status": "done"}]}\'\n')
    (fake / "openspec").chmod(0o755)
    context.env = {**context.env, "PATH": f"openspec-fake{os.pathsep}{context.env['PATH']}"}
    assert not verified("proposal", context).ok


def test_the_check_without_the_engine_says_what_is_missing(context: InWorkflow) -> None:
    context.workflow = None
    assert "the workflow has no `engine: {type: openspec}`" in verified("proposal", context).summary


def test_what_the_check_takes() -> None:
    assert [engine_openspec.parse(value) for value in (None, "", True, "design")] == [None, None, None, "design"]
    with pytest.raises(ValueError, match="the id of an artifact"):
        engine_openspec.parse(["a"])


# Workflows


def problems(text: str) -> list[str]:
    Path("w.yaml").write_text(text)
    return list(engine_openspec.validate_workflow(workflow=load(Path("w.yaml"))))


STEPS = "steps:\n  - {id: proposal, prompt: x}\n  - {id: g, steps: [{id: specs, prompt: x}]}\n"


def test_what_is_wrong_with_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = "params: [{name: change}]\n"
    assert problems(params + "engine: {type: openspec, change_param: change}\n" + STEPS) == []
    assert problems(params + "engine: {type: other, x: 1}\n" + STEPS) == []
    assert problems(STEPS) == []
    assert problems(params + "engine: {type: openspec, change_param: chnge}\n" + STEPS) == [
        "w.yaml:2:26: the engine openspec takes the change from 'chnge', which is no parameter (did you mean 'change'?)"
    ]
    assert problems("engine: {type: openspec}\n" + STEPS) == [
        "w.yaml:1:1: the engine openspec takes the change from 'change_name', which is no parameter"
        " (write: params: [{name: change_name}])"
    ]
    assert problems(params + "engine: {type: openspec, change_parm: x, change_param: change}\n" + STEPS) == [
        "w.yaml:2:26: the engine openspec has no setting 'change_parm' (did you mean 'change_param'?)"
    ]


def test_each_artifact_of_a_known_change_has_a_step(tmp_path: Path, bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "params: [{name: c, default: add-x}]\nengine: {type: openspec, change_param: c}\n" + STEPS
    assert problems(text) == []  # the change is not there yet
    Path("openspec/changes/add-x").mkdir(parents=True)
    assert problems(text) == ["w.yaml:2:1: no step makes the artifact 'tasks' of the change 'add-x' (give one that id)"]
    assert problems(text + "  - {id: tasks, command: touch x}\n") == []


def test_its_hooks_are_those_there_are() -> None:
    check_hooks(engine_openspec, "engine_openspec")
    assert {impl.hook for impl in implementations(engine_openspec)} == {
        "validate_workflow",
        "enrich_prompt",
        "register_checks",
        "verify",
    }
