"""The agent `groq`: models of Groq, or of any endpoint that speaks OpenAI's protocol, in the CLI `goose`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner import hookimpl
from runner_plugins.agent_goose import goose

if TYPE_CHECKING:
    from runner.model import Agent


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe an agent that has no CLI of its own.

    Of the CLIs that take an OpenAI-compatible endpoint it is goose: one program, no file to write and no
    log-in; it calls tools; it gives up on a rate limit, which is the usual end here, within seconds and
    says so, where others go on for minutes or never end. Another endpoint is this agent with other values:

        agents:
          local:
            extends: groq
            model: qwen3-coder
            account: local
            env: {OPENAI_BASE_URL: "http://127.0.0.1:8000/v1", OPENAI_API_KEY: "${LOCAL_KEY:-none}"}
    """
    base = goose()
    return {
        "groq": replace(
            base,
            name="groq",
            model="openai/gpt-oss-120b",
            env={
                **base.env,
                "GOOSE_PROVIDER": "openai",
                "OPENAI_BASE_URL": "${GROQ_BASE_URL:-https://api.groq.com/openai/v1}",
                "OPENAI_API_KEY": "${GROQ_API_KEY}",
            },
            # Settings for OpenAI itself would lead elsewhere.
            strip=(
                *base.strip,
                "OPENAI_HOST",
                "OPENAI_BASE_PATH",
                "OPENAI_ORGANIZATION",
                "OPENAI_PROJECT",
                "OPENAI_CUSTOM_HEADERS",
            ),
            account="groq",
            login="set GROQ_API_KEY (https://console.groq.com/keys)",
        )
    }
