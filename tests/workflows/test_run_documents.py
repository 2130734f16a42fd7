"""Files as two other orchestrators have them: unchanged, they load, plan and run, with scripted agents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.workflows.flows import git

AGENTS = "agents:\n  claude: {extends: script}\n  codex: {extends: script}\n"

CHANGE = """\
name: change
description: "A change from its outline to its proof"
params:
  - name: change_name
    required: true
steps:
  - id: create
    mode: shell
    command: mkdir -p "changes/{{change_name}}"
  - id: outline
    mode: interactive
    session: new
    prompt: "/outline {{change_name}} [[write: outline.md <<first]]"
  - id: go-on
    mode: headless
    session: resume
    prompt: "[[append: outline.md <<second]]"
  - id: implement
    workflow: implement-one.yaml
    params:
      change_name: "{{change_name}}"
  - id: look
    mode: headless
    cli: codex
    model: o3
    prompt: "Look at {{change_name}} [[say: fine]]"
  - id: until-green
    loop: { max: 3 }
    steps:
      - id: test
        mode: shell
        command: test -e green
        continue_on_failure: true
        break_if: success
      - id: mend
        mode: headless
        skip_if: previous_success
        prompt: "[[write: green <<yes]]"
"""

IMPLEMENT = """\
params:
  - name: change_name
steps:
  - id: list
    mode: shell
    command: printf 'a\\nb\\n' | while read n; do touch "changes/{{change_name}}/$n.task"; done
  - id: each
    loop: { over: "changes/*/*.task", as: task_file }
    steps:
      - id: do
        mode: headless
        prompt: "Do {{task_file}} [[append: did.txt <<{{task_file}}]]"
  - id: count
    mode: shell
    command: wc -l < did.txt
    capture: count
  - id: tell
    mode: shell
    command: echo "count {{count}}" > told.txt
"""

TEAM = """\
version: '1.0'
name: team
swarm:
  pattern: dag
  maxConcurrency: 3
  timeoutMs: 600000
  channel: wf-team
agents:
  - name: lead
    cli: claude
    role: Plans and reviews
  - name: worker
    cli: codex
    preset: worker
    retries: 1
workflows:
  - name: default
    preflight:
      - command: test -d .
    steps:
      - name: context
        type: deterministic
        command: ls
        captureOutput: true
      - name: plan
        agent: lead
        task: 'Make a plan. [[say: PLAN_DONE of {{steps.context.output}}]]'
        dependsOn: [context]
        verification:
          type: output_contains
          value: PLAN_DONE
      - name: implement
        agent: worker
        task: |
          Do it:
          {{steps.plan.output}}
          [[write: built.txt <<built]]
        dependsOn: [plan]
        verification:
          type: file_exists
          value: built.txt
      - name: gate
        type: deterministic
        command: test -e fixed
        dependsOn: [implement]
        failOnError: false
        captureOutput: true
      - name: repair-gate
        agent: worker
        task: 'Mend what is red: {{steps.gate.output}} [[write: fixed <<yes]]'
        dependsOn: [gate]
        verification:
          type: exit_code
      - name: final
        type: deterministic
        command: test -e fixed
        dependsOn: [repair-gate]
errorHandling:
  strategy: retry
  maxRetries: 2
  retryDelayMs: 10
"""


@pytest.fixture
def team(project: Path) -> Path:
    (project / "runner.yaml").write_text(AGENTS)
    (project / "workflows").mkdir()
    (project / "workflows/change.yaml").write_text(CHANGE)
    (project / "workflows/implement-one.yaml").write_text(IMPLEMENT)
    (project / "workflows/team.yaml").write_text(TEAM)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "x"]):
        git(project, *words)
    return project


def test_a_file_of_the_small_language_runs(team: Path, runner: Runner) -> None:
    planned = runner.ok("workflow", "plan", "change", "--format", "json").json
    assert planned["waves"][0] == ["create"]
    ended = runner("workflow", "run", "change", "one two", "--format", "json")
    found = ended.json
    assert found["status"] == "done", found["summary"]
    assert (team / "outline.md").read_text() == "first\nsecond\n"
    assert (team / "told.txt").read_text() == "count 2\n"
    assert (team / "did.txt").read_text().split("\n")[:2] == ["changes/one two/a.task", "changes/one two/b.task"]
    states = {step["path"]: step["status"] for step in found["steps"]}
    assert (states["until-green[1]/test"], states["until-green[2]/test"]) == ("failed", "done")
    assert states["until-green[1]/mend"] == "done"


def test_a_file_of_a_team_runs(team: Path, runner: Runner) -> None:
    planned = runner.ok("workflow", "plan", "team", "--format", "json").json
    paths = [step["path"] for step in planned["steps"]]
    assert paths[-3:] == ["gate", "repair-gate", "final"]
    ended = runner("workflow", "run", "team", "--format", "json")
    found = ended.json
    assert found["status"] == "done", (found["summary"], ended.stderr)
    states = {step["path"]: step["status"] for step in found["steps"]}
    assert (states["gate"], states["final"]) == ("failed", "done")
    assert "`channel` has no effect here" in ended.stderr
