"""`runner ssh MACHINE [-- COMMAND…]`: becomes the system's ssh, with what machines.yaml says about the machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from runner.errors import RunnerError

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Examples:\n\n\b\n  runner ssh build-box\n  runner ssh build-box -- uptime\n",
)
@click.argument("machine")
@click.argument("words", metavar="[-- COMMAND…]", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(inv: Invocation, machine: str, words: tuple[str, ...]) -> None:
    """Open a shell on MACHINE, or run COMMAND there, by the system's ssh.

    Address, user, port and identity come from machines.yaml, everything else from your ssh configuration. As
    with ssh itself, COMMAND's words are joined and read by the shell over there. Ends as ssh ends.
    """
    from runner.skills.remote import find_target  # here: not for --help

    target = find_target(inv.app().config, machine)
    words = words[1:] if words[:1] == ("--",) else words
    argv = ["ssh", *target.options(), target.host, *words]
    inv.close()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        os.execvp("ssh", argv)
    except FileNotFoundError:
        raise RunnerError("there is no `ssh` on PATH", "install OpenSSH's client") from None
    except OSError as error:
        raise RunnerError(f"can't start ssh: {error.strerror}") from None
