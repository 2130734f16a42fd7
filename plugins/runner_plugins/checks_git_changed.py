"""The check `git_changed`: the step changed files, as git sees it, since it started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.globs import matcher
from runner.logtext import last_line
from runner.model import CheckSpec, Verdict
from runner_plugins.check_values import globs_of, mapping_of
from runner_plugins.gate_process import gate_env, log_name

if TYPE_CHECKING:
    from runner.model import Check, Context, Step

_DIFF: Final = ("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--relative")
_UNTRACKED: Final = ("ls-files", "--others", "--exclude-standard", "-z")
_KEYS: Final = ("paths", "untracked")


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`git_changed`, `git_changed: src/**`, `git_changed: {"paths": ["src/**"], "untracked": false}`."""
    return {"git_changed": CheckSpec("git sees changed files, each glob with at least one", parse, needs_value=False)}


def parse(value: Any) -> dict[str, Any]:
    """`paths`: globs below the step's directory, each of which must have a change; `untracked`: do new files count?"""
    given = mapping_of(value, _KEYS, "paths")
    untracked = given.get("untracked", True)
    if not isinstance(untracked, bool):
        raise ValueError("'untracked' must be true or false")
    return {"paths": globs_of(given.get("paths"), "paths"), "untracked": untracked}


@hookimpl
def verify(check: Check, step: Step, context: Context) -> Verdict:
    """Compare the working tree with the commit or tree that the step started from."""
    given = parse(check.value)
    if context.base is None:
        return Verdict(False, "there is no git repository to see changes in", {"cwd": str(context.workspace)})
    changed = changed_files(check, step, context, untracked=given["untracked"])
    if isinstance(changed, str):
        return Verdict(False, f"git can't say what changed: {changed}", {"base": context.base})
    evidence = {"base": context.base, "count": len(changed), "changed": sorted(changed)[:50]}
    unmet = [glob for glob in given["paths"] if not any(map(matcher([glob]), changed))]
    if unmet:
        what = ", ".join(f"'{glob}'" for glob in unmet)
        return Verdict(False, f"no file that matches {what} was changed ({_count(changed)} in all)", evidence)
    if not changed:
        return Verdict(False, "no file was changed", evidence)
    return Verdict(True, f"{_count(changed)} changed: {', '.join(sorted(changed)[:3])}", evidence)


def changed_files(check: Check, step: Step, context: Context, *, untracked: bool) -> set[str] | str:
    """The paths below the step's directory that changed since it started, or git's complaint."""
    assert context.base is not None
    if context.present is not None:
        changed = _git(check, step, context, *_DIFF, context.base, context.present, "--", ".")
        new = set() if untracked else _git(check, step, context, *_UNTRACKED, "--", ".")
        changed = changed - new if isinstance(changed, set) and isinstance(new, set) else changed
    else:
        changed = _in_worktree(check, step, context, untracked=untracked)
    if isinstance(changed, str) or not step.policy.touches:
        return changed
    mine = matcher(step.policy.touches)
    return {path for path in changed if mine(path)}


def _in_worktree(check: Check, step: Step, context: Context, *, untracked: bool) -> set[str] | str:
    """As `changed_files`, where all that was left has been committed."""
    assert context.base is not None
    changed = _git(check, step, context, *_DIFF, context.base, "--", ".")
    if untracked and not isinstance(changed, str):
        new = _git(check, step, context, *_UNTRACKED, "--", ".")
        changed = new if isinstance(new, str) else changed | new
    return changed


def _git(check: Check, step: Step, context: Context, *words: str) -> set[str] | str:
    """The paths that git names, or its complaint."""
    done = context.process(["git", *words], env=gate_env(context.env), timeout=120, name=log_name(check, step, context))
    if done.exit_code != 0 or done.limit:
        return last_line(done.stderr) or f"exit code {done.exit_code}"
    return {path.decode("utf-8", "surrogateescape") for path in done.stdout.read_bytes().split(b"\0") if path}


def _count(changed: set[str]) -> str:
    return "1 file" if len(changed) == 1 else f"{len(changed)} files"
