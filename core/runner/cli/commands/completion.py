"""`runner completion SHELL`: print the script that makes a shell complete commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(
    epilog="Example:\n\n\b\n"
    "  runner completion bash >> ~/.bashrc\n"
    "  runner completion fish > ~/.config/fish/completions/runner.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def command(inv: Invocation, shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    from runner.cli.main import group

    kind = get_completion_class(shell)
    assert kind is not None
    # The class's own source() first starts a bash to look at its version; whoever reads the script has one.
    maker = kind(group, {}, "runner", "_RUNNER_COMPLETE")
    script = maker.source_template % maker.source_vars()
    inv.emit({"shell": shell, "script": script}, lambda: inv.line(script))
