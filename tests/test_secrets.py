"""Secrets of the environment, the prompt and the agent's output are in nothing that the runner writes or shows."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.conftest import Runner

# Put together here, so that this file itself holds none.
VALUE = "correct-horse-" + "battery-staple-7731"
KEY = "sk-" + "ant-api03-" + "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z" * 3 + "-AbCdEfAA"
ODD = 'quote"back\\slash-' + "line-secret"

AGENT = """#!{python} -IS
import os, sys, time
given = sys.stdin.buffer.read()
secret = os.environ["SHOP_API_KEY"].encode()
odd = os.environ["ODD_TOKEN"].encode()
key = {key!r}.encode()
# Across the borders of what is read at once, and of what the agent writes at once.
for one in (secret, key, odd):
    for cut in (1, len(one) // 2, len(one) - 1):
        for fd in (1, 2):
            os.write(fd, b"x" * 70 + one[:cut])
        time.sleep(0.03)
        for fd in (1, 2):
            os.write(fd, one[cut:] + b" said\\n")
os.write(1, b"y" * ((512 << 10) - 1500) + b" " + secret + b"\\n")
os.write(1, given + b"\\n" + secret + b" " + key + b" " + odd + b"\\n")
os.write(2, secret + b": it failed with " + key + b"\\n")
sys.exit({code})
"""


@pytest.fixture
def leaky(project: Path, tmp_path: Path, runner: Runner) -> Path:
    """A project with two agents that print every secret they know; one says it in an error."""
    bin = tmp_path / "bin"
    bin.mkdir()
    for name, code in (("leaky", 0), ("broken", 1)):
        (bin / name).write_text(AGENT.format(python=sys.executable, key=KEY, code=code))
        (bin / name).chmod(0o755)
    (project / "runner.yaml").write_text(
        f"agents:\n  leaky: {{program: {bin}/leaky}}\n  broken: {{program: {bin}/broken}}\n"
        f'  worded: {{program: {bin}/leaky, argv: [--task, "{{prompt}}"]}}\n'
    )
    runner.env |= {"SHOP_API_KEY": VALUE, "ODD_TOKEN": ODD}
    return project


def leaks(data: bytes) -> list[str]:
    """The secrets that are in it, as they are or as JSON has them."""
    forms = {one for secret in (VALUE, KEY, ODD) for one in (secret, secret.replace("\\", "\\\\").replace('"', '\\"'))}
    return [one for one in sorted(forms) if one.encode() in data]


PROMPT = f"log in with {VALUE} or {KEY} or {ODD}"


@pytest.mark.parametrize("agent", ["leaky", "broken", "worded"])
def test_no_file_no_event_and_no_answer_of_the_program_has_a_secret(leaky: Path, runner: Runner, agent: str) -> None:
    options = ("--agent", agent, "--expects", "answer", "--attempts", "1", "--check", "output_contains: nothing of it")
    id = runner.ok("submit", *options, PROMPT, "--format", "json").json["id"]
    worked = runner("work", "--drain")
    state = Path(os.environ["XDG_STATE_HOME"])
    store = next(state.rglob("store.db"))
    files = [path for path in state.rglob("*") if path.is_file() and not path.name.startswith("store.db")]
    assert any(path.name == "stdout.log" and path.stat().st_size > 500_000 for path in files)
    assert any(path.name == "prompt.md" for path in files)
    assert {str(path): leaks(path.read_bytes()) for path in files if leaks(path.read_bytes())} == {}
    assert not leaks((worked.stdout + worked.stderr).encode())
    for words in ("show", "why", "logs", "queue", "status", "review", "failures"):
        target = (id,) if words in ("show", "why", "logs") else ()
        for form in ("json", "text"):
            ended = runner(words, *target, "--format", form)
            assert not leaks((ended.stdout + ended.stderr).encode()), (words, form)
    with sqlite3.connect(store) as db:
        for table, columns in (("events", "data"), ("attempts", "result"), ("tasks", "result, question")):
            said = repr(db.execute(f"SELECT {columns} FROM {table}").fetchall()).encode()
            assert not leaks(said), table


def test_a_key_that_the_configuration_gives_to_an_agent_is_a_secret_too(project: Path, runner: Runner) -> None:
    (project / "runner.yaml").write_text(
        "agents:\n  keyed:\n    program: sh\n    argv: [-c, 'cat > /dev/null; echo the key is $SHOP_API_KEY']\n"
        "    env: {SHOP_API_KEY: shop-0123456789abcdef}\n"
    )
    id = runner.ok("submit", "--agent", "keyed", "--expects", "answer", "say it", "--format", "json").json["id"]
    runner.ok("work", "--drain")
    said = runner.ok("logs", id).stdout
    assert "the key is" in said
    assert "shop-0123456789abcdef" not in said
    assert "shop-0123456789abcdef" not in runner.ok("show", id, "--format", "json").stdout
