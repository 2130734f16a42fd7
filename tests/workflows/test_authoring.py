"""What authors do again and again is told with its code and its line; what is nearly the same and right is not."""
# ruff: noqa: E501 - files as their authors write them

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runner.workflows.authoring import CHECKS, advice, explain
from runner.workflows.load import Source, load, read
from runner_plugins.dialect_relay import converted


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def reader(path: Path) -> Source:
    text = path.read_text()
    return converted(text, path, path.name) if "\nswarm:" in text else read(path)


def told(text: str, **files: str) -> list[tuple[str, str]]:
    """The code and the place of everything that is said of a workflow."""
    for name, content in {"w": text, **files}.items():
        Path(f"{name}.yaml").write_text(content)
    loaded = load(Path("w.yaml"), [Path()], reader=reader)
    return [(one.code, one.place) for one in advice(loaded)]


TEAM = """\
pattern: dag
agents: {lead: {cli: claude, interactive: true}, impl-a: {cli: codex, interactive: true}}
steps:
  - {id: context, command: git ls-files}
  - {id: coordinate, agent: lead, needs: [context], prompt: "Post the plan to #team. Wait for impl-a to reply."}
  - {id: work-a, agent: impl-a, needs: [context], prompt: "Wait for the lead's plan in #team. Implement it."}
"""
RELAY = """\
version: '1.0'
name: w
swarm: {pattern: dag}
agents: [{name: lead, cli: claude}, {name: dev, cli: codex, preset: worker}]
workflows:
  - name: default
    steps:
"""
REPAIRED = """\
pattern: dag
steps:
  - {id: build, prompt: Implement it.}
  - {id: gate, needs: [build], command: npm test, continue_on_failure: true}
  - {id: mend, needs: [gate], prompt: 'If it failed, repair it: {{steps.gate.output}}'}
  - {id: final, needs: [mend], command: npm test}
"""
LONG = "\n".join(f"      line {number}" for number in range(51))
FILES = "src/a.py, src/b.py, src/c.py and src/d.py"
CROWD = "\n".join(f"  - {{id: a{number}, prompt: Do part {number}.}}" for number in range(9))
FIVE = "\n".join(f"  - {{id: s{n}, command: cat {n}}}" for n in range(5))
OUTPUTS = " ".join(f"{{{{steps.s{n}.output}}}}" for n in range(5))

SAID = {
    "deadlock-wait": (
        TEAM.replace("work-a, agent: impl-a, needs: [context], prompt: \"Wait for the lead's plan in #team.", "work-a, agent: impl-a, needs: [coordinate], prompt: \"In #team,"),
        ["w.yaml:5:5"],
    ),
    "deadlock-wait ": (RELAY + "    - {name: plan, agent: lead, task: 'Plan. Do not finish until `review` is done.'}\n    - {name: review, agent: dev, dependsOn: [plan], timeoutMs: 60000, task: Review it.}", ["w.yaml:8:7"]),
    "wait-for-ended": (
        TEAM.replace("work-a, agent: impl-a, needs: [context]", "work-a, agent: impl-a, needs: [coordinate]").replace(" Wait for impl-a to reply.", ""),
        ["w.yaml:6:5"],
    ),
    "one-shot-waits": ("steps:\n  - {id: a, command: x}\n  - {id: b, prompt: 'Post to #team and wait for a reply.'}", ["w.yaml:3:5"]),
    "silent-team": (TEAM.replace("Wait for the lead's plan in #team. Implement it.", "Implement src."), ["w.yaml:6:5"]),
    "chained-interactive": (RELAY + "    - {name: plan, agent: lead, task: Plan it.}\n    - {name: do, agent: dev, dependsOn: [plan], task: 'Do: {{steps.plan.output}}'}", ["w.yaml:9:7"]),
    "chained-interactive ": ("steps:\n  - {id: talk, mode: interactive, prompt: Talk., capture: said}\n  - {id: b, prompt: 'Do {{said}}'}", ["w.yaml:3:5"]),
    "one-agent-supervisor": ("name: w\npattern: supervisor\nagents: {one: {cli: claude, interactive: true}}\nsteps:\n  - {id: a, agent: one, prompt: Do it.}", ["w.yaml:2:1"]),
    "hub-without-live": ("pattern: fan-out\nagents: {one: {cli: claude}, two: {cli: codex}}\nsteps:\n  - {id: a, agent: one, prompt: x}\n  - {id: b, agent: two, prompt: y}", ["w.yaml:1:1"]),
    "wide-concurrency": (f"pattern: dag\nmax_concurrency: 16\nsteps:\n{CROWD}", ["w.yaml:2:1"]),
    "team-over-concurrency": (TEAM.replace("steps:", "max_concurrency: 1\nsteps:"), ["w.yaml:3:1"]),
    "serial-only": ("pattern: dag\nsteps:\n  - {id: a, prompt: Do a.}\n  - {id: b, needs: [a], prompt: Do b.}\n  - {id: c, needs: [b], prompt: Do c.}\n  - {id: d, needs: [c], prompt: Do d.}", ["w.yaml:1:1"]),
    "parallel-same-file": ("pattern: dag\nsteps:\n  - {id: a, prompt: Write src/out.py.}\n  - {id: b, prompt: Create src/out.py with care.}", ["w.yaml:4:5"]),
    "fan-in": (f"steps:\n{FIVE}\n  - {{id: b, prompt: 'Gather {OUTPUTS}'}}", ["w.yaml:7:5"]),
    "hard-stop-gate": ("steps:\n  - {id: a, prompt: Implement it.}\n  - {id: gate, command: cd app && npm run lint}", ["w.yaml:3:5"]),
    "hard-stop-gate ": (RELAY + "    - {name: a, agent: dev, task: Implement it.}\n    - {name: gate, type: deterministic, dependsOn: [a], command: 'test -f src/a.py || exit 1'}", ["w.yaml:9:7"]),
    "hard-stop-gate  ": ("steps:\n  - id: l\n    loop: {max: 3}\n    steps:\n      - {id: a, prompt: Implement it.}\n      - {id: gate, command: npm test, break_if: success}", ["w.yaml:6:9"]),
    "unread-gate": (REPAIRED.replace("failed, repair it: {{steps.gate.output}}", "failed, repair it.").replace("steps:", "repairable: true\nsteps:"), ["w.yaml:5:5"]),
    "repair-without-proof": (REPAIRED.replace("  - {id: final, needs: [mend], command: npm test}\n", ""), ["w.yaml:5:5"]),
    "gate-cannot-fail": ("steps:\n  - {id: a, command: npm test 2>&1 | tail -20}", ["w.yaml:2:5"]),
    "gate-cannot-fail ": ("steps:\n  - id: a\n    prompt: Do it.\n    verify: [{command: {run: pytest -q || true}}]", ["w.yaml:2:5"]),
    "ship-without-gate": ("steps:\n  - {id: a, prompt: Implement it.}\n  - {id: commit, command: git add src && git commit -m x}\n  - {id: push, command: git push}", ["w.yaml:3:5"]),
    "git-diff-gate": ("repairable: true\nsteps:\n  - {id: a, prompt: Add a new package for providers.}\n  - {id: gate, command: 'if git diff --quiet -- packages; then exit 1; fi'}", ["w.yaml:4:5"]),
    "sentinel-only": (RELAY + "    - name: a\n      agent: dev\n      task: Implement it and say DONE.\n      verification: {type: output_contains, value: DONE}", ["w.yaml:8:7"]),
    "file-without-check": (RELAY + "    - {name: a, agent: dev, task: Write the report to docs/report.md.}", ["w.yaml:8:7"]),
    "exit-instructions": ("steps:\n  - {id: a, prompt: 'Do it. When you are done, type /exit.'}", ["w.yaml:2:5"]),
    "long-prompt": (f"steps:\n  - id: a\n    prompt: |\n{LONG}", ["w.yaml:2:5"]),
    "many-files": (f"steps:\n  - {{id: a, prompt: 'Rewrite {FILES}.'}}", ["w.yaml:2:5"]),
    "agent-commits": ("steps:\n  - {id: a, prompt: 'Fix the bug. Commit your changes, then push.'}", ["w.yaml:2:5"]),
    "self-review-timeout": ("steps:\n  - {id: self-review, cli: codex, prompt: Look at the changes.}", ["w.yaml:2:5"]),
    "short-timeout": ("timeout: 10m\nsteps:\n  - {id: a, prompt: x}\n  - {id: b, prompt: x}\n  - {id: c, prompt: x}", ["w.yaml:1:1"]),
    "grep-alternation": (r"""steps:
  - {id: a, command: 'grep -c "foo\|bar" file.ts'}""", ["w.yaml:2:5"]),
    "add-everything": ("steps:\n  - {id: a, command: git add -A && git commit -m x}", ["w.yaml:2:5"]),
    "open-heredoc": ("steps:\n  - {id: a, command: 'set -e && cat > /tmp/f <<EOF && line 1 && EOF && next'}", ["w.yaml:2:5"]),
    "bash-in-sh": ("steps:\n  - {id: a, command: 'if [[ -n $A ]]; then echo x; fi'}", ["w.yaml:2:5"]),
    "bash-in-sh ": ("steps:\n  - {id: a, command: 'set -euo pipefail; make all | cat'}", ["w.yaml:2:5"]),
    "fatal-notification": ("steps:\n  - {id: a, command: 'curl -d x https://hooks.slack.com/services/T'}", ["w.yaml:2:5"]),
    "many-pull-requests": ("steps:\n  - {id: a, command: gh pr create --fill}\n  - {id: b, command: cd other && gh pr create --fill}", ["w.yaml:3:5"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_mistake_is_told_with_its_code_and_place(name: str) -> None:
    text, places = SAID[name]
    assert told(text) == [(name.strip(), place) for place in places]


RIGHT = {
    "deadlock-wait": [TEAM, TEAM + "  - {id: last, agent: impl-a, needs: [coordinate], prompt: 'Summarise in #team.'}", TEAM.replace("needs: [context], prompt: \"Wait for the lead's plan in #team.", "needs: [coordinate], prompt: \"In #team,").replace("Wait for impl-a to reply", "Do not wait for impl-a")],
    "deadlock-wait ": ["steps:\n  - {id: a, prompt: Stop the old server and wait until the tests pass.}\n  - {id: tests, prompt: Look at it.}"],
    "wait-for-ended": [TEAM + "  - {id: last, agent: impl-a, needs: [coordinate], prompt: 'Do not wait for the lead; post in #team.'}"],
    "one-shot-waits": ["steps:\n  - {id: b, prompt: 'Wait for the server to answer, then measure it. Do not wait for messages.'}"],
    "silent-team": [TEAM.replace("agent: impl-a, needs: [context], prompt: \"Wait for the lead's plan in #team. Implement it.", "agent: impl-a, needs: [coordinate], prompt: \"Implement src.").replace(" Wait for impl-a to reply.", "")],
    "chained-interactive": [RELAY + "    - {name: plan, agent: dev, task: Plan it.}\n    - {name: do, agent: dev, dependsOn: [plan], task: 'Do: {{steps.plan.output}}'}"],
    "one-agent-supervisor": [TEAM.replace("pattern: dag", "pattern: supervisor"), "steps: [{id: a, prompt: Do it.}]"],
    "wide-concurrency": [f"max_concurrency: 16\nsteps:\n{CROWD}", f"pattern: dag\nmax_concurrency: 6\nsteps:\n{CROWD}"],
    "serial-only": ["steps:\n  - {id: a, prompt: a}\n  - {id: b, prompt: b}\n  - {id: c, prompt: c}\n  - {id: d, prompt: d}", "pattern: dag\nsteps:\n  - {id: a, prompt: a}\n  - {id: b, needs: [a], prompt: 'b {{steps.a.output}}'}\n  - {id: c, needs: [b], prompt: c}\n  - {id: d, needs: [c], prompt: d}"],
    "parallel-same-file": ["steps:\n  - {id: a, prompt: Write src/out.py.}\n  - {id: b, prompt: Create src/out.py with care.}", "pattern: dag\nsteps:\n  - {id: a, prompt: Write tests for src/out.py.}\n  - {id: b, prompt: Create src/out.py with care.}"],
    "fan-in": [f"steps:\n{FIVE}\n  - {{id: b, prompt: 'Gather {OUTPUTS[:-22]}'}}"],
    "hard-stop-gate": [
        REPAIRED,
        "repairable: {agent: claude}\nsteps:\n  - {id: a, prompt: Implement it.}\n  - {id: gate, command: npm test}",
        "steps:\n  - {id: gate, command: npm test}\n  - {id: a, prompt: Implement it.}",
        "steps:\n  - {id: a, prompt: Implement it.}\n  - {id: gate, command: npm test}\n  - {id: b, when: failure(), prompt: Repair it.}",
        "steps:\n  - id: l\n    loop: {max: 3}\n    steps:\n      - {id: a, prompt: Implement it.}\n      - {id: gate, command: npm test, continue_on_failure: true, break_if: success}",
        "steps:\n  - id: l\n    loop: {max: 3}\n    steps:\n      - {id: a, prompt: Spoil it.}\n      - {id: gate, command: npm test, break_if: failure}",
        "steps:\n  - {id: a, prompt: Implement it.}\n  - {id: b, command: mkdir -p build/test}",
    ],
    "unread-gate": ["steps:\n  - {id: gate, command: npm test, continue_on_failure: true}\n  - {id: b, command: x, skip_if: previous_success}", "steps:\n  - {id: clean, command: rm -rf out, continue_on_failure: true}"],
    "repair-without-proof": [REPAIRED.replace("  - {id: final, needs: [mend], command: npm test}\n", "").replace("output}}'}", "output}}', verify: [{command: npm test}]}")],
    "gate-cannot-fail": ["steps:\n  - {id: a, command: npm test 2>&1 | grep -q passed}", "steps:\n  - {id: a, shell: bash, command: set -o pipefail; npm test | tail -20}", "steps:\n  - {id: a, command: npm test | tail -20}\n  - {id: b, prompt: 'Explain {{steps.a.output}}'}", "steps:\n  - {id: a, command: npm ci 2>&1 | tail -10}"],
    "ship-without-gate": [
        "steps:\n  - {id: a, prompt: Implement it., verify: [{command: npm test}]}\n  - {id: commit, command: git commit -m x}",
        "steps:\n  - {id: a, prompt: Implement it.}\n  - {id: commit, command: npm test && git commit -m x}",
        "steps:\n  - {id: a, prompt: Implement it.}\n  - {id: ok, gate: 'Ship it?'}\n  - {id: commit, command: git commit -m x}",
        "steps:\n  - {id: a, preset: reviewer, prompt: Judge it., timeout: 1m}\n  - {id: commit, command: git push}",
    ],
    "git-diff-gate": ["repairable: true\nsteps:\n  - {id: a, prompt: Add 'pending' to the Status union type.}\n  - {id: gate, command: 'if git diff --quiet src/types.ts; then exit 1; fi'}", "repairable: true\nsteps:\n  - {id: a, prompt: Add a new package.}\n  - {id: gate, command: 'git diff --cached --quiet'}"],
    "sentinel-only": [RELAY + "    - {name: a, agent: dev, task: Name the risks., verification: {type: output_contains, value: RISKS}}", "steps: [{id: a, prompt: Implement it., verify: [{output_contains: DONE}]}]"],
    "file-without-check": [
        RELAY + "    - {name: a, agent: dev, task: Write docs/report.md., verification: {type: file_exists, value: docs/report.md}}",
        RELAY + "    - {name: a, agent: dev, task: Write docs/report.md.}\n    - {name: b, type: deterministic, dependsOn: [a], command: cat docs/report.md}",
        RELAY + "    - {name: a, agent: dev, task: 'Write a summary of docs/report.md; see https://example.com/a/b.html.'}",
    ],
    "exit-instructions": ["steps:\n  - {id: a, prompt: 'Add an /exit command to the shell in src/exit/quit.py. Never close the session.'}", "steps:\n  - {id: a, mode: interactive, prompt: Type /exit when done.}"],
    "long-prompt": [f"steps:\n  - id: a\n    prompt: |\n{LONG.replace('      line 50', '')}"],
    "many-files": [f"steps:\n  - {{id: a, prompt: 'Look at {FILES}.'}}", f"steps:\n  - {{id: a, prompt: 'Rewrite {FILES}.', verify: [{{command: make check}}]}}"],
    "agent-commits": ["steps:\n  - {id: a, prompt: 'Fix the bug. Do not commit your changes.'}", "steps:\n  - {id: a, prompt: 'Fix it and git commit it.'}\n  - {id: b, command: git log -1}", "steps:\n  - {id: a, prompt: Commit your changes.}\n  - {id: b, command: 'test -z \"$(git status --porcelain)\"'}"],
    "self-review-timeout": ["timeout: 1h\nsteps:\n  - {id: self-review, prompt: Look at the changes.}", "steps:\n  - {id: preview, prompt: Make a picture.}"],
    "short-timeout": ["timeout: 10m\nsteps:\n  - {id: a, prompt: x}\n  - {id: b, command: x}", "timeout: 1h\nsteps:\n  - {id: a, prompt: x}\n  - {id: b, prompt: x}\n  - {id: c, prompt: x}"],
    "grep-alternation": ["steps:\n  - {id: a, command: 'grep -nE \"a\\\\|b\" file.md'}", "steps:\n  - {id: a, command: 'grep -Eq \"foo|bar\" file.ts; grep foo x | sed \"s/a\\\\|b//\"'}"],
    "add-everything": ["steps:\n  - {id: a, command: git add src/.hidden ./docs && git commit -m '-A'}"],
    "open-heredoc": ["steps:\n  - id: a\n    command: |\n      cat > f <<EOF\n      line\n      EOF\n      echo $((1<<3)) done"],
    "bash-in-sh": ["steps:\n  - {id: a, shell: bash, command: '[[ -n $A ]] && diff <(ls) <(ls)'}", "steps:\n  - {id: a, command: \"grep '[[:space:]]' f && awk '{ if ($1 <($2)) print }' f\"}"],
    "fatal-notification": ["steps:\n  - {id: a, continue_on_failure: true, command: 'curl https://hooks.slack.com/x'}"],
    "many-pull-requests": ["steps:\n  - {id: a, when: success(), command: gh pr create}\n  - {id: b, command: gh pr create --draft}"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "number"), [(name, n) for name, texts in RIGHT.items() for n in range(len(texts))])
def test_what_is_nearly_the_same_is_not_told(name: str, number: int) -> None:
    assert name.strip() not in {code for code, _ in told(RIGHT[name][number])}


def test_every_code_has_a_file_that_shows_it() -> None:
    assert {name.strip() for name in SAID} == set(CHECKS)


def test_every_code_is_explained_in_a_sentence_and_says_what_to_do() -> None:
    for code, line in CHECKS.items():
        assert line[0].isupper(), code
        assert line[-1] in ".:", code
        assert len(explain(code).splitlines()) > 2, code


def test_sub_workflows_are_looked_at_where_they_are_written() -> None:
    sub = "steps:\n  - {id: x, command: git add -A}"
    assert told("steps: [{id: s, workflow: sub}]", sub=sub) == [("add-everything", "sub.yaml:2:5")]


def test_steps_of_groups_and_loops_come_before_what_needs_them() -> None:
    text = "steps:\n  - {id: g, steps: [{id: a, prompt: Implement it.}]}\n  - {id: h, steps: [{id: gate, command: npm test}]}"
    assert told(text) == [("hard-stop-gate", "w.yaml:3:21")]


def test_a_workflow_with_everything_done_well_is_told_nothing() -> None:
    assert told(NATIVE) == []


def test_a_team_in_the_other_dialect_that_repairs_before_it_fails_is_told_nothing() -> None:
    assert told(CONVERSATION) == []


def test_advice_reads_as_one_line() -> None:
    told("steps:\n  - {id: a, command: git add -A}")
    (one,) = advice(load(Path("w.yaml")))
    assert str(one) == (
        "w.yaml:2:5: step 'a': stages whatever lies in the working tree (name the files: git add src tests) [add-everything]"
    )
    assert not one.error


def test_five_thousand_steps_take_seconds_at_most() -> None:
    steps = [
        f"  - {{id: s{n}, prompt: 'Write docs/s{n}.md and wait until s{n + 1} is done.', needs: [{f's{n - 1}' if n else ''}]}}"
        for n in range(5000)
    ]
    Path("w.yaml").write_text("pattern: dag\nsteps:\n" + "\n".join(steps))
    loaded = load(Path("w.yaml"))
    began = time.process_time()
    assert len(advice(loaded)) == 5000  # all but the last wait for one that needs them; and the row
    assert time.process_time() - began < 5


NATIVE = """\
name: ship-feature
params: [{name: change, required: true}, {name: base, default: main}]
agents:
  lead: {cli: claude, model: opus, role: "Architect and reviewer"}
  impl: {cli: codex, preset: worker, retries: 2}
pattern: pipeline
max_concurrency: 4
timeout: 1h
budget: {usd: 5, tokens: 2M, turns: 200}
on_error: {retry: {max: 2, delay: 10s}}
repairable: {agent: lead, attempts: 2}
steps:
  - {id: create, mode: shell, command: 'openspec new change "{{change}}"', capture: created}
  - id: implement
    agent: impl
    session: new
    prompt: "Implement {{change}}. Context: {{steps.create.output}}"
    verify: [{command: pytest -q}, {file_exists: src/out.py}]
    artifacts: ["report.html", "shots/*.png"]
  - id: each
    loop: {over: "tasks/*.md", as: task_file}
    steps: [{id: one, agent: impl, prompt: "Do {{task_file}}"}]
  - {id: ios, task: ios_build, with: {scheme: App}, machine: mac-mini}
  - {id: approve, gate: "Ship {{change}}?", options: [ship, stop], deadline: 2d, default: stop}
  - {id: pr, command: gh pr create --fill, when: "steps.approve.answer == 'ship'"}
"""
CONVERSATION = """\
version: '1.0'
name: w
swarm: {pattern: dag, maxConcurrency: 4, timeoutMs: 3600000, channel: wf-feature}
agents: [{name: lead, cli: claude}, {name: impl-a, cli: codex}, {name: impl-b, cli: codex}]
workflows:
  - name: default
    steps:
      - {name: context, type: deterministic, command: git ls-files src/, captureOutput: true}
      - name: coordinate
        agent: lead
        dependsOn: [context]
        task: |
          You lead #wf-feature: impl-a and impl-b work with you. Post the plan, give each a file, read what they
          wrote. Exit when both files are right.
      - {name: work-a, agent: impl-a, dependsOn: [context], task: "Wait for the lead's plan in #wf-feature. Implement your file."}
      - {name: work-b, agent: impl-b, dependsOn: [context], task: "Wait for the lead's plan in #wf-feature. Implement your file."}
      - {name: verify, type: deterministic, dependsOn: [coordinate], command: npm run typecheck && npm test, failOnError: false}
      - name: repair
        agent: lead
        dependsOn: [verify]
        task: "If it is red, repair it and run it again: {{steps.verify.output}}"
        verification: {type: exit_code}
      - {name: final, type: deterministic, dependsOn: [repair], command: npm run typecheck && npm test}
"""
