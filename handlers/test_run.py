"""Run the project's tests with the framework it uses, and say which failed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.model import Check
from runner.payloads import payload
from runner.toolchain import (
    ended,
    find_program,
    needs,
    package_json,
    project_folders,
    read_jest,
    read_junit,
    read_xcodebuild,
)

if TYPE_CHECKING:
    from runner.model import Context, ProcessResult, Step, StepResult
    from runner.toolchain import TestReport

__test__ = False
TIMEOUT = 1800.0
"""Seconds, when neither the payload nor the task's policy says otherwise."""

implicit_checks = [Check("exit_code", 0)]
FRAMEWORKS = ("pytest", "jest", "vitest", "gradle", "xcode", "npm")


def _model(base: Any) -> Any:
    from typing import Literal

    from pydantic import Field

    class Payload(base, title="test_run"):
        """What `test_run` takes."""

        framework: Literal["pytest", "jest", "vitest", "gradle", "xcode", "npm"] | None = Field(
            None, description="which one (default: what the repository holds)"
        )
        paths: list[str] = Field(default_factory=list, description="files, folders or tests to run (default: all)")
        args: list[str] = Field(default_factory=list, description="further words for the framework")
        scheme: str | None = Field(None, description="xcode: the scheme to test")
        destination: str | None = Field(None, description="xcode: where, such as 'platform=macOS'")
        cwd: str | None = Field(None, description="where; `~` is the home directory; default: the project")
        repo_path: str | None = Field(None, description="another name for cwd")
        timeout: float | None = Field(None, gt=0, description="seconds until it is ended (default: 1800)")

    return Payload


Payload = payload(_model)


@dataclass(frozen=True)
class Run:
    """A command that runs tests, and where its reports are."""

    framework: str
    argv: list[str]
    report: Path | None = None


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Choose the framework, run it with a report outside the workspace, and read that."""
    given = step.payload
    framework = given.get("framework") or detect(context.workspace)
    if framework is None:
        return needs(
            "no tests were recognised: no pytest, jest, vitest, gradle or Xcode project, no `test` script",
            'name one: {"framework": "pytest"}',
        )
    run = COMMANDS[framework](context, given)
    if not isinstance(run, Run):
        return run  # what is missing
    limit = given.get("timeout") or (TIMEOUT if step.policy.timeout is None else None)
    began = time.time()
    done = context.process([*run.argv, *given.get("args", ()), *given.get("paths", ())], timeout=limit)
    report = _report(run, context, done, began)
    return _result(run, done, report, limit)


def detect(root: Path) -> str | None:
    """The framework that the repository uses: the first of pytest, jest, vitest, gradle, xcode, `npm test`."""
    if _uses_pytest(root):
        return "pytest"
    package = package_json(root) or {}
    depends = {**_mapping(package.get("dependencies")), **_mapping(package.get("devDependencies"))}
    script = str(_mapping(package.get("scripts")).get("test", ""))
    for name in ("jest", "vitest"):
        if name in depends or re.search(rf"\b{name}\b", script) or any(root.glob(f"{name}.config.*")):
            return name
    if any((root / name).exists() for name in ("gradlew", "build.gradle", "build.gradle.kts")):
        return "gradle"
    if any(root.glob("*.xcworkspace")) or any(root.glob("*.xcodeproj")):
        return "xcode"
    return "npm" if script and "no test specified" not in script else None


def _uses_pytest(root: Path) -> bool:
    for name, mark in (("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")):
        try:
            if mark in (root / name).read_text(encoding="utf-8", errors="replace"):
                return True
        except OSError:
            pass
    if (root / "pytest.ini").exists() or (root / "conftest.py").exists():
        return True
    return any(any(root.glob(glob)) for glob in ("test_*.py", "tests/**/test_*.py", "test/**/test_*.py"))


# The commands


def _pytest(context: Context, given: Any) -> Run | StepResult:
    report = context.folder / "junit.xml"
    words = ["-m", "pytest", "--junitxml", str(report)]
    # With `python -m` the workspace is imported from, wherever the environment was made.
    for folder in project_folders(context):
        for below in (".venv/bin", "venv/bin"):
            if (folder / below / "pytest").exists() and (folder / below / "python").exists():
                return Run("pytest", [str(folder / below / "python"), *words], report)
    program = find_program(context, "pytest")
    if program is not None:
        beside = Path(program).parent / "python"
        argv = [str(beside), *words] if beside.exists() else [program, *words[2:]]
        return Run("pytest", argv, report)
    python = find_program(context, "python3")
    if python is not None and _imports_pytest(context, python):
        return Run("pytest", [python, *words], report)
    return needs("test_run needs pytest: it is in no .venv of the project and not on this machine's PATH", "install it")


def _imports_pytest(context: Context, python: str) -> bool:
    done = context.process([python, "-c", "import pytest"], timeout=60, name="which")
    return done.exit_code == 0 and done.limit is None


def _node(name: str, *words: str) -> Any:
    def command(context: Context, given: Any) -> Run | StepResult:
        program = find_program(context, name, ("node_modules/.bin",))
        if program is None:
            advice = f"run `npm install` in the project, or `npm install --save-dev {name}`"
            return needs(f"test_run needs {name}: it is not in node_modules and not on this machine's PATH", advice)
        report = context.folder / f"{name}.json"
        return Run(name, [program, *words, f"--outputFile={report}"], report)

    return command


def _gradle(context: Context, given: Any) -> Run | StepResult:
    wrapper = context.workspace / "gradlew"
    program = ["sh", str(wrapper)] if wrapper.exists() else _on_path(context, "gradle")
    if program is None:
        return needs(
            "test_run needs Gradle: there is no gradlew in the project and no gradle on this machine's PATH",
            "add the wrapper, or install Gradle",
        )
    return Run("gradle", [*program, "test", "--continue", "--console=plain"])


def _xcode(context: Context, given: Any) -> Run | StepResult:
    program = _on_path(context, "xcodebuild")
    if program is None:
        import sys

        sentence = f"test_run needs macOS with Xcode: xcodebuild is not on this machine's PATH ({sys.platform})"
        return needs(sentence, "route it to a machine that has it")
    words = ["test"]
    words += ["-scheme", given["scheme"]] if given.get("scheme") else []
    words += ["-destination", given["destination"]] if given.get("destination") else []
    return Run("xcode", [*program, *words, "-resultBundlePath", str(context.folder / "result.xcresult")])


def _npm(context: Context, given: Any) -> Run | StepResult:
    program = _on_path(context, "npm")
    if program is None:
        return needs("test_run needs npm: it is not on this machine's PATH", "install Node.js")
    return Run("npm", [*program, "test"])


def _on_path(context: Context, name: str) -> list[str] | None:
    found = find_program(context, name)
    return None if found is None else [found]


COMMANDS = {
    "pytest": _pytest,
    "jest": _node("jest", "--ci", "--json", "--testLocationInResults"),
    "vitest": _node("vitest", "run", "--reporter=json"),
    "gradle": _gradle,
    "xcode": _xcode,
    "npm": _npm,
}


# The reports


def _report(run: Run, context: Context, done: ProcessResult, began: float) -> TestReport | None:
    if run.framework == "pytest" and run.report is not None:
        return read_junit([run.report])
    if run.framework in ("jest", "vitest") and run.report is not None:
        return read_jest(run.report, context.workspace)
    if run.framework == "gradle":
        found = context.workspace.glob("**/build/test-results/**/TEST-*.xml")
        return read_junit(sorted(path for path in found if path.stat().st_mtime >= began - 1))
    if run.framework == "xcode":
        return read_xcodebuild(done.stdout.read_text(encoding="utf-8", errors="replace"), context.workspace)
    return None


def _result(run: Run, done: ProcessResult, report: TestReport | None, limit: float | None) -> StepResult:
    """The counts and the failing tests; without a report the exit code alone decides, and that is said."""
    evidence: dict[str, Any] = {"framework": run.framework, "log": str(done.stdout)}
    if report is None:
        if run.framework != "npm":
            evidence["report_missing"] = f"{run.framework} left no report that can be read; its exit code decides"
        return ended(done, "the test run", limit, **evidence)
    evidence |= report.evidence()
    if run.report is not None:
        evidence["report"] = str(run.report)
    if done.exit_code != 0:
        evidence["stderr"] = report.sentence()
    return replace(ended(done, "the test run", limit, **evidence), output=report.text())


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
