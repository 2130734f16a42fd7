"""The agent `aider`: one message a process."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_PLAIN = (
    # Read as a file, all of it is one message; typed at its prompt, each line would be one.
    "--message-file",
    "/dev/stdin",
    "--yes-always",
    "--no-pretty",
    "--no-stream",
    "--no-fancy-input",
    "--no-detect-urls",
    "--no-suggest-shell-commands",
    "--no-check-update",
    "--no-show-release-notes",
    "--no-show-model-warnings",
    "--no-analytics",
    "--no-gitignore",
    # What it leaves in the workspace is committed by the runner; its own commits cost a call of a model each.
    "--no-auto-commits",
    "--no-dirty-commits",
    "{model}",
    "{permissions}",
)


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `aider` is called: the prompt on stdin, the conversation in a file named after our session.

    It edits files and runs no commands. Its index of the repository (`.aider.tags.cache.v4`) goes when it has ended.
    """
    return {
        "aider": Agent(
            name="aider",
            program="aider",
            argv=_PLAIN,
            resume=(*_PLAIN, "--restore-chat-history"),
            format="aider",
            model_flag=("--model", "{model}"),
            permissions={"read-only": ("--chat-mode", "ask"), "edit": (), "full": ()},
            env={
                "AIDER_CHAT_HISTORY_FILE": "${HOME}/.aider/runner/{session}.md",
                "COLUMNS": "1000",  # or its lines are wrapped at 80
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            strip=PARENTS,
            account="aider",
            errors={
                r"AuthenticationError|PermissionDenied|no API keys were provided|specify a --model": "auth",
                r"RateLimitError|\b429\b": "rate_limited",
                r"insufficient (?:credits|balance|quota)|exceeded your current quota|Exception - forbidden": "auth",
                NO_MODEL: "needs_human",
            },
            install="uv tool install aider-chat",
            login="set the key of a provider (OPENAI_API_KEY, ANTHROPIC_API_KEY, …), and a model",
            litter=(".aider.tags.cache*", ".aider.input.history"),
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.aider import AiderReader

    return AiderReader()
