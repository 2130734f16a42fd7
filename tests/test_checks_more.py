"""The checks json_schema, no_diff, pr_url and agent: what they take, what they say, what they go by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.errors import CheckHeld
from runner.model import Check, Step, StepResult, Verdict
from runner.testing.agent import fake_cli
from runner.testing.context import StepContext
from runner_plugins import checks_agent, checks_json_schema, checks_no_diff, checks_pr_url
from tests.agents.recordings import agents, recording
from tests.conftest import Runner


def git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    made = tmp_path / "w"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    (made / "a.txt").write_text("one\n")
    git(made, "add", "-A")
    git(made, "commit", "-q", "-m", "x")
    return made


def ask(plugin: Any, value: Any, repo: Path, output: str = "", *, prompt: str = "Do it", **more: Any) -> Verdict:
    name = next(iter(plugin.register_checks()))
    check = Check(name, plugin.parse(value) if value is not None else None)
    step = Step("main", "agent_run", {"prompt": prompt}, checks=(check,))
    result = StepResult("ok", output, 0, more.pop("evidence", {}))
    base = git(repo, "rev-parse", "HEAD") if (repo / ".git").exists() else None
    with StepContext(repo, repo.parent / "attempt", base=base, **more) as context:
        given = {"check": check, "step": step, "result": result, "context": context}
        wanted = plugin.verify.__code__.co_varnames[: plugin.verify.__code__.co_argcount]
        verdict = plugin.verify(**{key: item for key, item in given.items() if key in wanted})
    assert isinstance(verdict, Verdict)
    return verdict


# json_schema

SCHEMA = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}, "n": {"minimum": 3}}}


@pytest.mark.parametrize(
    "output",
    [
        '{"ok": true}',
        'Here it is:\n```json\n{"ok": true}\n```\nDone.',
        'Thinking…\n{"ok": false, "n": 3}',
        ' {"ok":true} ',
    ],
)
def test_the_json_of_an_output_is_found_and_validated(repo: Path, output: str) -> None:
    assert ask(checks_json_schema, {"schema": SCHEMA}, repo, output).ok
    assert ask(checks_json_schema, json.dumps(SCHEMA), repo, output).ok


def test_what_is_wrong_is_named_with_its_place(repo: Path) -> None:
    verdict = ask(checks_json_schema, {"schema": SCHEMA}, repo, '{"ok": "yes", "n": 1}')
    assert verdict.summary == (
        "the output is not what the schema describes: $.n: 1 is less than the minimum of 3 and 1 more"
    )
    assert verdict.evidence["errors"] == [
        "$.n: 1 is less than the minimum of 3",
        "$.ok: 'yes' is not of type 'boolean'",
    ]


def test_a_file_and_a_schema_of_the_repository(repo: Path) -> None:
    (repo / "s.json").write_text(json.dumps(SCHEMA))
    (repo / "out.json").write_text('{"ok": true}')
    assert ask(checks_json_schema, {"schema": "s.json", "file": "out.json"}, repo).ok
    assert ask(checks_json_schema, "s.json", repo, '{"ok": true}').ok
    assert checks_json_schema.files({"schema": "s.json"}) == ["s.json"]
    assert (
        ask(checks_json_schema, "none.json", repo, "{}").summary
        == "'none.json' can't be read: No such file or directory"
    )
    (repo / "s.json").write_text('{"type": "objekt"}')
    assert "not a JSON Schema: 'objekt' is not valid" in ask(checks_json_schema, "s.json", repo, "{}").summary
    (repo / "s.json").write_text("{")
    assert ask(checks_json_schema, "s.json", repo, "{}").summary.startswith("the schema 's.json' is not JSON")
    (repo / "link.json").symlink_to("/etc/hostname")
    assert (
        "leads out of the workspace" in ask(checks_json_schema, {"schema": SCHEMA, "file": "link.json"}, repo).summary
    )


def test_an_output_without_json_and_a_schema_that_refers_elsewhere(repo: Path) -> None:
    assert ask(checks_json_schema, {"schema": SCHEMA}, repo, "all good").summary == "the output holds no JSON"
    verdict = ask(checks_json_schema, {"schema": {"$ref": "#/nowhere"}}, repo, "{}")
    assert not verdict.ok
    assert "refers to what is not in it" in verdict.summary
    verdict = ask(checks_json_schema, {"schema": SCHEMA}, repo, "", evidence={"output_path": "/log"})
    assert "too long" in verdict.summary


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/etc/x.json", "leaves the workspace"),
        ("../x.json", "leaves the workspace"),
        ("{bad", "not JSON"),
        ({"schema": {"type": 7}}, "not a JSON Schema"),
        ({"schema": "a", "fil": "b"}, "'fil' is not known here"),
        ({"schema": "a", "file": 3}, "'file' must be a path"),
        (7, "neither a path nor a schema"),
    ],
)
def test_json_schema_refuses(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checks_json_schema.parse(value)


def test_an_agent_that_edits_the_schema_has_edited_the_gate(project: Path, runner: Runner) -> None:
    (project / "answer.schema.json").write_text(json.dumps(SCHEMA))
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "x")):
        git(project, *words)
    prompt = '[[edit: answer.schema.json :: boolean :: string]] [[say: {"ok": "yes"}]]'
    runner.ok("submit", "--agent", "script", "--check", "json_schema: answer.schema.json", prompt)
    assert runner("work", "--drain").code == 3
    [task] = runner.ok("queue", "--all", "--format", "json").json["items"]
    assert "the gate was edited: answer.schema.json changed" in task["result"]["summary"]


# no_diff


def test_nothing_may_change_or_only_what_is_excepted(repo: Path) -> None:
    assert ask(checks_no_diff, None, repo).summary == "nothing was changed"
    (repo / "new.txt").write_text("x")
    (repo / "a.txt").write_text("two\n")
    verdict = ask(checks_no_diff, None, repo)
    assert (verdict.ok, verdict.summary) == (False, "changed, and must not be: a.txt, new.txt")
    assert ask(checks_no_diff, "migrations/**", repo).summary == "nothing that matches 'migrations/**' was changed"
    assert not ask(checks_no_diff, "*.txt", repo).ok
    assert ask(checks_no_diff, {"paths": ["*.txt"], "except": ["a.txt", "new.*"]}, repo).ok
    assert ask(checks_no_diff, '{"except": ["*.txt"]}', repo).ok
    for wrong in ("{bad", {"path": ["x"]}, {"paths": [3]}, 7):
        with pytest.raises(ValueError):
            checks_no_diff.parse(wrong)


def test_no_diff_outside_a_repository(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    assert not ask(checks_no_diff, None, tmp_path / "w").ok


# pr_url


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/shop/pull/17",
        "https://gitlab.com/acme/web/shop/-/merge_requests/3",
        "https://bitbucket.org/acme/shop/pull-requests/9",
        "http://git.local:3000/acme/shop/pulls/2",
    ],
)
def test_the_pull_request_in_the_output(repo: Path, url: str) -> None:
    assert ask(checks_pr_url, None, repo, f"Opened {url}.").summary == f"the output names {url}"
    assert not ask(checks_pr_url, None, repo, f"Opened {url}", prompt=f"Look at {url}").ok, "the prompt's own"
    assert not ask(checks_pr_url, None, repo, "I opened one").ok


def test_a_pull_request_of_another_repository_does_not_count(repo: Path) -> None:
    url = "https://github.com/acme/shop/pull/17"
    assert ask(checks_pr_url, "acme/shop", repo, url).ok
    assert ask(checks_pr_url, "acme/other", repo, url).summary == f"{url} is not of acme/other"
    git(repo, "remote", "add", "origin", "git@github.com:acme/other.git")
    assert not ask(checks_pr_url, None, repo, url).ok
    git(repo, "remote", "add", "fork", "https://github.com/Acme/Shop")
    assert ask(checks_pr_url, None, repo, url).ok
    for wrong in ("acme", {"repo": 3}, {"exists": "yes"}, {"repos": "a/b"}):
        with pytest.raises(ValueError):
            checks_pr_url.parse(wrong)


def test_whether_it_exists_is_asked_of_gh(repo: Path, tmp_path: Path) -> None:
    url = "https://github.com/acme/shop/pull/17"
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    cli = fake_cli(tmp_path / "bin", "gh", b'{"state": "OPEN"}')
    assert ask(checks_pr_url, {"exists": True}, repo, url, env=env).summary == f"{url} is there"
    assert cli.calls()[0]["argv"] == ["pr", "view", url, "--json", "state,url"]
    fake_cli(tmp_path / "bin", "gh", b"", stderr=b"no such pull request\n", exit_code=1)
    assert (
        ask(checks_pr_url, {"exists": True}, repo, url, env=env).summary == f"{url} can't be seen: no such pull request"
    )


# agent


def reviewer(tmp_path: Path, *answers: str) -> tuple[dict[str, str], Path]:
    """A claude that gives these answers, one a call → the environment, and the folder of the calls it saw."""
    lines = recording("claude", "ok").stdout.splitlines()
    outs = []
    for answer in answers:
        last = {**json.loads(lines[-1]), "result": answer, "permission_denials": []}
        outs.append(b"\n".join([lines[0], json.dumps(last).encode()]) + b"\n")
    calls = tmp_path / "calls"
    calls.mkdir()
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable} -IS\nimport json, os, sys\nn = len(os.listdir({str(calls)!r}))\n"
        f"told = {{'argv': sys.argv[1:], 'stdin': sys.stdin.read()}}\n"
        f"open(f'{calls}/{{n}}', 'w').write(json.dumps(told))\nos.write(1, {outs!r}[min(n, {len(outs) - 1})])\n"
    )
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}, calls


def calls_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize(
    ("answer", "ok", "summary"),
    [
        ('{"ok": true, "summary": "well done"}', True, "claude: well done"),
        ('I looked.\n```json\n{"ok": false, "summary": "no tests"}\n```', False, "claude: no tests"),
        ('{"ok": false}', False, "claude: no reason given"),
    ],
)
def test_the_reviewers_verdict(repo: Path, tmp_path: Path, answer: str, ok: bool, summary: str) -> None:
    env, calls = reviewer(tmp_path, answer)
    verdict = ask(checks_agent, "claude", repo, "I did it", prompt="Add a cart", env=env, agents=[agents()["claude"]])
    assert (verdict.ok, verdict.summary) == (ok, summary)
    [call] = calls_of(calls)
    assert "    Add a cart" in call["stdin"]
    assert "    I did it" in call["stdin"]
    assert "--disallowedTools" in call["argv"], "it only reads"


def test_an_answer_that_is_no_verdict_is_asked_for_again(repo: Path, tmp_path: Path) -> None:
    env, calls = reviewer(tmp_path, "Looks good to me!", '{"ok": true, "summary": "fine"}')
    verdict = ask(checks_agent, "claude", repo, env=env, agents=[agents()["claude"]])
    assert (verdict.ok, verdict.summary) == (True, "claude: fine")
    assert "Looks good to me!" in calls_of(calls)[1]["stdin"]


def test_no_verdict_is_red(repo: Path, tmp_path: Path) -> None:
    env, _ = reviewer(tmp_path, '{"ok": "yes"}')
    verdict = ask(
        checks_agent, {"agent": "claude", "prompt": "Is it documented?"}, repo, env=env, agents=[agents()["claude"]]
    )
    assert verdict.summary == "the reviewer 'claude' gave no verdict: its answer is no JSON with 'ok'"
    gone = ask(checks_agent, "claude", repo, env={"PATH": str(tmp_path)}, agents=[agents()["claude"]])
    assert "is not on this machine's PATH" in gone.summary


def test_a_reviewer_that_can_not_be_asked_now_says_nothing_about_the_work(repo: Path, tmp_path: Path) -> None:
    one = recording("claude", "429")
    fake_cli(tmp_path / "bin", "claude", one.stdout, exit_code=1)
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    with pytest.raises(CheckHeld) as caught:
        ask(checks_agent, "claude", repo, env=env, agents=[agents()["claude"]])
    assert (caught.value.outcome, caught.value.account) == ("rate_limited", "claude")


@pytest.mark.parametrize(
    "value", ["", "{bad", {"prompt": "x"}, {"agent": ""}, {"agent": "a", "timeout": 0}, {"agnt": "a"}, 3]
)
def test_agent_refuses(value: Any) -> None:
    with pytest.raises(ValueError):
        checks_agent.parse(value)


def test_a_held_review_waits_without_spending_an_attempt_and_parks_the_reviewer(
    project: Path, runner: Runner, tmp_path: Path
) -> None:
    for words in (("init", "-q", "-b", "main"), ("commit", "-q", "--allow-empty", "-m", "x")):
        git(project, *words)
    one = recording("claude", "429")
    fake_cli(tmp_path / "bin", "claude", one.stdout, exit_code=1)
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    runner.ok("submit", "--agent", "script", "--check", "agent: claude", "[[write: a.txt :: x]]", env=env)
    runner("work", "--drain", env=env)
    [task] = runner.ok("queue", "--format", "json").json["items"]
    assert (task["status"], task["outcome"], task["attempts"]) == ("scheduled", "rate_limited", 0)
    assert "the reviewer 'claude'" in task["result"]["summary"]
