"""`runner test [AGENT…]`: are the agents installed and logged in, do they answer, write a file, resume?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from runner import statuses
from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.agents.smoke import Row, Tested
    from runner.cli.invocation import Invocation
    from runner.model import Agent

_KEPT = 10
"""How many earlier tests keep their logs."""


@click.command(
    epilog=(
        "Examples:\n\n\b\n  runner test --quick\n  runner test script\n"
        "  runner test script --timeout 30s --format json\n"
    ),
)
@click.argument("agents", nargs=-1, metavar="[AGENT]…")
@click.option("--quick", is_flag=True, help="Only: is it installed, which version? Costs nothing.")
@click.option("--timeout", default="2m", metavar="T", show_default=True, help="For one call of an agent: 90s, 5m.")
@click.pass_obj
def command(inv: Invocation, agents: tuple[str, ...], quick: bool, timeout: str) -> int:
    """Try agents out: installed, version, logged in, answers, writes a file, resumes a session.

    Without names, all agents that are installed here. Each is asked three short things in a scratch
    repository, which COSTS TOKENS of its account; --quick asks nothing. What fails is shown with what to do.

    Exits with 0 when all that were tested pass, with 1 otherwise.
    """
    from runner import times  # here, all: not for --help
    from runner.agents.smoke import Smoke
    from runner.keeper import Redaction
    from runner.offers import installed

    app = inv.app(code=True)
    known = app.agents
    for name in agents:
        if name not in known:
            raise UsageError(f"no agent is called '{name}'", suggestion(name, known))
    chosen = [known[name] for name in dict.fromkeys(agents)] or [one for one in known.values() if installed(one)]
    absent = [] if agents else [one for one in known.values() if not installed(one)]
    seconds = times.duration(timeout)
    if seconds <= 0:
        raise UsageError(f"--timeout {timeout}: must be more than nothing")

    def told(agent: Agent, row: Row) -> None:
        words = row.text if row.state != "ok" or row.check == "version" else ""
        inv.talk(f"{agent.name}: {_words(row.check)}: {row.state}{f' ({words})' if words else ''}")

    smoke = Smoke(_folder(), Redaction.of(os.environ, app.config.redact), timeout=seconds, quick=quick, told=told)
    tested = smoke.run(chosen)
    items = [one.to_json() | {"tested": True} for one in tested]
    items += [_absent(one) for one in absent]
    inv.emit_list(items, lambda: _print(inv, tested, absent))
    return statuses.EXIT_OK if all(one.ok for one in tested) else statuses.EXIT_FAILED


def _folder() -> Path:
    """A new folder for the logs; those of earlier tests but the latest are deleted."""
    from shutil import rmtree  # here, both: not for --help

    from runner.ids import new_id
    from runner.project import make_folder, state_root

    root = state_root() / "agent-tests"
    make_folder(root)
    old = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in old[: max(0, len(old) - _KEPT + 1)]:
        rmtree(path, ignore_errors=True)
    folder = root / new_id()
    make_folder(folder)
    return folder


def _absent(agent: Agent) -> dict[str, object]:
    """An agent that is not here, where no names were given: told, and no failure."""
    row = {"check": "installed", "state": "skipped", "text": "not installed", "fix": agent.install}
    return {
        "agent": agent.name,
        "program": agent.program,
        "ok": False,
        "folder": None,
        "checks": [row | {"seconds": 0.0, "folder": ""}],
        "tested": False,
    }


def _print(inv: Invocation, tested: Sequence[Tested], absent: Sequence[Agent]) -> None:
    from runner.agents.smoke import CHECKS, QUICK

    names = CHECKS if any(len(one.rows) > len(QUICK) for one in tested) else QUICK
    inv.table(
        ("agent", *map(_words, names)),
        [(one.agent.name, *(_cell(row) for row in one.rows)) for one in tested],
    )
    for one in tested:
        for row in one.rows:
            if row.state == "failed":
                inv.line(f"\n{one.agent.name}: {_words(row.check)}: {row.text}")
                inv.line(f"  fix: {row.fix}")
        if inv.verbose:
            inv.talk(f"{one.agent.name}: logs in {one.folder}")
    if absent:
        inv.talk(f"not installed: {', '.join(one.name for one in absent)}   (how to: runner test NAME)")


def _cell(row: Row) -> str:
    if row.state == "ok":
        return row.text if row.check == "version" else "ok"
    return "FAILED" if row.state == "failed" else "-"


def _words(check: str) -> str:
    return check.replace("_", " ")
