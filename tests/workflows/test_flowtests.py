"""Workflow tests: cases run offline by the real executor, every expectation can fail, cassettes play what happened."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from runner.flowtests.model import Expect
from tests.conftest import Ended, Runner

SHIP = """
name: ship
params: [{name: what, required: true}]
agents:
  lead: {cli: claude, role: "Careful"}
outputs: {written: "{{steps.docs.output}}"}
steps:
  - id: implement
    agent: lead
    prompt: "Make {{what}} right"
    verify: [{command: "grep -q right src/a.py"}]
    repairable: {attempts: 1}
  - {id: approve, gate: "Ship {{what}}?", options: [ship, stop]}
  - {id: docs, command: "echo {{what}} | tee docs.txt", when: "steps.approve.answer == 'ship'"}
"""

GOOD = """
workflow: ship
params: {what: parser}
files: {src/a.py: "broken"}
agents: {implement: ["[[write: src/a.py <<wrong]] tried", "[[write: src/a.py <<right]] it is right now"]}
answers: {approve: ship}
"""


@pytest.fixture
def flows(project: Path) -> Path:
    """The folder of the project's workflows, with `ship` in it."""
    folder = project / "workflows"
    folder.mkdir()
    (folder / "ship.yaml").write_text(SHIP)
    return folder


def cases(flows: Path, text: str, name: str = "ship", head: str = GOOD) -> Path:
    """Write a file of tests: `text` is the list of its cases."""
    path = flows / f"test_{name}.yaml"
    path.write_text(f"{head.strip()}\ncases:\n{textwrap.indent(textwrap.dedent(text).strip(), '  ')}\n")
    return path


def played(runner: Runner, *words: str) -> tuple[int, list[dict[str, Any]]]:
    ended = runner("workflow", "test", *words, "--format", "json")
    return ended.code, ended.items


def one(runner: Runner, *words: str) -> dict[str, Any]:
    """The one case that runs."""
    _, [item] = played(runner, *words)
    return item


def refused(runner: Runner, *words: str) -> Ended:
    ended = runner("workflow", "test", *words)
    assert ended.code == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_a_red_step_is_repaired_a_gate_is_answered_and_all_expectations_hold(flows: Path, runner: Runner) -> None:
    cases(
        flows,
        """
        - name: red is repaired
          expect:
            status: done
            summary: {contains: steps done}
            steps: {implement: done, approve: done, docs: done}
            outcomes: {implement: ok}
            attempts: {implement: 2, docs: 1}
            output: {implement: it is right now, docs: {matches: "^pars"}}
            prompts: {implement: {contains: [parser, Careful, exited with 1], lacks: "{{"}}
            files: {src/a.py: right, docs.txt: {contains: parser}, nothing.txt: {absent: true}}
            ran: [implement, approve, docs]
            order: [[implement, approve, docs]]
        - name: stopped
          answers: {approve: stop}
          expect: {steps: {docs: skipped}, not_ran: [docs], files: {docs.txt: {absent: true}}}
        """,
    )
    code, items = played(runner)
    assert [(item["case"], item["state"]) for item in items] == [("red is repaired", "passed"), ("stopped", "passed")]
    assert code == 0
    assert not any(item["kept"] for item in items)


ALL_WRONG = """
- name: all wrong
  expect:
    status: failed
    summary: nothing
    question: {contains: Ship}
    steps: {docs: skipped}
    outcomes: {implement: no_op}
    attempts: {implement: 1}
    output:
      docs: {equals: lexer, contains: [pars, lex], lacks: parse, matches: ^x}
    prompts: {implement: {contains: lexer}, docs: {contains: x}}
    files:
      src/a.py: broken
      nothing.txt: {contains: x}
      docs.txt: {absent: true}
    outputs: {written: lexer}
    not_ran: [implement]
    order: [[docs, implement]]
- name: stopped
  answers: {approve: stop}
  expect: {ran: [docs], steps: {docs: done}}
"""
RED = [
    ("status", "failed", "done: 3 steps done", "status: failed"),
    ("summary", "nothing", "3 steps done", "summary: nothing"),
    ("question.contains", "…Ship…", "''", "question: "),
    ("steps.docs", "skipped", "done", "steps: {docs"),
    ("outcomes.implement", "no_op", "ok", "outcomes: {implement"),
    ("attempts.implement", "1", "2", "attempts: {implement"),
    ("output.docs", "lexer", "parser", "docs: {equals"),
    ("output.docs.contains", "…lex…", "parser", "docs: {equals"),
    ("output.docs.lacks", "nothing like parse", "parser", "docs: {equals"),
    ("output.docs.matches", "/^x/", "parser", "docs: {equals"),
    ("prompts.implement.contains", "…lexer…", None, "prompts: "),
    ("prompts.docs", "a text", "it has none", "prompts: "),
    ("outputs.written", "lexer", "parser", "outputs: "),
    ("files.src/a.py", "broken", "right", "src/a.py: broken"),
    ("files.nothing.txt", "a text", "there is none", "nothing.txt: "),
    ("files.docs.txt", "no file", "it is there", "docs.txt: "),
    ("not_ran", "implement does not run", "it is done", "not_ran: "),
    ("order", "docs before implement", "implement began first", "order: "),
]


def test_every_expectation_can_fail_and_says_where_it_stands_and_what_came(flows: Path, runner: Runner) -> None:
    path = cases(flows, ALL_WRONG)
    code, [wrong, stopped] = played(runner)
    assert code == 1
    written = path.read_text().splitlines()
    sections = {name for name in Expect.model_fields if name != "ran"}
    assert {what.partition(".")[0] for what, *_ in RED} == sections
    for failure, (what, expected, came, text) in zip(wrong["failures"], RED, strict=True):
        assert (failure["what"], failure["expected"]) == (what, expected)
        assert came is None or failure["came"] == came, failure
        file, line, column = failure["place"].split(":")
        assert file == "workflows/test_ship.yaml"
        assert text in written[int(line) - 1]
        assert int(column) > 4
    assert Path(wrong["kept"], "project", "src", "a.py").is_file()
    found = [(failure["what"], failure["expected"], failure["came"]) for failure in stopped["failures"]]
    assert found == [("steps.docs", "done", "skipped"), ("ran", "docs runs", "it is skipped")]


def test_people_see_the_case_the_place_both_sides_the_end_of_the_log_and_the_kept_folder(
    flows: Path, runner: Runner
) -> None:
    (flows / "loud.yaml").write_text("steps: [{id: loud, command: 'echo no such parrot >&2; exit 3'}]")
    (flows / "test_loud.yaml").write_text("workflow: loud\ncases:\n  - name: it sings\n")
    ended = runner("workflow", "test", "--durations", "1")
    assert ended.code == 1
    assert "workflows/test_loud.yaml::it sings FAILED" in ended.stdout
    assert "workflows/test_loud.yaml:3:5: status\n    expected: done\n        came: failed: step loud" in ended.stdout
    assert "the end of loud:\n      | no such parrot" in ended.stdout
    assert "SECONDS" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("1 failed in ")
    [kept] = [line.partition(": ")[2] for line in ended.stdout.splitlines() if line.startswith("kept: ")]
    assert Path(kept, "project", ".git").is_dir()


def test_cases_are_chosen_by_words_by_name_and_by_what_failed_last(flows: Path, runner: Runner) -> None:
    (flows / "ship.yaml").write_text("steps: [{id: say, command: echo hello}]")
    path = cases(
        flows,
        """
        - name: good
        - name: bad
          expect: {status: failed}
        - name: worse
          expect: {steps: {say: failed}}
        """,
        head="workflow: ship",
    )
    listed = runner.ok("workflow", "test", "--collect-only")
    assert listed.stdout.split("\n")[:3] == [f"workflows/test_ship.yaml::{name}" for name in ("good", "bad", "worse")]
    assert [item["case"] for item in played(runner, "-k", "ship and not worse and not bad")[1]] == ["good"]
    assert played(runner, f"{path}::bad")[1][0]["state"] == "failed"
    assert [item["case"] for item in played(runner, "--lf")[1]] == ["bad"]
    assert [item["case"] for item in played(runner, "-x")[1]] == ["good", "bad"]
    path.write_text(path.read_text().replace("status: failed", "status: done"))
    assert [(item["case"], item["state"]) for item in played(runner, "--lf")[1]] == [("bad", "passed")]
    assert len(played(runner, "--lf")[1]) == 3  # none failed last: all run
    assert "none of 3 cases fits -k 'parrot'" in refused(runner, "-k", "parrot").stderr
    assert "no case is called 'goad' (did you mean 'good'?)" in refused(runner, f"{path}::goad").stderr


def test_without_tests_it_says_so_and_ends_with_2(project: Path, runner: Runner) -> None:
    assert "no workflow tests in workflows/, .runner/workflows/ and tests/" in refused(runner).stderr
    assert "there is no file or folder 'nowhere'" in refused(runner, "nowhere").stderr


def test_yaml_of_others_in_the_folder_of_tests_is_left_alone(flows: Path, project: Path, runner: Runner) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_other.yaml").write_text("[[")
    (project / "tests" / "test_ship.yaml").write_text(f"{GOOD}\ncases: [{{name: far}}]\n")
    assert one(runner)["state"] == "passed"


WRONG = {
    "cases: [{name: a, expekt: {}}]": ("6:19", "unknown key 'expekt' (did you mean 'expect'?)"),
    "cases: [{name: a, cop: [x]}]": ("6:19", "unknown key 'cop' (did you mean 'copy'?)"),
    "cases: [{name: a, expect: {status: dun}}]": ("6:28", "cases.0.expect.status can't be 'dun' (known: "),
    "cases: [{name: a, expect: {steps: {dox: done}}}]": ("6:36", "the workflow 'ship' has no step 'dox'"),
    "cases: [{name: a, expect: {order: [[implement, dox]]}}]": ("6:48", "has no step 'dox' (known: approve, docs"),
    "cases: [{name: a, expect: {outputs: {writen: x}}}]": ("6:38", "the workflow has no output 'writen'"),
    "cases: [{name: a, agents: {implemnt: x}}]": (
        "6:28",
        "has no step or agent 'implemnt' (did you mean 'implement'?)",
    ),
    "cases: [{name: a, agents: {implement@led: x}}]": ("6:28", "no agent is called 'led' (did you mean 'lead'?)"),
    "cases: [{name: a, agents: {lead: {sey: x}}}]": ("6:35", "unknown key 'sey'"),
    "cases: [{name: a, agents: {lead: [x, {sey: x}]}}]": ("6:39", "unknown key 'sey'"),
    "cases: [{name: a, agents: {lead: []}}]": ("6:28", "an agent is played by texts or by a cassette"),
    "cases: [{name: a, answers: {aprove: ship}}]": ("6:29", "no step 'aprove'"),
    "cases: [{name: a, files: {../x: y}}]": ("6:27", "'../x' must be a path inside the project"),
    "cases: [{name: a, copy: nowhere}]": ("6:19", "there is no folder"),
    "cases: [{name: a, params: {when: x}}]": ("6:28", "has no parameter 'when'"),
    "cases: [{name: a}, {name: a}]": ("1:1", "two cases are called 'a'"),
    "cases: []": ("6:1", "cases"),
}


def test_all_that_is_wrong_is_told_with_its_place_before_anything_runs(flows: Path, runner: Runner) -> None:
    cases(flows, "- name: good", name="good")
    for number, text in enumerate(WRONG):
        (flows / f"test_wrong{number}.yaml").write_text(f"{GOOD.strip()}\n{text}\n")
    ended = refused(runner)
    assert ended.stdout == ""
    told = ended.stderr.replace("\nhint: ", " (")
    for number, (place, words) in enumerate(WRONG.values()):
        [line] = [line for line in told.splitlines() if f"workflows/test_wrong{number}.yaml:" in line]
        assert f"workflows/test_wrong{number}.yaml:{place}: " in line
        assert words in line


def test_a_workflow_that_is_not_there_or_wrong_is_told_with_the_place_that_names_it(
    flows: Path, runner: Runner
) -> None:
    test = flows / "test_ship.yaml"
    test.write_text("workflow: shop\ncases: [{name: a}]\n")
    assert "workflows/test_ship.yaml:1:1: there is no workflow 'shop' (did you mean 'ship'?)" in refused(runner).stderr
    (flows / "shop.yaml").write_text("steps: [{id: a, command: 'echo {{x}}'}]")
    assert "test_ship.yaml:1:1: workflows/shop.yaml:1:" in refused(runner).stderr
    test.write_text("workflow: ../nowhere.yaml\ncases: [{name: a}]\n")
    assert "there is no workflow file 'nowhere.yaml'" in refused(runner).stderr


def test_an_agent_that_the_case_does_not_play_is_an_error_that_says_how_to(flows: Path, runner: Runner) -> None:
    cases(flows, "- name: silent", head="workflow: ship\nparams: {what: x}")
    item = one(runner)
    assert item["state"] == "error"
    assert "step 'implement' asks agent 'claude', and the case does not say what that does" in item["error"]
    assert "add under `agents:` of workflows/test_ship.yaml:4:5" in item["error"]
    cases(flows, "- {name: short, agents: {implement: ['[[write: a <<x]]']}}")
    item = one(runner)
    assert "step 'implement' asks agent 'claude' once more, and workflows/test_ship.yaml:7:" in item["error"]


def test_a_real_agent_is_never_called_not_even_by_a_command(flows: Path, runner: Runner, tmp_path: Path) -> None:
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "claude").write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    (bin / "claude").chmod(0o755)
    (flows / "sly.yaml").write_text("steps: [{id: sly, command: 'claude -p hello || true'}]")
    (flows / "test_sly.yaml").write_text("workflow: sly\ncases: [{name: a}]\n")
    ended = runner("workflow", "test", "--format", "json", env={"PATH": f"{bin}:{os.environ['PATH']}"})
    assert ended.items[0]["error"] == "a step called the program 'claude' itself: only agent steps are played"
    assert not (tmp_path / "called").exists()


def test_secrets_settings_and_the_repository_of_the_person_stay_out_of_it(
    flows: Path, project: Path, runner: Runner
) -> None:
    (flows / "env.yaml").write_text(
        "steps: [{id: env, command: 'echo $MY_TOKEN $GIT_DIR $GREETING; git config user.name || true; ls'}]"
    )
    (flows / "test_env.yaml").write_text(
        "workflow: env\nenv: {GREETING: hi}\nfiles: {only.txt: x}\n"
        'cases: [{name: a, expect: {output: {env: "hi\\nonly.txt"}}}]\n'
    )
    (project / "here.txt").write_text("x")
    env = {"MY_TOKEN": "topsecretvalue", "GIT_DIR": "/nowhere"}
    ended = runner("workflow", "test", "--format", "json", env=env)
    assert ended.items[0]["state"] == "passed", ended.items
    assert runner.ok("queue", "--all", "--format", "json").items == []


def test_a_loop_is_played_round_by_round(flows: Path, runner: Runner) -> None:
    (flows / "until.yaml").write_text(
        """
steps:
  - id: rounds
    loop: {max: 3}
    steps:
      - {id: fix, agent: codex, prompt: "Fix it"}
      - {id: try, command: "grep -q good x.txt", break_if: success, continue_on_failure: true}
  - id: each
    loop: {over: "*.md", as: page}
    steps: [{id: read, agent: codex, prompt: "Read {{page}}", expects: answer}]
"""
    )
    cases(
        flows,
        """
        - name: the second time
          agents:
            rounds/fix: [{write: {x.txt: bad}}, {write: {x.txt: good}, say: got it}]
            "each[[]b.md]/read": never
            "each[b.md]/read": b
            "*": other
          expect:
            steps: {"rounds[1]/try": failed, "rounds[2]/try": done, rounds: done, each/read: done}
            attempts: {rounds/fix: 2, each/read: 2}
            output: {"rounds[2]/fix": got it, "each[a.md]/read": other, "each[b.md]/read": b}
            order: [["rounds[1]/fix", "rounds[2]/fix", each]]
        """.replace('"each[[]b.md]/read": never\n', "\n"),
        name="until",
        head="workflow: until\nfiles: {a.md: a, b.md: b}",
    )
    item = one(runner)
    assert item["state"] == "passed", item


def test_reviewers_and_repairers_are_played_by_their_own_names(flows: Path, runner: Runner) -> None:
    (flows / "review.yaml").write_text(
        """
steps:
  - id: work
    agent: codex
    prompt: "Work"
    verify: [{agent: claude}]
    repairable: {agent: gemini, attempts: 1}
"""
    )
    cases(
        flows,
        """
        - name: sent back once
          agents:
            work: "[[write: a.txt <<one]] mine"
            work@claude: ['{"ok": false, "summary": "too short"}', '{"ok": true, "summary": "good"}']
            gemini: {write: {a.txt: longer}, say: mended}
          expect: {attempts: {work: 2}, output: {work: mended}, files: {a.txt: longer}}
        - name: no reviewer
          agents: {work: "[[write: a.txt <<one]]", gemini: "x"}
        """,
        name="review",
        head="workflow: review",
    )
    _, [first, second] = played(runner)
    assert first["state"] == "passed", first
    assert "step 'work' has agent 'claude' look at it" in second["error"]
    assert "`work@claude:" in second["error"]


def test_what_an_agent_comes_to_can_be_played_too(flows: Path, runner: Runner) -> None:
    cases(
        flows,
        """
        - name: crash
          agents: {implement: {exit: 7}}
          expect: {status: failed, outcomes: {implement: crashed}, steps: {approve: not_run}}
        - name: nothing
          agents: {implement: I did it}
          expect: {status: failed, outcomes: {implement: no_op}}
        - name: question
          agents: {implement: ["[[ask: which one?]]", "[[write: src/a.py <<right]]"]}
          answers: {implement: the first, approve: ship}
          expect: {prompts: {implement: {contains: "A person says: the first"}}}
        - name: unanswered
          answers: {approve: []}
          expect: {status: needs_human, question: {contains: "Ship parser?"}, steps: {approve: waiting, docs: pending}}
        - name: accepted
          agents: {implement: "[[write: src/a.py <<wrong]]"}
          answers: {implement: done, approve: ship}
          expect: {steps: {implement: done}, attempts: {docs: 1}}
        """,
    )
    _, items = played(runner)
    assert {item["case"]: item["state"] for item in items} == dict.fromkeys(
        ("crash", "nothing", "question", "unanswered", "accepted"), "passed"
    ), items


def test_a_wrong_answer_and_too_long_a_case_are_errors(flows: Path, runner: Runner) -> None:
    (flows / "slow.yaml").write_text("steps: [{id: slow, command: 'sleep 30'}]")
    (flows / "test_slow.yaml").write_text("workflow: slow\ntimeout: 1\ncases: [{name: slow}]\n")
    cases(flows, "- {name: wrong, answers: {approve: shipp}}")
    _, items = played(runner)
    assert {item["case"]: item["state"] for item in items} == {"wrong": "error", "slow": "error"}
    assert "'shipp' is no answer to approve (did you mean 'ship'?)" in items[0]["error"]
    assert "it took longer than 1 s" in items[1]["error"]


def test_folders_are_copied_and_the_projects_own_handlers_and_settings_play_along(
    flows: Path, project: Path, runner: Runner
) -> None:
    (flows / "start" / "deep").mkdir(parents=True)
    (flows / "start" / "deep" / "in.txt").write_text("from a folder")
    (project / "handlers").mkdir()
    (project / "handlers" / "shout.py").write_text(
        "from runner import hookimpl\n\n"
        "@hookimpl\ndef run_step(step, context):\n    return step.payload['text'].upper()\n"
    )
    (project / "runner.yaml").write_text("defaults: {agent: qwen}\nstore: sqlite:///elsewhere.db\n")
    (flows / "own.yaml").write_text(
        "steps:\n"
        "  - {id: read, command: cat deep/in.txt more.txt}\n"
        "  - {id: shout, task: shout, with: {text: '{{steps.read.output}}'}}\n"
        "  - {id: ask, prompt: hello, expects: answer}\n"
    )
    cases(
        flows,
        """
        - name: a
          copy: start
          files: {more.txt: "!"}
          agents: {qwen: hi}
          expect: {output: {shout: FROM A FOLDER!, ask: hi}, files: {runner.yaml: {contains: qwen}}}
        """,
        name="own",
        head="workflow: own",
    )
    item = one(runner)
    assert item["state"] == "passed", item
    assert not (project / "elsewhere.db").exists()


def test_the_results_are_junit_xml_and_a_line_of_json_each(flows: Path, project: Path, runner: Runner) -> None:
    cases(flows, "- name: good\n- {name: bad, expect: {steps: {docs: skipped}}}")
    lines = runner("workflow", "test", "--junit", "report.xml", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["passed", "failed"]
    [suite] = ElementTree.parse(project / "report.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    good, bad = suite
    assert (good.get("classname"), good.get("name"), len(good)) == ("ship", "good", 0)
    assert "expected skipped, came done" in str(bad[0].get("message"))
    assert "the folder" in refused(runner, "--junit", "nowhere/report.xml").stderr


RECORDED = """
params: [{name: what, required: true}]
steps:
  - id: implement
    agent: script
    prompt: |
      Make {{what}} of {{workflow_dir}} in {{project_dir}} for run {{run_id}}.
      [[on-first: [[write: src/a.py <<wrong]] [[say: tried]] ]]
      [[on-repair: [[write: src/a.py <<right]] [[run: printf 'a\\000\\377' > b.bin]] [[usage: 10 20 0.5]]
      [[say: now, with $HIDDEN_TOKEN]] ]]
    verify: [{command: "grep -q right src/a.py"}]
    repairable: {attempts: 1}
  - id: rounds
    loop: {max: 2}
    steps: [{id: note, agent: script, prompt: "[[append: notes.txt <<{{what}}]] [[commit: note it]]"}]
  - {id: gives-up, agent: script, prompt: "[[exit: 9]]", continue_on_failure: true, expects: answer}
  - {id: show, command: "cat notes.txt; git log --format=%s -1"}
"""


@pytest.fixture
def recorded(flows: Path, project: Path, runner: Runner) -> Path:
    """A cassette of the workflow `rec`."""
    (flows / "rec.yaml").write_text(RECORDED.replace("$HIDDEN_TOKEN", "a-very-hidden-value"))
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    cassette = flows / "cassettes" / "rec.json"
    ended = runner("record", "rec", "parser", "-o", str(cassette), env={"HIDDEN_TOKEN": "a-very-hidden-value"})
    assert ended.code == 0, ended.stderr
    assert "5 attempts recorded: workflows/cassettes/rec.json" in ended.stderr
    return cassette


def test_a_cassette_plays_what_was_recorded_and_holds_no_secret(flows: Path, runner: Runner, recorded: Path) -> None:
    assert "hidden" not in recorded.read_text()
    attempts = json.loads(recorded.read_text())["attempts"]
    assert [(one["step"], one["outcome"]) for one in attempts] == [
        ("implement", "ok"),
        ("implement", "ok"),
        ("rounds[1]/note", "ok"),
        ("rounds[2]/note", "ok"),
        ("gives-up", "crashed"),
    ]
    cases(
        flows,
        """
        - name: as it was
          expect:
            attempts: {implement: 2}
            outcomes: {gives-up: crashed}
            output: {implement: "now, with [redacted]", show: "parser\\nparser\\nnote it"}
            files: {src/a.py: right, b.bin: {contains: a}}
        - {name: other words, params: {what: lexer}}
        - name: loose
          params: {what: lexer}
          agents: {"*": {cassette: cassettes/rec.json, match: loose}}
        - {name: other files, files: {src/a.py: mine}}
        """,
        name="rec",
        head='workflow: rec\nparams: {what: parser}\nagents: {"*": {cassette: cassettes/rec.json}}',
    )
    _, [first, words, loose, files] = played(runner, "workflows/test_rec.yaml")
    assert first["state"] == "passed", json.dumps(first, indent=1)
    assert words["state"] == "error"
    assert "attempt 1 of step 'implement' has another prompt than in the cassette cassettes/rec.json" in words["error"]
    assert "line 1 was 'Make parser of {workflow}" in words["error"]
    assert "is 'Make lexer of {workflow}" in words["error"]
    assert loose["state"] == "passed"
    assert len(loose["warnings"]) == 4
    assert "the recorded change of step 'implement' does not fit these files" in files["error"]


def test_a_step_that_was_never_recorded_and_a_damaged_cassette_are_errors(
    flows: Path, runner: Runner, recorded: Path
) -> None:
    data = json.loads(recorded.read_text())
    data["attempts"] = [one for one in data["attempts"] if one["step"] != "gives-up"]
    recorded.write_text(json.dumps(data))
    head = 'workflow: rec\nparams: {what: parser}\nagents: {"*": {cassette: cassettes/rec.json, match: loose}}'
    cases(flows, "- name: short", name="rec", head=head)
    item = one(runner, "workflows/test_rec.yaml")
    assert "has 0 attempts of agent 'script' at step 'gives-up', and this is number 1" in item["error"]
    recorded.write_text("{}")
    assert "not a cassette of version 1" in one(runner, "workflows/test_rec.yaml")["error"]
    recorded.unlink()
    assert "record it: runner record" in one(runner, "workflows/test_rec.yaml")["error"]


def test_nothing_is_recorded_where_changes_can_not_be_seen_or_kept(flows: Path, runner: Runner) -> None:
    ended = runner("record", "ship", "x", "-o", "x.json")
    assert ended.code == 2
    assert "is in no git repository, so changes can't be recorded" in ended.stderr
    assert "a cassette is a .json file" in runner("record", "ship", "x", "-o", "x").stderr


def test_editors_get_the_schema_of_workflow_tests(project: Path, runner: Runner) -> None:
    schema = runner.ok("schema", "workflow-test", "--format", "json").json
    assert schema["required"] == ["workflow", "cases"]
    assert {"name", "params", "copy", "files", "agents", "answers", "expect"} <= set(
        schema["$defs"]["Case"]["properties"]
    )


def test_parallel_steps_and_sub_workflows_are_played_by_their_paths_and_globs(flows: Path, runner: Runner) -> None:
    (flows / "sub.yaml").write_text(
        'params: [{name: x, required: true}]\noutputs: {res: "{{steps.do.output}}"}\n'
        'steps: [{id: do, agent: codex, prompt: "do {{x}}", expects: answer}]\n'
    )
    (flows / "beside.yaml").write_text(
        """
pattern: dag
agents: {rev: {cli: claude, preset: reviewer}}
steps:
  - {id: a, agent: rev, prompt: "a"}
  - {id: b, agent: rev, prompt: "b"}
  - {id: c, workflow: sub, params: {x: "7"}}
  - {id: d, agent: rev, prompt: "{{steps.a.output}} {{steps.b.output}} {{steps.c.res}}", needs: [a, b, c]}
"""
    )
    cases(
        flows,
        """
        - name: by names
          agents: {rev: "yes", c/do: seven, d: joined}
          expect:
            steps: {c: done, c/do: done}
            prompts: {d: {contains: yes yes seven}, c/do: {equals: do 7}}
            output: {d: joined}
            order: [[a, d], [b, d], [c, d]]
        - {name: by globs, agents: {"c/*": x, "?": y}, expect: {output: {d: y, c/do: x}}}
        """,
        name="beside",
        head="workflow: beside",
    )
    _, items = played(runner, "-n", "2")
    assert {item["case"]: item["state"] for item in items} == {"by names": "passed", "by globs": "passed"}, items


def test_isolated_steps_play_like_any_other(flows: Path, runner: Runner) -> None:
    (flows / "apart.yaml").write_text(
        "pattern: dag\nmax_concurrency: 2\nsteps:\n"
        "  - {id: edit, agent: claude, prompt: x}\n"
        "  - {id: left, needs: [edit], agent: claude, writes: isolated, prompt: y}\n"
        "  - {id: right, needs: [edit], agent: claude, writes: isolated, prompt: z}\n"
        "  - {id: join, needs: [left, right], command: cat edited left right}\n"
    )
    head = """
        workflow: apart
        files: {edited: "no"}
        agents:
          edit: ["[[write: edited <<yes]]"]
          left: ["[[run: cat edited > left]]"]
          right: ["[[write: right <<R]]"]
    """
    cases(
        flows,
        """
        - name: both are merged
          expect: {status: done, output: {join: "yes\\nyes\\nR"}, files: {left: "yes", right: R}}
        - name: the same file
          agents: {left: ["[[write: both <<L]]"], right: ["[[write: both <<R]]"]}
          expect: {status: failed, summary: {contains: "can't be merged: both"}, steps: {join: not_run}}
        """,
        name="apart",
        head=textwrap.dedent(head),
    )
    code, items = played(runner)
    assert [(item["case"], item["state"]) for item in items] == [
        ("both are merged", "passed"),
        ("the same file", "passed"),
    ], json.dumps(items, indent=1)
    assert code == 0
