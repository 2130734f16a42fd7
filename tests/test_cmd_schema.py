"""`runner schema`: schemas that say the same as the program itself, and that editors can use."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.conftest import REPOSITORY, Runner


def valid(schema: dict[str, object], value: object) -> bool:
    jsonschema.Draft202012Validator.check_schema(schema)
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def test_the_schema_of_the_settings_takes_what_the_program_takes(runner: Runner, project: Path) -> None:
    schema = runner.ok("schema", "config").json
    assert valid(schema, {"worker": {"slots": 2, "lease": "5m"}, "defaults": {"agent": "whoever"}})
    assert valid(schema, {"types": {"run_script": {"timeout": 5}, "unheard_of": {"agent": "claude"}}})
    assert valid(schema, {"routes": [{"match": {"type": ["a", "b"]}, "agent": "mine"}], "agents": {"mine": {}}})
    for wrong in ({"wroker": {}}, {"worker": {"slots": 0}}, {"types": {"run_script": {"timeuot": 5}}}):
        assert not valid(schema, wrong), wrong
    assert runner.ok("schema", "config", "--format", "json").json == schema


def test_it_offers_the_names_of_the_project(runner: Runner, project: Path) -> None:
    (project / "handlers").mkdir()
    (project / "handlers" / "bake.py").write_text('"""Bake."""\n\ndef run(payload, context): ...\n')
    (project / "runner.yaml").write_text("agents: {cook: {program: cook}}\n")
    schema = runner.ok("schema", "config").json
    assert "bake" in schema["properties"]["types"]["properties"]
    assert "cook" in schema["$defs"]["Defaults"]["properties"]["agent"]["anyOf"][0]["enum"]
    assert "bake" in schema["$defs"]["RouteMatch"]["properties"]["type"]["anyOf"][0]["enum"]
    assert not valid(schema, {"types": {"bake": {"timeuot": 5}}})


def test_it_works_without_a_project(runner: Runner, folder: Path) -> None:
    schema = runner.ok("schema", "config").json
    assert "properties" not in schema["properties"]["types"]
    assert valid(schema, {"types": {"anything": {}}})


def test_the_schema_of_the_machines_takes_the_example(runner: Runner, folder: Path) -> None:
    schema = runner.ok("schema", "machines").json
    assert valid(schema, yaml.safe_load((REPOSITORY / "machines.yaml.example").read_text()))
    assert not valid(schema, {"machines": {"box": {"slts": 2}}})


def test_the_schema_of_the_skills_takes_those_that_ship(runner: Runner, folder: Path) -> None:
    schema = runner.ok("schema", "skills").json
    assert valid(schema, yaml.safe_load((REPOSITORY / "skills.yaml").read_text()))
    assert not valid(schema, {"skills": {"x": {"chekc": "true"}}})


def test_the_schema_of_a_workflow_takes_what_the_program_takes(runner: Runner, project: Path) -> None:
    schema = runner.ok("schema", "workflow").json
    for right in (
        {"steps": [{"id": "a", "command": "true", "timeout": "5m"}, {"name": "b", "prompt": "x", "dependsOn": ["a"]}]},
        {"params": [{"name": "n", "default": 3}], "maxConcurrency": 2, "steps": [{"id": "a", "gate": "Go on?"}]},
        {"steps": [{"id": "l", "loop": {"over": "*.md", "as": "file"}, "steps": [{"id": "a", "command": "true"}]}]},
    ):
        assert valid(schema, right), right
        (project / "one.yaml").write_text(json.dumps(right))
        runner.ok("workflow", "validate", "one.yaml")
    for wrong in ({"stepz": []}, {"steps": [{"id": "a", "comand": "true"}]}, {"pattern": "tree", "steps": []}):
        assert not valid(schema, wrong), wrong
    runner.ok("workflow", "new", "ship", "--agent", "script")
    assert valid(schema, yaml.safe_load((project / "workflows" / "ship.yaml").read_text()))


def test_the_schema_of_a_payload(runner: Runner, project: Path) -> None:
    schema = runner.ok("schema", "type", "run_script").json
    assert schema["title"] == "run_script"
    assert valid(schema, {"script": "true"})
    assert not valid(schema, {"scrpt": "true"})
    (project / "handlers").mkdir()
    (project / "handlers" / "bake.py").write_text('"""Bake."""\n\ndef run(payload, context): ...\n')
    assert valid(runner.ok("schema", "type", "bake").json, {"anything": 1})


def test_it_lists_what_there_is(runner: Runner, project: Path) -> None:
    names = [item["schema"] for item in runner.ok("schema", "--format", "json").items]
    assert {"config", "machines", "skills", "type agent_run", "type run_script"} <= set(names)
    text = runner.ok("schema").stdout
    assert all(name in text for name in names)
    for name in names:
        assert "$schema" in runner.ok("schema", *name.split()).json


def test_it_is_written_where_one_says(runner: Runner, project: Path) -> None:
    assert runner.ok("schema", "config", "--output", "s.json").stdout == "Wrote s.json\n"
    assert json.loads((project / "s.json").read_text()) == runner.ok("schema", "config").json
    written = runner.ok("schema", "machines", "--output", "s.json", "--format", "json").json
    assert written == {"path": str(project / "s.json")}
    assert [path.name for path in project.iterdir() if "s.json" in path.name] == ["s.json"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("confg",), "error: there is no schema of 'confg' (did you mean 'config'?)"),
        (("workflw",), "error: there is no schema of 'workflw' (did you mean 'workflow'?)"),
        (("type", "run_scrip"), "error: unknown type 'run_scrip' (did you mean 'run_script'?)"),
        (("type",), "error: which type?"),
        (("config", "more"), "error: 'config' takes no name"),
        (("--output", "x"), "error: --output needs to know what to write"),
        (("config", "--output", "no/such/folder"), "error: can't write no/such/folder: No such file or directory"),
    ],
)
def test_what_it_can_not_do_is_a_sentence(runner: Runner, project: Path, words: tuple[str, ...], sentence: str) -> None:
    ended = runner("schema", *words)
    assert ended.code == 2
    assert ended.stderr.splitlines()[0].startswith(sentence)
    assert runner("schema", *words, "--format", "json").error["message"]
