"""Run a script of package.json with the package manager that the project uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.errors import suggestion
from runner.model import Check
from runner.payloads import payload
from runner.toolchain import ended, find_program, needs, package_json

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import Context, Step, StepResult

TIMEOUT = 1800.0
"""Seconds, when neither the payload nor the task's policy says otherwise."""

implicit_checks = [Check("exit_code", 0)]
MANAGERS = (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lock", "bun"), ("bun.lockb", "bun"))


def _model(base: Any) -> Any:
    from pydantic import Field

    class Payload(base, title="npm_build"):
        """What `npm_build` takes."""

        script: str = Field("build", min_length=1, description="which script of package.json")
        install: bool | None = Field(None, description="install first (default: when node_modules is missing)")
        args: list[str] = Field(default_factory=list, description="further words for the script")
        cwd: str | None = Field(None, description="where; `~` is the home directory; default: the project")
        repo_path: str | None = Field(None, description="another name for cwd")
        timeout: float | None = Field(None, gt=0, description="seconds until it is ended (default: 1800)")

    return Payload


Payload = payload(_model)


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Install what is missing, then run the script; both by the package manager of the lock file."""
    given = step.payload
    package = package_json(context.workspace)
    if package is None:
        return needs(f"there is no package.json in {context.workspace}", "set cwd to the folder that has one")
    scripts = package.get("scripts")
    known = sorted(scripts) if isinstance(scripts, dict) else []
    script = given.get("script", "build")
    if script not in known:
        near = suggestion(script, known) if known else "it has no scripts"
        return needs(f"package.json has no script '{script}' ({near})", "add it, or name another")
    manager = manager_of(context.workspace)
    program = find_program(context, manager)
    if program is None:
        advice = "install Node.js" if manager == "npm" else f"install it: npm install -g {manager}"
        return needs(f"npm_build needs {manager}: it is not on this machine's PATH", advice)
    limit = given.get("timeout") or (TIMEOUT if step.policy.timeout is None else None)
    if _installs(given.get("install"), context.workspace, package):
        done = context.process([program, *_install(manager, context.workspace)], timeout=limit, name="install")
        if done.exit_code != 0 or done.limit is not None:
            return ended(done, f"`{manager} install`", limit, manager=manager)
    extra = ["--", *given["args"]] if given.get("args") and manager == "npm" else list(given.get("args", ()))
    done = context.process([program, "run", script, *extra], timeout=limit)
    return ended(done, f"`{manager} run {script}`", limit, manager=manager, script=script)


def manager_of(root: Path) -> str:
    """The package manager whose lock file is there; npm without one."""
    return next((name for lock, name in MANAGERS if (root / lock).exists()), "npm")


def _installs(asked: bool | None, root: Path, package: dict[str, Any]) -> bool:
    if asked is not None:
        return asked
    depends = any(package.get(key) for key in ("dependencies", "devDependencies", "optionalDependencies", "workspaces"))
    return bool(depends) and not (root / "node_modules").exists()


def _install(manager: str, root: Path) -> list[str]:
    if manager == "npm":
        locked = (root / "package-lock.json").exists() or (root / "npm-shrinkwrap.json").exists()
        return ["ci" if locked else "install", "--no-audit", "--no-fund"]
    return ["install", "--frozen-lockfile"]
