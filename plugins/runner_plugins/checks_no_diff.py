"""The check `no_diff`: the step changed nothing, or nothing that matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.globs import matcher
from runner.model import CheckSpec, Verdict
from runner_plugins.check_values import globs_of, mapping_of
from runner_plugins.checks_git_changed import changed_files

if TYPE_CHECKING:
    from runner.model import Check, Context, Step

_KEYS: Final = ("paths", "except")


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`no_diff`, `no_diff: migrations/**`, `no_diff: {"paths": ["src/**"], "except": ["src/gen/**"]}`."""
    return {"no_diff": CheckSpec("git sees no changed file, or none that matches", parse, needs_value=False)}


def parse(value: Any) -> dict[str, list[str]]:
    """`paths`: globs that must not change (none: nothing may); `except`: globs that may all the same."""
    given = mapping_of(value, _KEYS, "paths")
    return {key: globs_of(given.get(key), key) for key in _KEYS}


@hookimpl
def verify(check: Check, step: Step, context: Context) -> Verdict:
    """Compare the working tree, new files included, with what the step started from."""
    given = parse(check.value)
    if context.base is None:
        return Verdict(False, "there is no git repository to see changes in", {"cwd": str(context.workspace)})
    changed = changed_files(check, step, context, untracked=True)
    if isinstance(changed, str):
        return Verdict(False, f"git can't say what changed: {changed}", {"base": context.base})
    if given["paths"]:
        named = matcher(given["paths"])
        changed = {path for path in changed if named(path)}
    if given["except"]:
        free = matcher(given["except"])
        changed = {path for path in changed if not free(path)}
    evidence = {"base": context.base, "count": len(changed), "changed": sorted(changed)[:50]}
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return Verdict(False, f"changed, and must not be: {', '.join(sorted(changed)[:3])}{more}", evidence)
    what = " or ".join(f"'{glob}'" for glob in given["paths"])
    return Verdict(True, f"nothing that matches {what} was changed" if what else "nothing was changed", evidence)
