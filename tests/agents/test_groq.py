"""The agent `groq` and agents like it: an OpenAI-compatible endpoint, by configuration alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from runner.testing.agent import fake_cli
from tests.agents.played import play
from tests.agents.recordings import agents, recording
from tests.conftest import Runner


def test_it_is_goose_at_another_endpoint(tmp_path: Path) -> None:
    own = {"GROQ_API_KEY": "gsk-1", "OPENAI_API_KEY": "sk-mine", "OPENAI_HOST": "https://elsewhere"}
    done = play(tmp_path, "groq", cli="goose", env=own)
    assert done.result.outcome == "ok"
    assert done.argv[:8] == ["run", "-q", "-i", "-", "--output-format", "stream-json", "-n", done.result.session]
    assert done.argv[8:10] == ["--model", "openai/gpt-oss-120b"]
    wanted = {
        "GOOSE_PROVIDER": "openai",
        "OPENAI_BASE_URL": "https://api.groq.com/openai/v1",
        "OPENAI_API_KEY": "gsk-1",
        "GOOSE_MODE": "auto",
    }
    assert {name: done.env.get(name) for name in wanted} == wanted
    assert "OPENAI_HOST" not in done.env


def test_without_its_key_a_person_is_asked_for_it(tmp_path: Path) -> None:
    done = play(tmp_path, "groq", cli="goose", env={"GROQ_API_KEY": ""})
    assert done.call is None
    assert done.result.outcome == "needs_human"
    question = done.result.evidence["question"]
    assert question == (
        "agent 'groq' needs the variable GROQ_API_KEY (for its OPENAI_API_KEY), and it is not set here;"
        " set GROQ_API_KEY in the environment of the worker, then retry"
    )


def test_its_account_is_its_own() -> None:
    assert agents()["groq"].account != agents()["goose"].account


def test_a_rate_limit_of_the_endpoint_is_one(tmp_path: Path) -> None:
    assert play(tmp_path, "groq", "429", cli="goose", env={"GROQ_API_KEY": "k"}).result.outcome == "rate_limited"


def test_another_endpoint_is_a_few_lines_of_yaml(project: Path, runner: Runner) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / "a.txt").write_text("a\n")
    subprocess.run(["git", "add", "-A"], cwd=project, check=True)
    subprocess.run(["git", "commit", "-qm", "a"], cwd=project, check=True)
    one = recording("goose", "newer")
    cli = fake_cli(project.parent / "bin", "goose", one.stdout)
    (project / "runner.yaml").write_text(
        "agents:\n"
        "  local:\n"
        "    extends: groq\n"
        f"    program: {cli.folder / 'goose'}\n"
        "    model: qwen3-coder\n"
        "    account: local\n"
        '    env: {OPENAI_BASE_URL: "http://127.0.0.1:8000/v1", OPENAI_API_KEY: "${LOCAL_KEY:-none}"}\n'
    )
    id = runner.ok("submit", "--agent", "local", "explain", "--format", "json").json["id"]
    runner("work", "--drain")
    call = cli.calls()[0]
    assert call["stdin"] == "explain"
    assert call["argv"][8:10] == ["--model", "qwen3-coder"]
    assert (call["env"]["OPENAI_BASE_URL"], call["env"]["OPENAI_API_KEY"]) == ("http://127.0.0.1:8000/v1", "none")
    assert (call["env"]["GOOSE_PROVIDER"], call["env"]["GOOSE_MODE"]) == ("openai", "auto")
    task = runner.ok("show", id, "--format", "json").json
    assert "All done." in json.dumps(task)
