"""Values in texts: `{{ … }}` in prompts, paths and commands; in a command a value never becomes shell syntax."""

from __future__ import annotations

from runner.templates.command import Command, compile_command
from runner.templates.scope import NotThere, Scope, Undefined
from runner.templates.syntax import Placeholder, TemplateError, parse, render, roots

__all__ = [
    "Command",
    "NotThere",
    "Placeholder",
    "Scope",
    "TemplateError",
    "Undefined",
    "compile_command",
    "parse",
    "render",
    "roots",
]
