"""Runs one handler in a workspace of its own, and writes small programs that stand for tools which are not here."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

from runner.handlers import HandlerFile
from runner.model import Policy, Step, StepResult
from runner.shipped import shipped
from runner.testing.context import StepContext


class Kit:
    """`run(**payload)` runs the handler `type` in `workspace`; `path` is its PATH, `bin` the first folder of it."""

    def __init__(self, place: Path, type: str) -> None:
        self.type = type
        self.handler = HandlerFile(shipped("handlers") / f"{type}.py", "shipped").load()
        self.place = place
        self.workspace = place / "w"
        self.workspace.mkdir(exist_ok=True)
        self.bin = place / "bin"
        self.bin.mkdir(exist_ok=True)
        self.path = f"{self.bin}:{os.environ['PATH']}"
        self.env: dict[str, str] = {}
        self.calls = 0

    def bare(self) -> None:
        """A machine that has sh, git and Python's own folder, and no other tools."""
        for name in ("sh", "git", "env"):
            for folder in os.environ["PATH"].split(":"):
                if os.access(f"{folder}/{name}", os.X_OK) and not (self.bin / name).exists():
                    (self.bin / name).symlink_to(f"{folder}/{name}")
        self.path = str(self.bin)

    def write(self, name: str, text: str = "") -> Path:
        """A file of the workspace."""
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def tool(self, name: str, python: str) -> Path:
        """A program on PATH: lines of Python with `argv` (its words) and `log` (writes them down)."""
        path = self.bin / name
        head = f"#!{sys.executable} -S\nimport json, os, sys\nargv = sys.argv[1:]\n"
        head += f"open({str(self.place / f'{name}.log')!r}, 'a').write(json.dumps(argv) + chr(10))\n"
        path.write_text(head + python)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def called(self, name: str) -> list[list[str]]:
        """The words that a `tool` was called with, call by call."""
        import json

        log = self.place / f"{name}.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def run(self, policy: Policy | None = None, **payload: Any) -> StepResult:
        """Run it once, as the worker does: the payload is what the model makes of it."""
        self.handler.spec.payload_model.model_validate(payload)
        self.calls += 1
        env = {"PATH": self.path, **self.env}
        with StepContext(self.workspace, self.place / f"attempt{self.calls}", env=env) as context:
            result = self.handler.run_step(Step("main", self.type, payload, policy=policy or Policy()), context)
        assert isinstance(result, StepResult)
        return result

    def question(self, **payload: Any) -> str:
        """What a person is asked, when it can't run."""
        result = self.run(**payload)
        assert result.outcome == "needs_human", result
        return str(result.evidence["question"])
