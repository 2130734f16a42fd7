"""Commands that plugins bring: asked for an unknown name, and by `runner --help --all`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner.errors import PluginError
from runner.owners import collect

if TYPE_CHECKING:
    from collections.abc import Container

    from runner.plugins import Plugins


def collect_commands(plugins: Plugins, built_in: Container[str]) -> dict[str, click.Command]:
    """Plugin commands by name; PluginError for one that replaces a built-in command, or two of one name."""
    found: dict[str, click.Command] = {}
    for name, owner in collect(plugins, "register_commands", click.Command).items():
        if name in built_in:
            raise PluginError(
                f"plugin '{owner.plugin}' brings the command '{name}', which is built in", "give it another name"
            )
        found[name] = owner.spec
    return dict(sorted(found.items()))
