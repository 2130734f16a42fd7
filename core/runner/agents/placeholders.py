"""Looks at the words of an agent that the configuration describes: placeholders that nothing fills, a lost prompt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runner.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.model import Agent

KNOWN: Final = ("cwd", "model", "permissions", "prompt", "session")

# A word of its own, or an option's value: inside other text braces may mean anything (awk '{print}').
_PLACEHOLDER: Final = re.compile(r"(-[\w-]*=)?\{([A-Za-z_]+)\}")


def check_words(agent: Agent, given: set[str], where: Callable[[str], str]) -> None:
    """Raise a ConfigError for what can't be meant. `given` are the keys that were set, `where` knows their places."""
    for key, word in _words(agent, given):
        match = _PLACEHOLDER.fullmatch(word)
        if match is None:
            continue
        name = match[2]
        if name not in KNOWN:
            raise ConfigError(f"{where(key)}: agent '{agent.name}': nothing fills in {{{name}}}", _hint(name))
        if name == "permissions" and match[1]:
            raise ConfigError(
                f"{where(key)}: agent '{agent.name}': {{permissions}} stands for several words, so it is one by itself",
                "write the option's words under `permissions`",
            )
    for key in ("argv", "resume"):
        words = getattr(agent, key)
        has = any("{prompt}" in word for word in words)
        if agent.prompt == "argv" and not has and (words or key == "argv"):
            raise ConfigError(
                f"{where(key if key in given else 'prompt')}: agent '{agent.name}' takes its prompt as an argument, "
                f"and `{key}` has no {{prompt}}",
                "put {prompt} where it belongs, or write `prompt: stdin`",
            )
        if agent.prompt == "stdin" and has:
            raise ConfigError(
                f"{where(key if key in given else 'prompt')}: agent '{agent.name}' gets its prompt on stdin, "
                f"so {{prompt}} in `{key}` would be empty",
                "write `prompt: argv`, or leave {prompt} out",
            )


def _words(agent: Agent, given: set[str]) -> Iterator[tuple[str, str]]:
    for key in ("argv", "resume", "model_flag"):
        if key in given:
            for i, word in enumerate(getattr(agent, key)):
                yield f"{key}.{i}", word


def _hint(name: str) -> str:
    near = suggestion(name.lower(), KNOWN)
    return near if near.startswith("did you mean") else f"known: {', '.join(f'{{{one}}}' for one in KNOWN)}"
