"""An agent that does what its prompt says, for tests and the demo: `runner-script-agent [OPTIONS] [PROMPT]`.

The prompt (an argument, else standard input) may hold directives, done in order:

    [[write: PATH <<TEXT]]            a file; a newline is added at its end when there is none
    [[write: PATH <<END\\n…\\nEND]]     the same for a text that has `]]` in it (any word in capitals)
    [[append: PATH <<TEXT]]  [[edit: PATH :: OLD :: NEW]]  [[delete: PATH]]  [[link: PATH -> TARGET]]
    [[run: COMMAND]]                  by sh; its output goes to standard error
    [[commit: MESSAGE]]               everything, with git
    [[say: TEXT]]                     the final message (else "done"; several are joined by lines)
    [[print: TEXT]]  [[stderr: TEXT]]  [[flood: BYTES]]  [[flood: BYTES line]]   (10K, 5M, 1G; `line`: no newline)
    [[sleep: SECONDS]]  [[hang]]  [[deaf]]                (deaf: TERM and INT are ignored from here on)
    [[exit: CODE]]  [[crash]]                             (both without a final message; crash is a signal)
    [[fork-daemon]]  [[fork-daemon: PIDFILE]]             a grandchild in its own session, deaf, without environment
    [[ask: QUESTION]]                 ends here with a question, unless the prompt holds an answer
    [[rate-limit: SECONDS]]  [[auth]]  [[deny: TOOL]]  [[usage: INPUT OUTPUT USD]]
    [[remember: TEXT]]  [[recall]]    for its session, in `.git`; recall says it, and fails in a session without
    [[on-attempt N: DIRECTIVES]]  [[on-repair: DIRECTIVES]]  [[on-first: DIRECTIVES]]    (first: no repair, attempt 1)

Options: `--format script|text`, `--session ID`, `--resume ID`, `--model NAME`, `--read-only` (writing is denied).
Output in the format `script` is a JSON object a line, `{"event": …}`: session {id}, tool {name, exit}, text {text},
denied {tool}, usage {input_tokens, output_tokens, cost_usd}, limit {retry_at}, error {class, message},
ask {question}, daemon {pid}, final {text}. Nothing but the standard library is imported: it starts in 20 ms.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from typing import NoReturn

HEADINGS = ("## What the checks say about your work", "## The attempt before this one", "## An answer to your question")
"""Where the runner's own words begin (`runner.agents.prompt`): no directive is taken from there on."""

_PLAIN = (
    "write append edit delete link run commit say print stderr flood sleep hang deaf exit crash fork-daemon ask recall"
)
_OTHER = "remember rate-limit auth deny usage on-attempt on-repair on-first"
_OPEN = re.compile(rf"\[\[({'|'.join((_PLAIN + ' ' + _OTHER).split())})(?: (\d+))?(:|\]\])")
_WRITING = frozenset("write append edit delete link run commit".split())


def memories() -> str:
    """A folder that sessions are kept in and that is no part of the work: git's own, else one for temporary files."""
    folder = os.getcwd()
    while folder != os.path.dirname(folder):
        git = os.path.join(folder, ".git")
        if os.path.isdir(git):
            return git
        if os.path.isfile(git):  # a worktree's, which says where its own is
            with open(git, encoding="utf-8") as file:
                return file.read().removeprefix("gitdir:").strip()
        folder = os.path.dirname(folder)
    return os.environ.get("TMPDIR", "/tmp")


class Agent:
    """One run of the program."""

    def __init__(self, prompt: str, plain: bool, read_only: bool, session: str) -> None:
        places = [place for heading in HEADINGS if (place := prompt.find(f"\n{heading}\n")) >= 0]
        self.task = prompt[: min(places)] if places else prompt
        self.repair = f"\n{HEADINGS[0]}\n" in prompt
        self.answered = f"\n{HEADINGS[2]}\n" in prompt
        self.attempt = int(os.environ.get("RUNNER_ATTEMPT") or 1)
        self.plain = plain
        self.read_only = read_only
        self.memory = os.path.join(memories(), f"script-agent-{session}")
        self.said: list[str] = []

    def emit(self, event: str, **data: object) -> None:
        if not self.plain:
            out(json.dumps({"event": event, **data}) + "\n")

    def run(self, text: str) -> None:
        for name, number, body in directives(text):
            if self.read_only and name in _WRITING:
                self.emit("denied", tool=name)
                continue
            if name == "on-attempt":
                if int(number or 0) == self.attempt:
                    self.run(body)
                continue
            getattr(self, "do_" + name.replace("-", "_"))(body)
            if name in _WRITING:
                self.emit("tool", name=name)

    def finish(self) -> NoReturn:
        text = "\n".join(self.said) if self.said else "done"
        if self.plain:
            out(text + "\n")
        self.emit("final", text=text)
        sys.exit(0)

    def fail(self, kind: str, message: str, **limit: object) -> NoReturn:
        if limit:
            self.emit("limit", **limit)
        self.emit("error", **{"class": kind, "message": message})
        sys.stderr.write(message + "\n")
        sys.exit(1)

    def do_on_repair(self, body: str) -> None:
        if self.repair:
            self.run(body)

    def do_on_first(self, body: str) -> None:
        if not self.repair and self.attempt == 1:
            self.run(body)

    def do_write(self, body: str, mode: str = "w") -> None:
        path, _, text = body.partition("<<")
        match = re.match(r"([A-Z][A-Z0-9_]*)\n", text)
        if match and text.endswith(f"\n{match[1]}"):
            text = text[match.end() : -len(match[1])]
        else:
            text = text.removeprefix("\n")
        if text and not text.endswith("\n"):
            text += "\n"
        path = path.strip()
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, mode, encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)

    def do_append(self, body: str) -> None:
        self.do_write(body, "a")

    def do_edit(self, body: str) -> None:
        path, old, new = (part[1:] if part[:1] == " " else part for part in body.split("::", 2))
        path, old = path.strip(), old.removesuffix(" ")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if old not in text:
            self.fail("crashed", f"edit: {path} does not contain {old!r}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new, 1))

    def do_delete(self, body: str) -> None:
        os.unlink(body.strip())

    def do_link(self, body: str) -> None:
        path, _, target = body.partition("->")
        os.symlink(target.strip(), path.strip())

    def do_run(self, body: str) -> None:
        actions = [(os.POSIX_SPAWN_DUP2, 2, 1)]
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", body.strip()], os.environ, file_actions=actions)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.emit("tool", name="run", exit=status)

    def do_commit(self, body: str) -> None:
        os.environ["SCRIPT_MESSAGE"] = body.strip()
        who = "-c user.name=script -c user.email=script@example.invalid"
        self.do_run(f'git add -A && git {who} commit -q -m "$SCRIPT_MESSAGE"')

    def do_say(self, body: str) -> None:
        self.said.append(body.strip())

    def do_remember(self, body: str) -> None:
        with open(self.memory, "w", encoding="utf-8") as file:
            file.write(body.strip())

    def do_recall(self, body: str) -> None:
        with open(self.memory, encoding="utf-8") as file:
            self.said.append(file.read())

    def do_print(self, body: str) -> None:
        out(body.removeprefix(" ") + "\n")

    def do_stderr(self, body: str) -> None:
        sys.stderr.write(body.removeprefix(" ") + "\n")
        sys.stderr.flush()

    def do_flood(self, body: str) -> None:
        words = body.split()
        size = int(float(words[0].rstrip("KMG")) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(words[0][-1], 1))
        line = b"x" * 128 if "line" in words else b"x" * 127 + b"\n"
        block = line * 8192
        while size > 0:
            size -= os.write(1, block[: min(size, len(block))])
        os.write(1, b"\n")

    def do_sleep(self, body: str) -> None:
        time.sleep(float(body))

    def do_hang(self, body: str) -> None:
        while True:
            time.sleep(3600)

    def do_deaf(self, body: str) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def do_exit(self, body: str) -> None:
        sys.exit(int(body))

    def do_crash(self, body: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_fork_daemon(self, body: str) -> None:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()
            grandchild = os.fork()
            if grandchild:
                os.write(write, str(grandchild).encode())
                os._exit(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            null = os.open(os.devnull, os.O_RDWR)
            for handle in (0, 1, 2):
                os.dup2(null, handle)
            os.execve("/bin/sleep", ["sleep", "3600"], {})
        os.waitpid(child, 0)
        pid = os.read(read, 32).decode()
        os.close(read)
        os.close(write)
        self.emit("daemon", pid=int(pid))
        if body.strip():
            self.do_write(f"{body.strip()} <<{pid}")

    def do_ask(self, body: str) -> None:
        if not self.answered:
            self.emit("ask", question=body.strip())
            self.said = [body.strip()]
            self.finish()

    def do_rate_limit(self, body: str) -> None:
        self.fail("rate_limited", "rate limit reached", retry_at=time.time() + float(body or 60))

    def do_auth(self, body: str) -> None:
        self.fail("auth", "not logged in")

    def do_deny(self, body: str) -> None:
        self.emit("denied", tool=body.strip())

    def do_usage(self, body: str) -> None:
        given, made, usd = body.split()
        self.emit("usage", input_tokens=int(given), output_tokens=int(made), cost_usd=float(usd))


def directives(text: str) -> list[tuple[str, str, str]]:
    """The directives of a text at its outermost level, in order: (name, number, body)."""
    found = []
    place = 0
    while match := _OPEN.search(text, place):
        name, number, end = match.groups()
        if end == "]]":
            found.append((name, number or "", ""))
            place = match.end()
            continue
        close = _closing(text, match.end(), name)
        found.append((name, number or "", text[match.end() : close]))
        place = close + 2
    return found


def besides(text: str) -> str:
    """What a text says besides its directives."""
    parts = []
    place = 0
    while match := _OPEN.search(text, place):
        parts.append(text[place : match.start()])
        place = match.end() if match[3] == "]]" else _closing(text, match.end(), match[1]) + 2
    return "".join([*parts, text[place:]]).strip()


def _closing(text: str, start: int, name: str) -> int:
    """Where the `]]` of a directive stands: after a word in capitals that closes its text, else the one that pairs."""
    here = re.compile(r"[^\n\[\]]*<<([A-Z][A-Z0-9_]*)\n").match(text, start)
    if name in ("write", "append") and here:
        end = text.find(f"\n{here[1]}]]", here.end() - 1)
        if end >= 0:
            return end + 1 + len(here[1])
    place = start
    while True:
        close = text.find("]]", place)
        if close < 0:
            return len(text)
        inner = _OPEN.search(text, place, close + 2)
        if inner is None:
            return close
        place = inner.end() if inner[3] == "]]" else _closing(text, inner.end(), inner[1]) + 2


def out(text: str) -> None:
    """Write to standard output, all of it, at once."""
    data = text.encode("utf-8", "surrogateescape")
    while data:
        data = data[os.write(1, data) :]


def main() -> None:
    """Run the program."""
    words = sys.argv[1:]
    given: dict[str, str] = {}
    while words and words[0].startswith("--"):
        name = words.pop(0)
        given[name] = "" if name == "--read-only" or not words else words.pop(0)
    prompt = words[0] if words else sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    session = given.get("--session") or given.get("--resume") or "script"
    agent = Agent(prompt, given.get("--format") == "text", "--read-only" in given, session)
    agent.emit("session", id=session)
    try:
        agent.run(agent.task)
    except (OSError, ValueError) as error:
        agent.fail("crashed", f"{type(error).__name__}: {error}")
    agent.finish()


if __name__ == "__main__":
    main()
