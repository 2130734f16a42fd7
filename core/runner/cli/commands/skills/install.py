"""`runner skills install [MACHINE] SKILL`: shows the command, asks, runs it here or there, checks what came of it."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from runner import statuses
from runner.errors import RunnerError, UsageError

if TYPE_CHECKING:
    from runner.cli.commands.skills.place import Place
    from runner.cli.invocation import Invocation
    from runner.skills import Skill
    from runner.skills.checking import Checked


@click.command(
    short_help="Install a skill, here or by ssh.",
    epilog="Examples:\n\n\b\n  runner skills install git --dry-run\n  runner skills install localhost git --yes\n",
)
@click.argument("words", metavar="[MACHINE] SKILL", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show the command.")
@click.option("--timeout", metavar="T", default="30m", help="How long it may take (default: 30m).")
@click.pass_obj
def install(inv: Invocation, words: tuple[str, ...], yes: bool, dry_run: bool, timeout: str) -> int:
    """Install SKILL on this machine, or by ssh on MACHINE.

    The exact command is shown first, and nothing runs before you agree. What it prints goes to stderr. A
    skill that is there already is left as it is. Exits with 1 when the skill's check fails afterwards.
    """
    from runner.cli.commands.skills.place import place_of  # here, all: not for --help
    from runner.skills import load_skills
    from runner.times import duration

    if len(words) > 2:
        raise UsageError(f"too many words: {' '.join(words[2:])}", "write: runner skills install [MACHINE] SKILL")
    app = inv.app()
    skill = load_skills(app.project.root if app.has_project else None).named(words[-1])
    place = place_of(app, words[0] if len(words) == 2 else None)
    limit = duration(timeout, "a duration")
    before = None if dry_run else _check(place, skill)
    if before is not None and before.installed:
        _tell(inv, place, skill, None, before, "already")
        return statuses.EXIT_OK
    command = _command(place, skill)
    inv.talk(f"on {place.name}:  {command}")
    if dry_run:
        _tell(inv, place, skill, command, None, "would")
        return statuses.EXIT_OK
    if not yes and not _agreed(inv):
        inv.talk("nothing was installed")
        return statuses.EXIT_FAILED
    code = _run(place, command, limit)
    after = _check(place, skill)
    ok = code == 0 and (after.installed or skill.check is None)
    _tell(inv, place, skill, command, after, "done" if ok else "failed", code)
    if not ok:
        inv.error(RunnerError(*_failure(place, skill, code, after, limit)))
    return statuses.EXIT_OK if ok else statuses.EXIT_FAILED


def _command(place: Place, skill: Skill) -> str:
    from runner.skills import this_os
    from runner.skills.remote import system_there

    os = this_os() if place.target is None else system_there(place.target)
    if not skill.runs_on(os):
        raise UsageError(f"'{skill.name}' is for {', '.join(skill.os)}, and {place.name} runs {os}")
    if not skill.install:
        raise UsageError(f"skills.yaml has no install command for '{skill.name}'", skill.description)
    if os not in skill.install:
        raise UsageError(
            f"skills.yaml has no install command of '{skill.name}' for {os}",
            f"it has one for {', '.join(skill.install)}",
        )
    return skill.install[os].strip()


def _agreed(inv: Invocation) -> bool:
    if inv.json or sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("nothing is installed without an answer", "say --yes, or --dry-run to see the command only")
    return click.confirm("Run it?", default=False, err=True)


def _check(place: Place, skill: Skill) -> Checked:
    from runner.skills.checking import check_one
    from runner.skills.found import remember
    from runner.skills.remote import check_there

    if place.target is not None:
        return check_there(place.target, [skill])[0]
    found = check_one(skill)
    remember([found])
    return found


def _run(place: Place, command: str, limit: float) -> int | None:
    """Run it, its output on stderr as it comes → the exit code, None when it took too long."""
    import subprocess  # here: not for --help

    from runner.skills.remote import run_there

    sys.stderr.flush()
    if place.target is not None:
        return run_there(place.target, command, limit)
    # On a terminal it may ask for a password, so it stays in the terminal's session; elsewhere nobody would answer.
    asks = sys.stdin is not None and sys.stdin.isatty()
    process = subprocess.Popen(
        ["sh", "-c", command],
        stdin=None if asks else subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        stderr=sys.stderr.fileno(),
        start_new_session=not asks,
    )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.kill() if asks else os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failure(place: Place, skill: Skill, code: int | None, after: Checked, limit: float) -> tuple[str, str]:
    if code is None:
        return f"installing '{skill.name}' on {place.name} took longer than {limit:g} s and was ended", "see: --timeout"
    if code != 0:
        return f"the command that installs '{skill.name}' on {place.name} ended with {code}", "its output is above"
    return (
        f"'{skill.name}' was installed on {place.name}, but its check fails: {after.detail}",
        "a new login may be needed for its PATH; then: runner skills list",
    )


def _tell(
    inv: Invocation,
    place: Place,
    skill: Skill,
    command: str | None,
    found: Checked | None,
    what: str,
    code: int | None = None,
) -> None:
    answer: dict[str, Any] = {
        "machine": place.name,
        "skill": skill.name,
        "command": command,
        "result": {"already": "already_installed", "would": "dry_run", "done": "installed"}.get(what, "failed"),
        "exit_code": code,
        "state": found.state if found is not None else None,
        "detail": found.detail if found is not None else "",
    }

    def text() -> None:
        detail = f" ({found.detail})" if found is not None and found.detail else ""
        if what == "already":
            inv.line(f"{skill.name} is installed on {place.name} already{detail}")
        elif what == "would":
            inv.line(str(command))
        elif what == "done":
            inv.line(f"Installed {skill.name} on {place.name}{detail}")

    inv.emit(answer, text)
