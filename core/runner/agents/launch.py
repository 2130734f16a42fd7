"""From an agent's description to the words, environment and input of one process."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.model import Agent, Permission

_LONGEST: Final = 128 * 1024 - 1
"""Bytes that Linux takes as one argument."""

_VARIABLE: Final = re.compile(r"(\$\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\{(model|session|cwd)\}")


class MissingVariable(UsageError):
    """The agent needs an environment variable that is not set here: something for a person to put right."""

    code = "missing_variable"


@dataclass(frozen=True, slots=True)
class Launch:
    """One process of an agent: what to run and how. `session` is the id it will have, when we choose it.

    `stripped` are names of variables that were taken out of the environment, `set` those put in.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdin: bytes
    cwd: Path
    session: str | None = None
    stripped: tuple[str, ...] = ()
    set: tuple[str, ...] = ()


def plan(
    agent: Agent,
    *,
    prompt: str,
    cwd: Path,
    env: Mapping[str, str],
    model: str | None = None,
    session: str | None = None,
    permission: Permission | None = None,
) -> Launch:
    """How to run the agent once. `session` is one to go on in; without it a new one is begun.

    Raises UsageError, one sentence, for what the agent can't do; MissingVariable, with what to do, for a
    variable that its environment is to be made of and that is not set.
    """
    level = permission or agent.permission
    if agent.permissions and level not in agent.permissions:
        raise UsageError(f"agent '{agent.name}' has no permission '{level}'", suggestion(level, agent.permissions))
    template = agent.argv
    if session is not None:
        if not agent.resume:
            raise UsageError(f"agent '{agent.name}' can't go on in a session", "leave out `session`")
        template = agent.resume
    put = {**agent.env, **agent.permission_env.get(level, {})}
    if level == "full" and os.geteuid() == 0:
        put |= agent.root_env
    chosen = session
    if chosen is None and any("{session}" in word for word in (*template, *put.values())):
        chosen = str(uuid.uuid4())
    model = model or agent.model
    values = {"model": model or "", "session": chosen or "", "prompt": _as_word(agent, prompt), "cwd": str(cwd)}
    words: list[str] = [agent.program]
    for word in template:
        if word == "{permissions}":
            words += agent.permissions.get(level, ())
        elif word == "{model}":
            words += [_fill(part, values) for part in agent.model_flag] if model else []
        else:
            words.append(_fill(word, values))
    child, stripped = stripped_env(agent, env)
    child |= {name: _expanded(agent, name, value, values, env) for name, value in put.items()}
    stdin = prompt.encode("utf-8", "replace") if agent.prompt == "stdin" else b""
    return Launch(tuple(words), child, stdin, cwd, chosen, stripped, tuple(sorted(put)))


def stripped_env(agent: Agent, env: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The environment without what the agent's `strip` globs name; of several that fit, the last counts."""
    kept: dict[str, str] = {}
    stripped = []
    for name, value in env.items():
        gone = False
        for glob in agent.strip:
            if fnmatchcase(name, glob.removeprefix("!")):
                gone = not glob.startswith("!")
        if gone:
            stripped.append(name)
        else:
            kept[name] = value
    return kept, tuple(sorted(stripped))


def _expanded(agent: Agent, name: str, value: str, values: Mapping[str, str], env: Mapping[str, str]) -> str:
    """The value of a variable with `${OTHER}` and `${OTHER:-default}` from `env`, and the placeholders, filled in.

    `$${` stands for `${`. An empty variable counts as missing. What `strip` takes away can be used here:
    so an agent gets a key under the name that it asks for, and not under its own.
    """

    def fill(match: re.Match[str]) -> str:
        literal, other, default, placeholder = match.groups()
        if literal:
            return "${"
        if placeholder:
            return values[placeholder]
        found = env.get(other) or default
        if found is None:
            raise MissingVariable(
                f"agent '{agent.name}' needs the variable {other} (for its {name}), and it is not set here",
                f"set {other} in the environment of the worker",
            )
        return found

    return _VARIABLE.sub(fill, value)


def _as_word(agent: Agent, prompt: str) -> str:
    if agent.prompt == "stdin":
        return ""
    size = len(prompt.encode("utf-8", "replace"))
    if size > _LONGEST:
        raise UsageError(
            f"the prompt has {size} bytes and agent '{agent.name}' takes it as an argument (at most {_LONGEST})",
            'set `prompt: "stdin"` for the agent, or put the text into a file of the workspace',
        )
    if "\0" in prompt:
        raise UsageError(f"the prompt has a NUL byte and agent '{agent.name}' takes it as an argument")
    # A prompt that starts with a dash would be taken for an option.
    return f" {prompt}" if prompt.startswith("-") else prompt


def _fill(word: str, values: Mapping[str, str]) -> str:
    """The word with its placeholders filled in once: a value is never looked at again."""
    return re.sub(r"\{(model|session|prompt|cwd)\}", lambda match: values[match.group(1)], word)
