"""What an agent must not inherit from another agent that started the runner: its identity, its session, its sockets."""

from __future__ import annotations

from typing import Final

PARENTS: Final = (
    "CLAUDECODE",
    "CLAUDE_CODE_*",
    "!CLAUDE_CODE_OAUTH_*",
    "!CLAUDE_CODE_API_KEY_*",
    "!CLAUDE_CODE_CLIENT_*",
    "!CLAUDE_CODE_USE_*",
    "!CLAUDE_CODE_SKIP_*_AUTH",
    "!CLAUDE_CODE_MAX_*",
    "CODEX_SANDBOX*",
    "CODEX_THREAD_ID",
    "GEMINI_CLI",
    "GEMINI_CLI_IDE_*",
    "QWEN_CODE",
    "OPENCODE",
    "OPENCODE_PID",
    "OPENCODE_SERVER*",
    "COPILOT_CLI",
    "COPILOT_AGENT_SESSION*",
    "GOOSE_TERMINAL",
    "AGENT_SESSION_ID",
)
"""Globs for `Agent.strip`; `!` keeps: who pays and where the models are is not the session's."""
