"""Tries agents out in a scratch repository: installed, version, logged in, answers, writes a file, resumes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from runner.agents.launch import MissingVariable, plan
from runner.agents.outcome import outcome
from runner.agents.reader import make_reader
from runner.errors import RunnerError
from runner.keeper import Keeper, KeeperDied, StartError
from runner.logtext import tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.agents.launch import Launch
    from runner.agents.outcome import Decision
    from runner.agents.reader import Summary
    from runner.keeper import Redaction
    from runner.model import JSON, Agent, ProcessResult

CHECKS: Final = ("installed", "version", "logged_in", "answers", "writes", "resumes")
"""What is tried, in this order; what follows a failure is not."""
QUICK: Final = ("installed", "version")
"""What costs no tokens."""

_VERSION_SECONDS = 30.0
_GRACE = 3.0
_ANSWER = """Reply with exactly this word and nothing else: {word}
Use no tools. Remember the word: I will ask for it.

(For a scripted agent: [[say: {word}]] [[remember: {word}]])"""
_WRITE = """Create the file {name} in the current directory. Its content is this one line:
{word}
Do nothing else.

(For a scripted agent: [[write: {name} <<{word}]])"""
_RESUME = """Which word did I ask you for in my message before this one? Reply with that word and nothing else.

(For a scripted agent: [[recall]])"""


@dataclass(frozen=True, slots=True)
class Row:
    """One check of an agent: `state` ok, failed or skipped, what was seen, what to do about it, where its logs are."""

    check: str
    state: Literal["ok", "failed", "skipped"]
    text: str = ""
    fix: str = ""
    seconds: float = 0.0
    folder: str = ""


@dataclass(slots=True)
class Tested:
    """An agent and its rows, one for each check. `ok`: none failed."""

    agent: Agent
    folder: Path
    rows: list[Row] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not any(row.state == "failed" for row in self.rows)

    def to_json(self) -> JSON:
        """The documented form."""
        return {
            "agent": self.agent.name,
            "program": self.agent.program,
            "ok": self.ok,
            "folder": str(self.folder),
            "checks": [{name: getattr(row, name) for name in Row.__slots__} for row in self.rows],
        }


class Smoke:
    """Tests agents side by side, at most `width` at once, each under a keeper of its own.

    `timeout` is seconds for one call. `told` hears of every row as it comes (any thread). Whatever
    ends `run`, Ctrl-C included, nothing that it started is left when it returns.
    """

    def __init__(
        self,
        folder: Path,
        redaction: Redaction,
        *,
        timeout: float,
        quick: bool = False,
        width: int = 4,
        told: Callable[[Agent, Row], None] = lambda agent, row: None,
    ) -> None:
        self._folder = folder
        self._redaction = redaction
        self._timeout = timeout
        self._quick = quick
        self._width = width
        self._told = told
        self._lock = threading.Lock()
        self._keepers: list[Keeper] = []
        self._over = False
        self._errors: list[BaseException] = []

    def run(self, agents: list[Agent]) -> list[Tested]:
        """Test them → in the order given."""
        tested = [Tested(agent, self._folder / agent.name) for agent in agents]
        waiting = list(tested)
        threads = [
            threading.Thread(target=self._work, args=(waiting,), daemon=True)
            for _ in range(min(self._width, len(agents)))
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self._end(threads)
        if self._errors:
            raise self._errors[0]
        return tested

    def _end(self, threads: list[threading.Thread]) -> None:
        """End what still runs, also what begins just now."""
        self._over = True
        for thread in threads:
            while thread.is_alive():
                with self._lock:
                    left = list(self._keepers)
                for keeper in left:
                    keeper.end()
                thread.join(0.1)

    def _work(self, waiting: list[Tested]) -> None:
        while True:
            with self._lock:
                if self._over or not waiting:
                    return
                one = waiting.pop(0)
                keeper = Keeper(f"test-{one.agent.name}", self._redaction, _GRACE)
                self._keepers.append(keeper)
            try:
                _One(one, keeper, self._timeout, self._quick, self._tell).run()
            except KeeperDied as error:
                if not self._over:
                    self._errors.append(error)
            except BaseException as error:
                self._errors.append(error)
            finally:
                keeper.close()
                with self._lock:
                    self._keepers.remove(keeper)

    def _tell(self, agent: Agent, row: Row) -> bool:
        """Tell of a row → whether to go on."""
        if not self._over:
            self._told(agent, row)
        return not self._over


class _One:
    """The checks of one agent, in a repository of its own."""

    def __init__(
        self, tested: Tested, keeper: Keeper, timeout: float, quick: bool, tell: Callable[[Agent, Row], bool]
    ) -> None:
        self._tested = tested
        self._agent = tested.agent
        self._keeper = keeper
        self._timeout = timeout
        self._names = QUICK if quick else CHECKS
        self._tell = tell
        self._repository = tested.folder / "repository"
        self._word = f"pelican-{secrets.token_hex(3)}"
        self._program: str | None = None
        self._session: str | None = None
        self._answered: tuple[Decision, Summary, str] | RunnerError | None = None

    def run(self) -> None:
        """All rows; after a failure they are skipped."""
        go_on = True
        for name in self._names:
            if not go_on:
                self._tested.rows.append(Row(name, "skipped"))
                continue
            began = time.monotonic()
            row = getattr(self, f"_{name}")()
            row = Row(row.check, row.state, row.text, row.fix, round(time.monotonic() - began, 3), row.folder)
            self._tested.rows.append(row)
            go_on = self._tell(self._agent, row) and row.state != "failed"

    def _installed(self) -> Row:
        self._program = shutil.which(self._agent.program)
        if self._program is None:
            fix = self._agent.install or f"put '{self._agent.program}' on the PATH"
            return Row("installed", "failed", f"the program '{self._agent.program}' is not on the PATH", fix)
        return Row("installed", "ok", self._program)

    def _version(self) -> Row:
        if not self._agent.version:
            return Row("version", "skipped", "it can't say")
        folder = self._logs("version")
        again = f"install it again: {self._agent.install}" if self._agent.install else f"see {folder}"
        try:
            done = self._call([str(self._program), *self._agent.version], folder, min(self._timeout, _VERSION_SECONDS))
        except StartError as error:
            return Row("version", "failed", error.message, again, folder=str(folder))
        said = f"{tail(done.stdout)}\n{tail(done.stderr)}".strip()
        line = " ".join(said.splitlines()[0].split())[:100] if said else ""
        if done.limit is not None:
            text = f"`{' '.join(self._agent.version)}` did not end within {done.seconds:.0f} s"
            return Row("version", "failed", text, again, folder=str(folder))
        if done.exit_code != 0:
            text = f"`{' '.join(self._agent.version)}` exited with {done.exit_code}{f': {line}' if line else ''}"
            return Row("version", "failed", text, again, folder=str(folder))
        found = re.search(r"\d+(?:\.\d+)+\S*", said)
        return Row("version", "ok", found[0].rstrip(",;)") if found else line, folder=str(folder))

    def _logged_in(self) -> Row:
        """Known from the first answer: no CLI has another way to tell that is true of its provider."""
        self._make_repository()
        try:
            self._answered = self._ask("answers", _ANSWER.format(word=self._word))
        except MissingVariable as error:
            return Row("logged_in", "failed", error.message, error.hint)
        except RunnerError as error:
            self._answered = error
            return Row("logged_in", "skipped", "not known")
        decision, _, folder = self._answered
        if decision.outcome == "auth":
            fix = self._agent.login or f"log in to '{self._agent.program}'"
            return Row("logged_in", "failed", decision.why, fix, folder=folder)
        if decision.outcome == "ok":
            return Row("logged_in", "ok", folder=folder)
        return Row("logged_in", "skipped", "not known", folder=folder)

    def _answers(self) -> Row:
        assert self._answered is not None
        if isinstance(self._answered, RunnerError):
            return Row("answers", "failed", self._answered.message, self._answered.hint)
        decision, summary, folder = self._answered
        if decision.outcome != "ok":
            return self._failed("answers", decision, folder)
        if self._word not in summary.text:
            text = (
                f"it was to say '{self._word}', and said: {_short(summary.text)}" if summary.text else "it said nothing"
            )
            return Row("answers", "failed", text, f"see what it printed: {folder}", folder=folder)
        self._session = summary.session or self._session
        return Row("answers", "ok", folder=folder)

    def _writes(self) -> Row:
        if self._agent.permission == "read-only":
            return Row("writes", "skipped", "its permission is read-only")
        name, session = "runner-test.txt", self._session
        try:
            decision, _, folder = self._ask("writes", _WRITE.format(name=name, word=self._word))
        except RunnerError as error:
            return Row("writes", "failed", error.message, error.hint)
        self._session = session
        if decision.outcome != "ok":
            return self._failed("writes", decision, folder)
        where = f"agents.{self._agent.name}.permissions"
        try:
            text = (self._repository / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            said = "it says that it is done, but the file is not there"
            return Row("writes", "failed", said, f"look at {where} in runner.yaml, and at {folder}", folder=folder)
        if self._word not in text:
            return Row("writes", "failed", f"the file holds {_short(text)!r}", f"see {folder}", folder=folder)
        return Row("writes", "ok", folder=folder)

    def _resumes(self) -> Row:
        if not self._agent.resume:
            return Row("resumes", "skipped", "it has no sessions")
        fix = f"correct agents.{self._agent.name}.resume in runner.yaml"
        if self._session is None:
            return Row("resumes", "failed", "it told no session's id", fix)
        try:
            decision, summary, folder = self._ask("resumes", _RESUME, self._session)
        except RunnerError as error:
            return Row("resumes", "failed", error.message, error.hint)
        if decision.outcome != "ok":
            return self._failed("resumes", decision, folder)
        if self._word not in summary.text:
            text = f"it went on without its memory; it says: {_short(summary.text)}"
            return Row("resumes", "failed", text, f"{fix}; see {folder}", folder=folder)
        return Row("resumes", "ok", folder=folder)

    def _failed(self, check: str, decision: Decision, folder: str) -> Row:
        """A row for a call that did not come to an end that is good, with what a person can do."""
        fixes = {
            "rate_limited": "wait until its limit is over, then test again",
            "auth": self._agent.login or f"log in to '{self._agent.program}'",
            "timeout": f"give it longer with --timeout, or see where it hangs: {folder}",
            "stalled": f"see where it hangs: {folder}",
            "awaiting_permission": f"look at agents.{self._agent.name}.permissions in runner.yaml",
        }
        text = decision.why or decision.outcome
        return Row(check, "failed", text, fixes.get(decision.outcome, f"see its logs: {folder}"), folder=folder)

    def _ask(self, name: str, prompt: str, session: str | None = None) -> tuple[Decision, Summary, str]:
        """One call of the agent → what it came to, what it said, where its logs are."""
        folder = self._logs(name)
        (folder / "prompt.md").write_text(prompt + "\n", encoding="utf-8")
        launch = plan(self._agent, prompt=prompt, cwd=self._repository, env=os.environ, session=session)
        ear = _Ear(self._agent, self._keeper)
        done = self._call([str(self._program), *launch.argv[1:]], folder, self._timeout, launch, ear)
        summary = ear.close()
        decision = outcome(done.exit_code, summary, done.limit, agent=self._agent, stderr=tail(done.stderr))
        self._session = summary.session or launch.session
        return decision, summary, str(folder)

    def _call(
        self, argv: list[str], folder: Path, timeout: float, launch: Launch | None = None, ear: _Ear | None = None
    ) -> ProcessResult:
        agent = self._agent
        return self._keeper.run(
            argv,
            cwd=self._repository if launch is not None else folder,
            env=launch.env if launch is not None else os.environ,
            stdin=launch.stdin if launch is not None else None,
            stdout=folder / "stdout.log",
            stderr=folder / "stderr.log",
            timeout=timeout,
            silence=agent.silence,
            first_output=agent.first_output,
            max_output=agent.max_output,
            on_output=ear.hear if ear is not None else None,
        )

    def _logs(self, name: str) -> Path:
        folder = self._tested.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _make_repository(self) -> None:
        """A repository with one commit: agents differ in what they do outside of one."""
        self._repository.mkdir(parents=True)
        (self._repository / "README.md").write_text("A scratch repository of `runner test`.\n", encoding="utf-8")
        who = ("-c", "user.name=runner", "-c", "user.email=runner@example.invalid", "-c", "commit.gpgsign=false")
        for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "Start")):
            folder = self._logs("git")
            done = self._keeper.run(
                ["git", *words],
                cwd=self._repository,
                env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
                stdin=None,
                stdout=folder / "stdout.log",
                stderr=folder / "stderr.log",
                timeout=60.0,
            )
            if done.exit_code != 0:
                said = " ".join(tail(done.stderr).split())[-300:]
                raise RunnerError(f"git {words[0]} failed in {self._repository}: {said}", "see: runner doctor")


class _Ear:
    """Feeds the reader; ends an agent that stays although it has said its last word."""

    def __init__(self, agent: Agent, keeper: Keeper) -> None:
        self._reader = make_reader(agent)
        self._linger = agent.linger
        self._keeper = keeper
        self._timer: threading.Timer | None = None

    def hear(self, data: bytes) -> None:
        self._take(self._reader.feed(data))

    def _take(self, events: list[Any]) -> None:
        for event in events:
            self._stop()
            if event.kind == "final" and self._linger is not None:
                self._timer = threading.Timer(self._linger, self._keeper.end)
                self._timer.daemon = True
                self._timer.start()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> Summary:
        self._linger = None
        self._stop()
        self._take(self._reader.close())
        return self._reader.summary()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:119]}…"
