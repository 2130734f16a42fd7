"""Records what agents do while a workflow runs for real: prompt, message, outcome, cost, and the change as a patch."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.errors import GitError, UsageError
from runner.flowtests.player import plain_prompt
from runner.testing.script_agent import HEADINGS

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from runner.model import Check, Context, Step, StepResult, Verdict

_MESSAGE: Final = ("--format=%B", "-1")


class Recorder:
    """A plugin around agent steps and reviews; `attempts` are what a cassette holds, in the order of their ends.

    `places` are folders that a prompt may name and that are others when it is played: (path, `{name}`).
    """

    def __init__(self, places: Sequence[tuple[str, str]]) -> None:
        self.attempts: list[dict[str, Any]] = []
        self._places = list(places)

    @hookimpl(wrapper=True)
    def run_step(self, step: Step, context: Context) -> Generator[None, StepResult, StepResult]:
        """Around an agent's attempt: the tree before and after."""
        if step.type != "agent_run":
            return (yield)
        top = repository(context.workspace)
        before, head = tree_of(top), _git(top, "rev-parse", "-q", "--verify", "HEAD", fails=True)
        result = yield
        agent = context.agent(step.payload.get("agent"))
        entry = self._entry("run", step, agent.name, self._prompt(context), result.output, context)
        entry |= {
            "outcome": result.outcome,
            "exit_code": result.exit_code,
            "session": result.session,
            "usage": None if result.usage is None else asdict(result.usage),
            "error": _redacted(context, result.evidence.get("error")),
            "question": _redacted(context, result.evidence.get("question")),
            "denied": list(result.evidence.get("denied") or ()),
            "patch": context.redact(patch_between(top, before, tree_of(top))),
            "commit": context.redact(_committed(top, head)),
        }
        self.attempts.append(entry)
        return result

    @hookimpl(wrapper=True)
    def verify(
        self, check: Check, step: Step, result: StepResult, context: Context
    ) -> Generator[None, Verdict, Verdict]:
        """Around a review by an agent: its verdict is what it will say when it is played."""
        verdict = yield
        if check.type == "agent" and verdict.evidence.get("answer"):
            name = str(verdict.evidence["agent"])
            entry = self._entry("review", step, name, "", str(verdict.evidence["answer"]), context)
            self.attempts.append({**entry, "outcome": "ok", "session": verdict.evidence.get("session")})
        return verdict

    def _prompt(self, context: Context) -> str:
        try:
            text = (context.folder / "prompt.md").read_text(encoding="utf-8")
        except OSError:
            return ""  # it was refused before it was asked
        places = [*self._places, (str(context.workspace), "{workspace}"), (context.env["RUNNER_RUN_ID"], "{run}")]
        return plain_prompt(text, HEADINGS, places)

    def _entry(self, kind: str, step: Step, agent: str, prompt: str, message: str, context: Context) -> dict[str, Any]:
        prompt = context.redact(prompt)
        return {
            "kind": kind,
            "step": step.id,
            "agent": agent,
            "prompt_sha256": hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest(),
            "prompt": prompt,
            "message": context.redact(message),
        }


def _redacted(context: Context, value: Any) -> str | None:
    return context.redact(str(value)) if value else None


def repository(folder: Path) -> Path:
    """The top of the git repository that a folder is in; UsageError where there is none."""
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel"))
    except GitError:
        raise UsageError(f"{folder} is in no git repository, so changes can't be recorded", "git init there") from None


def tree_of(top: Path) -> str:
    """The tree of all files as they are, new ones included and ignored ones not; the index stays as it is."""
    index = Path(_git(top, "rev-parse", "--absolute-git-dir")) / "index"
    with tempfile.TemporaryDirectory(prefix="runner-record-") as folder:
        copy = Path(folder) / "index"
        if index.exists():
            copy.write_bytes(index.read_bytes())  # with it git reads again only what changed
        env = {"GIT_INDEX_FILE": str(copy)}
        _git(top, "add", "-A", env=env)
        return _git(top, "write-tree", env=env)


def patch_between(top: Path, before: str, after: str) -> str:
    """What turns one tree into the other, binary files included; "" when they are the same."""
    if before == after:
        return ""
    words = ("diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    return _run(top, (*words, before, after)).decode("utf-8", "surrogateescape")


def _committed(top: Path, head: str) -> str:
    """The message of the last commit that was made since; "" when there is none."""
    now = _git(top, "rev-parse", "-q", "--verify", "HEAD", fails=True)
    return _git(top, "log", *_MESSAGE, now) if now and now != head else ""


def _git(folder: Path, *words: str, env: Mapping[str, str] | None = None, fails: bool = False) -> str:
    try:
        return _run(folder, words, env).decode("utf-8", "surrogateescape").strip()
    except GitError:
        if fails:
            return ""
        raise


def _run(folder: Path, words: Sequence[str], env: Mapping[str, str] | None = None) -> bytes:
    done = subprocess.run(
        ["git", "-c", "core.quotePath=false", *words],
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(f"git {words[0]}: {said[-1] if said else done.returncode}")
    return done.stdout
