"""Run the project's linters, and list what they find."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.model import Check, StepResult
from runner.payloads import payload
from runner.toolchain import (
    ended,
    find_program,
    needs,
    package_json,
    read_eslint,
    read_ktlint,
    read_ruff,
    read_swiftlint,
)

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import Context, ProcessResult, Step
    from runner.toolchain import Finding

TIMEOUT = 600.0
"""Seconds for each tool, when the payload does not say otherwise."""
MOST = 100
"""Findings that are listed; all are counted."""

implicit_checks = [Check("exit_code", 0)]


def _model(base: Any) -> Any:
    from typing import Literal

    from pydantic import Field

    class Payload(base, title="lint"):
        """What `lint` takes."""

        tool: Literal["ruff", "eslint", "ktlint", "swiftlint"] | None = Field(
            None, description="which one (default: all that the repository is for)"
        )
        paths: list[str] = Field(default_factory=list, description="files and folders (default: all)")
        fix: bool = Field(False, description="mend what the tool can mend")
        args: list[str] = Field(default_factory=list, description="further words for the tool; needs `tool`")
        cwd: str | None = Field(None, description="where; `~` is the home directory; default: the project")
        repo_path: str | None = Field(None, description="another name for cwd")
        timeout: float | None = Field(None, gt=0, description="seconds for each tool (default: 600)")

    return Payload


Payload = payload(_model)

INSTALL = {
    "ruff": "pip install ruff",
    "eslint": "npm install --save-dev eslint",
    "ktlint": "see pinterest.github.io/ktlint",
    "swiftlint": "brew install swiftlint",
}
OWN = {"ruff": (".venv/bin", "venv/bin"), "eslint": ("node_modules/.bin",)}
READERS = {"ruff": read_ruff, "eslint": read_eslint, "ktlint": read_ktlint, "swiftlint": read_swiftlint}


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Run each linter that is for this repository (or the one named), and join what they find."""
    given = step.payload
    tools = [given["tool"]] if given.get("tool") else detect(context.workspace)
    if not tools:
        return needs(
            "nothing here is known to be linted: no Python, no ESLint configuration, no Kotlin, no Swift",
            'name a tool: {"tool": "ruff"}',
        )
    programs = {tool: find_program(context, tool, OWN.get(tool, ())) for tool in tools}
    for tool, program in programs.items():
        if program is None:
            place = "in the project's own environment or on this machine's PATH"
            return needs(f"lint needs {tool}: it is not {place}", f"install it ({INSTALL[tool]})")
    limit = given.get("timeout") or TIMEOUT
    findings: list[Finding] = []
    runs: list[tuple[str, ProcessResult, bool]] = []
    for tool, program in programs.items():
        done = context.process([str(program), *words(tool, given)], timeout=limit, name=tool)
        found = READERS[tool](done.stdout.read_bytes(), context.workspace)
        findings += found or []
        runs.append((tool, done, found is not None))
        if done.limit is not None:
            return ended(done, tool, limit)
    return _result(runs, findings)


def detect(root: Path) -> list[str]:
    """The linters for what the repository holds."""
    tools = []
    if (root / "ruff.toml").exists() or (root / ".ruff.toml").exists() or _has(root, "*.py"):
        tools.append("ruff")
    if (
        any(root.glob("eslint.config.*"))
        or any(root.glob(".eslintrc*"))
        or "eslintConfig" in (package_json(root) or {})
    ):
        tools.append("eslint")
    if _has(root, "*.kt") or _has(root, "*.kts"):
        tools.append("ktlint")
    if (root / ".swiftlint.yml").exists() or _has(root, "*.swift"):
        tools.append("swiftlint")
    return tools


def _has(root: Path, glob: str) -> bool:
    """Whether there are such files at the top, or in the folders where sources are."""
    folders = [root, *(root / name for name in ("src", "app", "lib", "tests", "Sources", "Tests"))]
    return any(any(folder.glob(glob)) for folder in folders) or any(root.glob(f"*/src/**/{glob}"))


def words(tool: str, given: Any) -> list[str]:
    """What the tool is called with."""
    fix, paths, args = given.get("fix", False), list(given.get("paths", ())), list(given.get("args", ()))
    if tool == "ruff":
        return ["check", "--output-format", "json", *(["--fix"] if fix else []), *args, *(paths or ["."])]
    if tool == "eslint":
        return ["--format", "json", *(["--fix"] if fix else []), *args, *(paths or ["."])]
    if tool == "ktlint":
        return ["--reporter=json", *(["--format"] if fix else []), *args, *paths]
    return ["lint", "--reporter", "json", "--quiet", *(["--fix"] if fix else []), *args, *paths]


def _result(runs: list[tuple[str, ProcessResult, bool]], findings: list[Finding]) -> StepResult:
    code = next((done.exit_code for _, done, _ in runs if done.exit_code != 0), 0)
    evidence: dict[str, Any] = {
        "tools": [tool for tool, _, _ in runs],
        "findings": [asdict(finding) for finding in findings[:MOST]],
        "count": len(findings),
        "logs": {tool: str(done.stdout) for tool, done, _ in runs},
    }
    broken = [tool for tool, done, read in runs if done.exit_code != 0 and not read]
    if broken:
        done = next(done for tool, done, _ in runs if tool == broken[0])
        last = ended(done, broken[0]).evidence.get("stderr") or f"exit code {done.exit_code}"
        evidence["stderr"] = f"{broken[0]} could not run: {last}"
    elif findings:
        places = ", ".join(f"{one.file}:{one.line} {one.rule}" for one in findings[:3])
        evidence["stderr"] = f"{_count(len(findings))}: {places}{', …' if len(findings) > 3 else ''}"
    elif code != 0:
        evidence["stderr"] = f"{runs[0][0]} ended with {code} and listed nothing"
    lines = [_count(len(findings)), *(str(one) for one in findings[:MOST])]
    if len(findings) > MOST:
        lines.append(f"… and {len(findings) - MOST} more")
    return StepResult("ok", "\n".join(lines), code, evidence)


def _count(number: int) -> str:
    return {0: "nothing found", 1: "1 finding"}.get(number, f"{number} findings")
