"""Reaches a machine by the system's `ssh`: the person's own configuration, no questions, time-outs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.errors import RunnerError, UsageError, suggestion
from runner.skills.checking import LIMIT, Checked, judged, without_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runner.config import Config
    from runner.skills.registry import Skill

CONNECT: Final = 10
"""Seconds until a machine that does not answer is given up."""

_UNREACHABLE: Final = 255
"""What ssh itself ends with when there is no connection."""

_END: Final = "runner-checks-end"


@dataclass(frozen=True, slots=True)
class Target:
    """A machine of machines.yaml as ssh reaches it: `host` is what ssh is given, `os` what the file says or empty."""

    name: str
    host: str
    os: str = ""
    user: str | None = None
    port: int | None = None
    identity: str | None = None

    def options(self) -> list[str]:
        """The options that machines.yaml asks for; all else is ssh's own configuration."""
        words = ["-p", str(self.port)] if self.port else []
        words += ["-l", self.user] if self.user else []
        return words + (["-i", os.path.expanduser(self.identity)] if self.identity else [])

    def argv(self, script: str) -> list[str]:
        """The words that run a shell script there, without questions."""
        # A login shell of any kind gets one word for sh: what it would do with quotes or `$` does not matter.
        settings = ["BatchMode=yes", f"ConnectTimeout={CONNECT}", "ServerAliveInterval=15", "ServerAliveCountMax=4"]
        options = [word for setting in settings for word in ("-o", setting)]
        return ["ssh", *options, *self.options(), self.host, f"sh -c {shlex.quote(script)}"]


def find_target(config: Config, name: str) -> Target:
    """The machine of that name or alias in machines.yaml; UsageError with the nearest one when there is none."""
    for machine, settings in config.machines.items():
        if name == machine or name in settings.aliases:
            ssh = settings.ssh
            host = (ssh and ssh.host) or settings.address or settings.tailscale_ip or machine
            if host.startswith("-"):
                raise UsageError(f"machine '{machine}' has the address '{host}'", "an address can't begin with '-'")
            if ssh is None:
                return Target(machine, host, settings.os or "", None, None, None)
            return Target(machine, host, settings.os or "", ssh.user, ssh.port, ssh.identity)
    if not config.machines:
        raise UsageError(f"no machine is called '{name}': machines.yaml names none", "see machines.yaml.example")
    names = [*config.machines, *(alias for one in config.machines.values() for alias in one.aliases)]
    raise UsageError(f"no machine is called '{name}' in machines.yaml", suggestion(name, names))


def check_there(
    target: Target, skills: Iterable[Skill], seen: Callable[[Checked], None] = lambda one: None, limit: float = LIMIT
) -> list[Checked]:
    """Each skill's state on that machine, by one connection. `seen` is called as they come."""
    skills = list(skills)
    found: dict[str, Checked] = {}
    for skill in skills:
        answer = without_running(skill, target.os)
        if answer is not None:
            found[skill.name] = answer
            seen(answer)
    asked = [skill for skill in skills if skill.name not in found]
    if asked:
        for one in _ask(target, asked, limit):
            found[one.skill.name] = one
            seen(one)
    return [found[skill.name] for skill in skills]


def _ask(target: Target, skills: Sequence[Skill], limit: float) -> Iterable[Checked]:
    process = start(target, _script([skill.check or "" for skill in skills], limit), subprocess.PIPE)
    left = dict(enumerate(skills))
    try:
        try:
            output, errors = process.communicate(timeout=CONNECT + limit + 20)
        except subprocess.TimeoutExpired:
            raise _silent(target, CONNECT + limit + 20) from None
    finally:
        end(process)
    for line in output.decode("utf-8", "replace").splitlines():
        word, _, rest = line.partition(":")
        number, _, rest = rest.partition(":")
        code, _, text = rest.partition(":")
        if word == "runner-check" and number.isdigit() and int(number) in left:
            yield judged(left.pop(int(number)), int(code) if code.isdigit() else None, text, limit)
    if _END not in output.decode("utf-8", "replace"):
        raise unreachable(target, process.returncode, errors.decode("utf-8", "replace"))
    for skill in left.values():
        yield judged(skill, None, "", limit)


def start(
    target: Target, script: str, stdout: int | None, stdin: int | None = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """ssh, running a shell script there. Its errors are piped where its output is."""
    try:
        return subprocess.Popen(
            target.argv(script), stdin=stdin, stdout=stdout, stderr=stdout, start_new_session=stdout == subprocess.PIPE
        )
    except FileNotFoundError:
        raise RunnerError("there is no `ssh` on PATH", "install OpenSSH's client") from None
    except OSError as error:
        raise RunnerError(f"can't start ssh: {error.strerror}") from None


def end(process: subprocess.Popen[bytes]) -> None:
    """End what `start` began, if it still runs."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()


def unreachable(target: Target, code: int, errors: str) -> RunnerError:
    """Why nothing came back, in ssh's own last words."""
    last = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), f"ssh ended with {code}")
    return RunnerError(
        f"can't reach machine '{target.name}' ({target.host}) by ssh: {last}", f"try it: runner ssh {target.name}"
    )


def system_there(target: Target) -> str:
    """The system of that machine: what machines.yaml says, else what it says itself."""
    if target.os:
        return target.os
    process = start(target, "uname -s", subprocess.PIPE)
    try:
        output, errors = process.communicate(timeout=CONNECT + 20)
    except subprocess.TimeoutExpired:
        raise _silent(target, CONNECT + 20) from None
    finally:
        end(process)
    if process.returncode != 0:
        raise unreachable(target, process.returncode, errors.decode("utf-8", "replace"))
    word = output.decode("utf-8", "replace").strip().lower()
    return "macos" if word == "darwin" else word


def _silent(target: Target, seconds: float) -> RunnerError:
    return RunnerError(f"machine '{target.name}' ({target.host}) did not answer in {seconds:g} s")


def run_there(target: Target, command: str, limit: float | None) -> int | None:
    """Run a shell command there, what it prints to stderr as it comes → its exit code, None: it took too long.

    A connection that can't be made, or is lost, is a RunnerError.
    """
    process = start(target, command, sys.stderr.fileno())
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if code == _UNREACHABLE:
        raise unreachable(target, code, "see above")
    return code


def _script(checks: Sequence[str], limit: float) -> str:
    """A script for any POSIX sh: runs all checks at once, prints a line for each that ends in time, and an end mark."""
    jobs = "".join(f"job {number} {shlex.quote(check)} &\n" for number, check in enumerate(checks))
    return f"""d=$(mktemp -d) || exit 70
job() {{
  sh -c "$2" >"$d/$1" 2>&1 </dev/null
  code=$?
  [ "$code" -eq 0 ] && which=head || which=tail
  line=$(sed '/[^[:space:]]/!d' "$d/$1" 2>/dev/null | $which -n 1 | cut -c1-200)
  printf 'runner-check:%s:%s:%s\\n' "$1" "$code" "$line"
  : >"$d/$1.end"
}} 2>/dev/null
{jobs}n=0
while [ "$n" -lt {int(limit * 5)} ]; do
  set -- "$d"/*.end
  [ -e "$1" ] && [ "$#" -eq {len(checks)} ] && break
  sleep 0.2
  n=$((n + 1))
done
printf '{_END}\\n'
rm -rf "$d"
[ "$n" -lt {int(limit * 5)} ] || {{ trap '' TERM; kill -TERM 0; }} 2>/dev/null
"""
