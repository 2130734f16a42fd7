"""The agent `claude`: Claude Code, one prompt a process."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_PLAIN = ("-p", "--output-format", "stream-json", "--verbose", "{model}", "{permissions}")


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `claude` is called: the prompt on stdin, the session's id chosen by us."""
    return {
        "claude": Agent(
            name="claude",
            program="claude",
            argv=(*_PLAIN, "--session-id", "{session}"),
            resume=(*_PLAIN, "--resume", "{session}"),
            format="claude",
            model_flag=("--model", "{model}"),
            permissions={
                "read-only": ("--permission-mode", "default", "--disallowedTools", "Bash,Edit,Write,NotebookEdit"),
                "edit": ("--permission-mode", "acceptEdits", "--allowedTools", "Bash"),
                "full": ("--permission-mode", "bypassPermissions"),
            },
            permission="edit",
            env={
                "DISABLE_AUTOUPDATER": "1",
                "DISABLE_TELEMETRY": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            },
            root_env={"IS_SANDBOX": "1"},  # without it, root may not bypass permissions
            # A session started inside another one takes over its identity and loses its transcript.
            strip=PARENTS,
            account="claude",
            cumulative=("cost",),
            install="npm install -g @anthropic-ai/claude-code",
            login="claude   # then /login; or set ANTHROPIC_API_KEY",
            errors={
                r"usage limit reached|hit your (?:\w+ )?limit|rate.?limit|\b429\b|overloaded": "rate_limited",
                r"invalid api key|/login|not logged in|authentication_error|oauth token|credit balance": "auth",
                NO_MODEL: "needs_human",
            },
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.claude import ClaudeReader

    return ClaudeReader()
