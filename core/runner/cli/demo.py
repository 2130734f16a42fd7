"""The story that `runner demo` tells: its repository, its three tasks, and what must come of them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from runner.cli.output import cut, terminal_width
from runner.errors import RunnerError
from runner.statuses import DONE, EXIT_HUMAN, NEEDS_HUMAN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.model import JSON

CART: Final = '''"""A cart: lines of (price, quantity)."""


def total(lines):
    """What all lines cost together."""
    return sum(price for price, quantity in lines)
'''

TEST: Final = """import unittest

from cart import total


class TotalTest(unittest.TestCase):
    def test_quantities_count(self):
        self.assertEqual(total([(5, 2), (1, 3)]), 13)
"""

WRONG_THEN_RIGHT: Final = """\
Fix total() in cart.py.
[[on-first: [[edit: cart.py :: sum(price for :: sum(quantity for]] [[say: Fixed, all tests pass.]] ]]
[[on-repair: [[edit: cart.py :: sum(quantity for :: sum(price * quantity for]] [[say: Price times quantity now.]] ]]"""

LIE: Final = """\
Fix total() in cart.py.
[[edit: test_cart.py :: 13 :: 6]] [[say: Fixed, all tests pass.]]"""


class Demo:
    """Plays the session in `top` and tells every line of it to `say`."""

    def __init__(self, top: Path, say: Callable[[str], None]) -> None:
        self.top = top
        self.shop = top / "shop"
        self._say = say
        self._env = _environment(top)
        self._columns = terminal_width() or 1000
        python = "python3" if shutil.which("python3") else sys.executable
        self._check = f"command: {python} -m unittest"

    def run(self) -> JSON:
        """Play it → the ids and states of the tasks. RunnerError when something did not come out as it must."""
        self._repository()
        self._say("\n# A folder becomes a project; its queue lives outside the checkout.")
        self._runner("init", "--yes")
        ids = self._submit()
        self._say(
            "\n# A worker runs them, each agent in a git worktree of its own. It ends with 3: a person is needed."
        )
        self._runner("work", "--drain", "--slots", "2", expect=EXIT_HUMAN)
        self._say("")
        self._runner("queue", "--all")
        tasks = {name: self._task(id) for name, id in ids.items()}
        self._look(tasks)
        self._judge(tasks)
        self._say("\nThat was it: nothing was believed, everything was checked, and nothing got lost.")
        return {
            "folder": str(self.top),
            "ok": True,
            "tasks": [
                {"name": name, "id": task["id"], "status": task["status"], "outcome": task["outcome"]}
                for name, task in tasks.items()
            ],
        }

    # -- the scenes

    def _repository(self) -> None:
        self._say("# A small repository with a bug, and a test that finds it.")
        self.shop.mkdir()
        (self.shop / "cart.py").write_text(CART)
        (self.shop / "test_cart.py").write_text(TEST)
        (self.shop / ".gitignore").write_text("__pycache__/\n.runner/\n")
        self._run("git", "init", "-q", "-b", "main")
        self._run("git", "add", "-A")
        self._run("git", "commit", "-q", "-m", "A cart with a bug")

    def _submit(self) -> dict[str, str]:
        self._say("\n# Three tasks. A script whose file is kept:")
        script = json.dumps({"script": "wc -l *.py > lines.txt"})
        words = ("--type", "run_script", "--payload", script, "--check", "file_exists: lines.txt")
        first = self._queued(*words, "--artifact", "lines.txt")
        self._say(
            "\n# An agent (a scripted one: it costs nothing) that first gets it wrong, with a check that will notice:"
        )
        second = self._queued("--agent", "script", "--check", self._check, WRONG_THEN_RIGHT)
        self._say("\n# And one that edits the test instead of the code, and says it is done:")
        third = self._queued("--agent", "script", "--check", self._check, LIE)
        return {"script": first, "repaired": second, "lie": third}

    def _look(self, tasks: dict[str, JSON]) -> None:
        repaired, lie = tasks["repaired"], tasks["lie"]
        self._say("\n# The second one was red first. The evidence went back to the agent, and its repair was green:")
        self._runner("why", repaired["id"])
        branch = (repaired.get("result") or {}).get("branch")
        if branch:
            self._say("\n# Its work is on a branch; your own checkout was not touched:")
            self._run("git", "log", "--oneline", "--stat", f"main..{branch}")
        self._say("\n# What was kept, with digests:")
        self._runner("artifact", "list")
        self._say(
            "\n# The third one claimed success. Its gate had been sealed before it started, so a person is asked:"
        )
        self._runner("review")
        if lie["status"] == NEEDS_HUMAN:
            self._say("\n# You decide:")
            self._runner("resolve", lie["id"], "failed", "--notes", "it edited the test")

    def _judge(self, tasks: dict[str, JSON]) -> None:
        wanted = {"script": DONE, "repaired": DONE, "lie": NEEDS_HUMAN}
        for name, status in wanted.items():
            task = tasks[name]
            if task["status"] != status:
                summary = (task.get("result") or {}).get("summary", "")
                raise DemoFailed(f"the task '{name}' ({task['id']}) is {task['status']}, not {status}: {summary}")
        if not tasks["script"]["artifacts"]:
            raise DemoFailed("the artifact lines.txt was not kept")
        if len(tasks["repaired"]["history"]) != 2 or not (tasks["repaired"]["result"] or {}).get("branch"):
            raise DemoFailed("the second task was not repaired on a branch")

    # -- running things

    def _queued(self, *words: str) -> str:
        text = self._runner("submit", *words)
        return text.split()[1]

    def _task(self, id: str) -> JSON:
        done = subprocess.run(
            [*_PROGRAM, "show", id, "--format", "json"],
            cwd=self.shop,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoFailed(f"runner show {id} ended with {done.returncode}: {done.stdout}{done.stderr}")
        task: JSON = json.loads(done.stdout)
        return task

    def _runner(self, *words: str, expect: int = 0) -> str:
        return self._run("runner", *words, expect=expect)

    def _run(self, program: str, *words: str, expect: int = 0) -> str:
        """Run a command, shown as a person would have typed it, with what it prints → its output."""
        self._say(f"$ {_typed(program, *words)}")
        argv = [*_PROGRAM, *words] if program == "runner" else [program, *words]
        lines: list[str] = []
        with subprocess.Popen(
            argv,
            cwd=self.shop,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                self._say(cut(line.rstrip("\n"), self._columns))
        if process.returncode != expect:
            raise DemoFailed(f"{program} {words[0]} ended with {process.returncode}, not {expect}")
        return "".join(lines)


class DemoFailed(RunnerError):
    """Something in the demo did not come out as it must."""

    code = "demo_failed"


_PROGRAM: Final = (sys.executable, "-m", "runner")


def _typed(*words: str) -> str:
    """The command line, with quotes where a shell needs them."""
    return " ".join(shlex.quote(word) for word in words)


def _environment(top: Path) -> dict[str, Any]:
    """The person's environment without what would lead out of the demo: other projects, stores, settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER_", "GIT_"))}
    for name in ("state", "config", "cache"):
        (top / name).mkdir(mode=0o700, exist_ok=True)
        env[f"XDG_{name.upper()}_HOME"] = str(top / name)
    for role in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{role}_NAME"] = "Demo"
        env[f"GIT_{role}_EMAIL"] = "demo@example.invalid"
    env["GIT_PAGER"] = "cat"
    env["RUNNER_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return env
