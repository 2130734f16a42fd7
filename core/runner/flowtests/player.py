"""The program that stands in for every agent in a workflow test: it does what the case says for its step.

`player.py --stage DIR --agent NAME [--session ID|--resume ID] [--read-only] [--model M]`, the prompt on standard input.
`DIR/plays.json` says how agents are played; `DIR/own/` what step is being run by its own agent; `DIR/counts/` how
often each was asked. What it prints is what the agent `script` prints. Only the standard library is imported.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
from typing import Any, NoReturn

REDACTED = "[redacted]"
"""What a secret is in a cassette."""
_ROUND = re.compile(r"\[[^]]*\](?=/|$)")
EXITS = {"timeout": 91, "stalled": 92, "needs_human": 93, "budget": 94, "no_op": 95}
"""Exit codes by which a replayed attempt comes to an outcome that has no event of its own."""


def bare(address: str) -> str:
    """The path of a step without the rounds of its loops: `each[docs/a.md]/fix` → `each/fix`."""
    return _ROUND.sub("", address)


def fits(key: str, address: str) -> bool:
    """Whether a key of the case means a step: its address, or its path for all rounds of a loop; or a glob of these."""
    if key in (address, bare(address)):
        return True
    if "*" not in key and "?" not in key:
        return False
    glob = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in key)
    return re.fullmatch(glob, address) is not None or re.fullmatch(glob, bare(address)) is not None


def choose(agents: dict[str, Any], step: str, names: list[str], own: str) -> str | None:
    """The key by which an agent is played, or None.

    `names` are the agent's names, `own`: "yes" when it is the step's own agent, "repair" when another repairs the
    step, "" when it is asked about the step (a reviewer): the step's own texts are not for that one.
    """
    steps = [key for key in agents if "@" not in key and key not in names and fits(key, step)]
    steps.sort(key=lambda key: ("*" in key or "?" in key, key != step, -len(key)))
    pairs = [key for key in agents if key.rpartition("@")[2] in names and fits(key.rpartition("@")[0], step)]
    named = [key for key in agents if key in names]
    order = [*steps, *pairs, *named] if own == "yes" else [*pairs, *named, *(steps if own else [])]
    return order[0] if order else None


class Stage:
    """The folder of a case as the player sees it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        with open(os.path.join(folder, "plays.json"), encoding="utf-8") as file:
            self.data: dict[str, Any] = json.load(file)

    def own(self, step: str) -> str:
        """What `choose` takes of it: written by the process that runs the case, before it runs the step."""
        try:
            with open(os.path.join(self.folder, "own", name_of(step)), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def count(self, who: str) -> int:
        """How often it was asked before."""
        path = os.path.join(self.folder, "counts", name_of(who))
        with open(path, "a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = len(file.read())
            file.write("x")
        return before

    def trouble(self, sentence: str, *, warning: bool = False) -> None:
        """What is wrong with the case itself, for the report."""
        with open(os.path.join(self.folder, "troubles.jsonl"), "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps({"message": sentence, "warning": warning}) + "\n")

    def names(self, step: str, agent: str, own: str) -> list[str]:
        """What the agent is called: by the installation, and by the workflow."""
        called: dict[str, list[str]] = self.data["called"]
        alias: dict[str, str] = self.data["alias"]
        mine = called.get(bare(step), []) if own == "yes" else []
        return [agent, *mine, *(name for name, cli in alias.items() if cli == agent)]


def name_of(text: str) -> str:
    """The name of a file that stands for any text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _program(name: str) -> Any:
    """The scripted agent's module, by its file: nothing else is imported."""
    import importlib.util

    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "testing", f"{name}.py")
    spec = importlib.util.spec_from_file_location("script_agent", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Player:
    """One call of the program."""

    def __init__(self, given: dict[str, str], prompt: str) -> None:
        self.stage = Stage(given["stage"])
        self.agent = given["agent"]
        self.session = given.get("session") or given.get("resume") or "player"
        self.resumed = "resume" in given
        self.read_only = "read-only" in given
        self.prompt = prompt
        self.step = os.environ.get("RUNNER_STEP", "")
        self.script = _program("script_agent")

    def play(self) -> NoReturn:
        """Do it, and end."""
        own = self.stage.own(self.step)
        agents: dict[str, Any] = self.stage.data["agents"]
        key = choose(agents, self.step, self.stage.names(self.step, self.agent, own), own)
        if key is None:
            self.refuse(self._missing(own))
        script = agents[key]
        if script.get("cassette") is not None:
            self._replay(script, own)
        who = f"{key} {self.step if '[' in key else bare(self.step)} {own == ''}"
        number = self.stage.count(who)
        plays = script["plays"]
        if script["always"]:
            number = 0
        if number >= len(plays):
            times = "once" if len(plays) == 1 else f"{len(plays)} times"
            self.refuse(
                f"step '{self.step}' asks agent '{self.agent}' once more, and {script['place']} has it played {times}:"
                " add another text to the list"
            )
        self._act(plays[number], number + 1)

    def _missing(self, own: str) -> str:
        key = self.step if own else f"{bare(self.step)}@{self.agent}"
        what = f"asks agent '{self.agent}'" if own else f"has agent '{self.agent}' look at it"
        return (
            f"step '{self.step}' {what}, and the case does not say what that does: add under `agents:` of"
            f' {self.stage.data["case"]}, for example `{key}: "[[write: notes.md <<Done]] done"`'
        )

    def refuse(self, sentence: str) -> NoReturn:
        """The case itself is wrong."""
        self.stage.trouble(sentence)
        self._agent("").fail("crashed", sentence)
        sys.exit(1)

    def _agent(self, text: str) -> Any:
        """The scripted agent with a text of ours, and the runner's own words of the real prompt after it."""
        found = (self.prompt.find(f"\n{heading}\n") for heading in self.script.HEADINGS)
        places = [place for place in found if place >= 0]
        rest = self.prompt[min(places) :] if places else ""
        agent = self.script.Agent(f"{text}\n{rest}", False, self.read_only, self.session)
        agent.task = text
        return agent

    def _act(self, play: dict[str, Any], attempt: int) -> NoReturn:
        say = play.get("say", "")
        agent = self._agent(say)
        agent.attempt = attempt
        agent.emit("session", id=self.session)
        try:
            self._files(agent, play)
            agent.run(say)
        except (OSError, ValueError) as error:
            agent.fail("crashed", f"{type(error).__name__}: {error}")
        if play.get("exit") is not None:
            sys.exit(int(play["exit"]))
        rest = self.script.besides(say)
        if rest:
            agent.said.append(rest)
        agent.finish()
        sys.exit(0)

    def _files(self, agent: Any, play: dict[str, Any]) -> None:
        for path, text in (play.get("write") or {}).items():
            if self.read_only:
                agent.emit("denied", tool="write")
                continue
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
            agent.emit("tool", name="write")
        for path in play.get("delete") or ():
            agent.do_delete(path)
        if play.get("run"):
            agent.do_run(play["run"])

    # Cassettes

    def _replay(self, script: dict[str, Any], own: str) -> NoReturn:
        name = script["cassette"]
        kind = "run" if own else "review"
        entries = [
            one
            for one in self.stage.data["cassettes"][name]["attempts"]
            if one["step"] == self.step and one["kind"] == kind and one["agent"] == self.agent
        ]
        number = self.stage.count(f"{name} {kind} {self.step} {self.agent}")
        if number >= len(entries):
            self.refuse(
                f"the cassette {name} has {len(entries)} attempts of agent '{self.agent}' at step '{self.step}', and"
                f" this is number {number + 1}: record it again, or play the step by a text"
            )
        entry = entries[number]
        if kind == "run":
            self._compare(script, entry, number + 1)
        agent = self._agent("")
        agent.emit("session", id=entry.get("session") or self.session)
        self._apply(entry)
        self._end(agent, entry)

    def _compare(self, script: dict[str, Any], entry: dict[str, Any], number: int) -> None:
        now = self.plain_prompt()
        if hashlib.sha256(now.encode("utf-8", "surrogatepass")).hexdigest() == entry["prompt_sha256"]:
            return
        if REDACTED in entry["prompt"] and _like(entry["prompt"], now):
            return
        sentence = (
            f"attempt {number} of step '{self.step}' has another prompt than in the cassette {script['cassette']}: "
            f"{_difference(entry['prompt'], now)}"
        )
        if script["match"] == "loose":
            self.stage.trouble(sentence, warning=True)
        else:
            self.refuse(f"{sentence}; record it again, or write `match: loose`")

    def plain_prompt(self) -> str:
        """The prompt as cassettes compare it."""
        places = [(value, name) for value, name in self.stage.data["places"]]
        places += [(os.getcwd(), "{workspace}"), (os.environ.get("RUNNER_RUN_ID", ""), "{run}")]
        return plain_prompt(self.prompt, self.script.HEADINGS, places)

    def _apply(self, entry: dict[str, Any]) -> None:
        patch = entry.get("patch") or ""
        if patch:
            done = subprocess.run(
                ["git", "apply", "--binary", "--whitespace=nowarn", "-"],
                cwd=_git("rev-parse", "--show-toplevel") or ".",
                input=patch.encode("utf-8", "surrogateescape"),
                capture_output=True,
                check=False,
            )
            if done.returncode:
                said = done.stderr.decode("utf-8", "replace").strip().splitlines()
                self.refuse(
                    f"the recorded change of step '{self.step}' does not fit these files: {said[-1] if said else '?'};"
                    " start the case with the files of the recording, or record it again"
                )
        if entry.get("commit"):
            _git("add", "-A")
            _git("commit", "-q", "--allow-empty", "-m", entry["commit"])

    def _end(self, agent: Any, entry: dict[str, Any]) -> NoReturn:
        usage = entry.get("usage") or {}
        counts = {key: value for key, value in usage.items() if value is not None and key != "turns"}
        if counts:
            agent.emit("usage", **counts)
        outcome, error = entry["outcome"], entry.get("error") or entry["outcome"]
        if outcome == "ok":
            agent.said = [entry["message"]]
            agent.finish()
        if outcome == "needs_human" and entry.get("question"):
            agent.emit("ask", question=entry["question"])
            agent.said = [entry["message"] or entry["question"]]
            agent.finish()
        if outcome == "awaiting_permission":
            for tool in entry.get("denied") or ["a tool"]:
                agent.emit("denied", tool=tool)
            agent.finish()
        if outcome == "rate_limited":
            agent.do_rate_limit("3600")
        if outcome == "auth":
            agent.do_auth("")
        sys.stderr.write(error + "\n")
        sys.exit(EXITS.get(outcome, entry.get("exit_code") or 1))


def plain_prompt(prompt: str, headings: tuple[str, ...], places: list[tuple[str, str]]) -> str:
    """A prompt without what differs each time: the runner's own words after the task, and values with their names."""
    found = [place for heading in headings if (place := prompt.find(f"\n{heading}\n")) >= 0]
    text = prompt[: min(found)] if found else prompt
    for value, name in sorted(places, key=lambda pair: -len(pair[0])):
        if len(value) > 3:
            text = text.replace(value, name)
    return text.strip()


def _like(recorded: str, now: str) -> bool:
    """Whether a prompt is the recorded one, whatever the secrets in it are."""
    parts = [re.escape(part) for part in recorded.split(REDACTED)]
    return re.fullmatch(".*?".join(parts), now, re.DOTALL) is not None


def _difference(before: str, now: str) -> str:
    """The first line that differs."""
    old, new = before.splitlines(), now.splitlines()
    for number in range(max(len(old), len(new))):
        was, came = (lines[number] if number < len(lines) else "(nothing)" for lines in (old, new))
        if was != came:
            return f"line {number + 1} was '{was[:120]}' and is '{came[:120]}'"
    return "it was redacted, or recorded in another way"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> NoReturn:
    """Run the program."""
    words, given = sys.argv[1:], {}
    while words and words[0].startswith("--"):
        name = words.pop(0)[2:]
        given[name] = "" if name == "read-only" or not words else words.pop(0)
    Player(given, sys.stdin.buffer.read().decode("utf-8", "surrogateescape")).play()


if __name__ == "__main__":
    main()
