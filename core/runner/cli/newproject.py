"""What `runner init` finds in a folder, what it asks, and the runner.yaml that comes of the answers."""

from __future__ import annotations

import json
import os
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runner.app import App

SCHEMA: Final = ".runner/schema/config.json"
"""Where the schema of runner.yaml is written, for editors; relative to the project."""

_HEAD: Final = f"""\
# yaml-language-server: $schema={SCHEMA}
# Settings of this project. Every line is optional; `runner config` shows what holds and why.
"""

_REST: Final = """\
# worker:
#   slots: 2             # tasks that run at once
# routes:
#   - match: {type: ios_build}
#     machine: mac-mini
# redact:
#   - 'MYCO-[0-9a-f]{32}'
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A folder as it is: in a git repository or not, the agents on PATH, how its tests are probably run."""

    repository: bool
    agents: tuple[str, ...]
    default: str
    check: str


@dataclass(frozen=True, slots=True)
class Answers:
    """The agent of tasks that name none ("": leave it), and the command that checks an agent's work ("": none)."""

    agent: str = ""
    check: str = ""


def look(root: Path, app: App) -> Found:
    """What there is in `root` and on this machine."""
    from runner.offers import installed

    # One that tells no person how to get it is not for people: it comes with the program.
    agents = tuple(name for name, agent in sorted(app.agents.items()) if agent.install and installed(agent))
    default = app.config.defaults.agent
    if agents and default not in agents:
        default = agents[0]
    places = (root, *root.parents)
    return Found(any((place / ".git").exists() for place in places), agents, default, guess_check(root))


def unasked(found: Found, app: App) -> Answers:
    """The answers of `--yes`: the agent that is installed, where the default one is not; no check."""
    return Answers(found.default if found.default != app.config.defaults.agent else "")


def ask(found: Found, app: App, prompt: Callable[..., Any], talk: Callable[[str], None]) -> Answers:
    """Ask a person. `prompt` is that of click."""
    here = f"installed here: {', '.join(found.agents)}" if found.agents else "none of them is installed here"
    talk(textwrap.fill(f"Agents that are known: {', '.join(sorted(app.agents))} ({here})", 79))
    while (agent := prompt("Agent of tasks that name none", default=found.default, err=True).strip()) not in app.agents:
        talk(f"there is no agent '{agent}'")
    talk("A command that must succeed after an agent's work; '-' for none")
    check = prompt("Check", default=found.check or "-", err=True).strip()
    return Answers("" if agent == app.config.defaults.agent else agent, "" if check == "-" else check)


def settings(found: Found, answers: Answers) -> str:
    """The text of runner.yaml: the answers as settings, what else there is as comments."""
    off = "" if answers.agent else "# "
    lines = [f"{off}defaults:", f"{off}  agent: {answers.agent or found.default}        # of a task that names none"]
    lines.append("#   timeout: 30m         # wall clock of one attempt")
    off = "" if answers.check else "# "
    check = json.dumps(f"command: {answers.check or found.check or 'make test'}", ensure_ascii=False)
    lines += [f"{off}types:", f"{off}  agent_run:", f"{off}    checks: [{check}]   # what must hold after an agent"]
    return _HEAD + "\n".join(lines) + "\n" + _REST


def schema_text(app: App) -> str:
    """The schema of runner.yaml with the names that are known without the project's own code."""
    from runner.cli.schemas import file_schema

    return json.dumps(file_schema("config", app), indent=1) + "\n"


def refers_to_schema(root: Path) -> bool:
    """Whether the runner.yaml that is there names our schema file."""
    try:
        with open(root / "runner.yaml", encoding="utf-8", errors="replace") as file:
            return SCHEMA in file.readline()
    except OSError:
        return False


def guess_check(root: Path) -> str:
    """The command that probably runs the tests of what is in the folder; "" when nothing tells."""
    return next((command for probe in (_python, _node, _others) if (command := probe(root))), "")


def _python(root: Path) -> str:
    words = "".join(_read(root / name) for name in ("pyproject.toml", "setup.cfg", "tox.ini", "requirements-dev.txt"))
    if "pytest" in words or any((root / name).is_file() for name in ("pytest.ini", "conftest.py", "tests/conftest.py")):
        return "pytest -q"
    tests = [name for folder in (root, root / "tests") for name in _names(folder) if re.fullmatch(r"test_.*\.py", name)]
    return "python3 -m unittest" if tests else ""


def _node(root: Path) -> str:
    try:
        scripts = json.loads(_read(root / "package.json") or "{}").get("scripts", {})
        test = scripts.get("test", "")
    except (ValueError, AttributeError):
        return ""
    if not isinstance(test, str) or not test or "no test specified" in test:
        return ""
    locks = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lockb": "bun run", "bun.lock": "bun run"}
    return f"{next((tool for lock, tool in locks.items() if (root / lock).exists()), 'npm')} test"


def _others(root: Path) -> str:
    for name, command in (
        ("Cargo.toml", "cargo test"),
        ("go.mod", "go test ./..."),
        ("gradlew", "./gradlew test"),
        ("pom.xml", "mvn -q test"),
        ("mix.exs", "mix test"),
        ("Package.swift", "swift test"),
        (".rspec", "bundle exec rspec"),
    ):
        if (root / name).exists():
            return command
    return "make test" if re.search(r"^test\s*:", _read(root / "Makefile"), re.MULTILINE) else ""


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1_000_000)
    except OSError:
        return ""


def _names(folder: Path) -> Sequence[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return ()
