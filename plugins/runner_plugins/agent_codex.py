"""The agent `codex`: OpenAI's Codex CLI, one prompt a process."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_QUIET = ("-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false")


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `codex` is called: the prompt on stdin (`-`), the thread's id found in its first event."""
    return {
        "codex": Agent(
            name="codex",
            program="codex",
            argv=("exec", "--json", "--skip-git-repo-check", *_QUIET, "{model}", "{permissions}", "-"),
            # `exec resume` has no -s and no -C: the sandbox goes in as a setting, which both take.
            resume=(
                *("exec", "resume", "--json", "--skip-git-repo-check", *_QUIET),
                *("{model}", "{permissions}", "{session}", "-"),
            ),
            format="codex",
            model_flag=("-m", "{model}"),
            permissions={
                "read-only": ("-c", 'sandbox_mode="read-only"'),
                "edit": ("-c", 'sandbox_mode="workspace-write"'),
                "full": ("--dangerously-bypass-approvals-and-sandbox",),
            },
            strip=PARENTS,
            account="codex",
            cumulative=("tokens",),
            errors={
                r"\b429\b|rate.?limit|usage limit|quota|overloaded|too many requests": "rate_limited",
                r"\b401\b|\b403\b|not logged in|unauthori[sz]ed|invalid api key|missing environment variable": "auth",
                NO_MODEL: "needs_human",
            },
            install="npm install -g @openai/codex",
            login="codex login",
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.codex import CodexReader

    return CodexReader()
