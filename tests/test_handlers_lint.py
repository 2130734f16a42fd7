"""lint: the linters that the repository is for, and what they find."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.toolchain import read_eslint, read_ktlint, read_ruff, read_swiftlint
from tests.conftest import Runner
from tests.handlerkit import Kit


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path, "lint")


@pytest.fixture
def python(kit: Kit) -> Kit:
    """A Python project whose environment has ruff."""
    (kit.workspace / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    kit.write("pyproject.toml", "[tool.ruff]\nexclude = ['.venv']\nlint.select = ['F']\n")
    kit.write("good.py", "x = 1\n")
    return kit


def test_ruffs_findings_are_listed(python: Kit) -> None:
    python.write("bad.py", "import os\nprint(undefined)\n")
    result = python.run()
    assert (result.outcome, result.exit_code, result.evidence["count"]) == ("ok", 1, 2)
    assert result.evidence["findings"][0] == {
        "file": "bad.py",
        "line": 1,
        "column": 8,
        "rule": "F401",
        "message": "`os` imported but unused",
        "tool": "ruff",
    }
    assert result.evidence["stderr"] == "2 findings: bad.py:1 F401, bad.py:2 F821"
    assert result.output.splitlines()[0] == "2 findings"
    assert result.output.splitlines()[1] == "bad.py:1:8: F401 `os` imported but unused"


def test_a_clean_project(python: Kit) -> None:
    result = python.run()
    assert (result.exit_code, result.output) == (0, "nothing found")


def test_fix_mends_what_can_be_mended(python: Kit) -> None:
    path = python.write("bad.py", "import os\nx = 1\n")
    result = python.run(fix=True)
    assert (result.exit_code, path.read_text()) == (0, "x = 1\n")


def test_paths_and_words(python: Kit) -> None:
    python.write("bad.py", "import os\n")
    assert python.run(paths=["good.py"]).exit_code == 0
    assert python.run(tool="ruff", args=["--ignore", "F401"]).exit_code == 0


def test_a_tool_that_can_not_run_says_why(python: Kit) -> None:
    python.write("pyproject.toml", "[tool.ruff]\nno-such-key = 1\n")
    result = python.run()
    assert result.exit_code == 2
    assert result.evidence["stderr"].startswith("ruff could not run: ")


def test_many_findings_are_counted_and_some_are_listed(python: Kit) -> None:
    python.write("bad.py", "".join(f"import m{n}\n" for n in range(150)))
    result = python.run()
    assert (result.evidence["count"], len(result.evidence["findings"])) == (150, 100)
    assert result.output.splitlines()[-1] == "… and 50 more"


@pytest.mark.parametrize(
    ("files", "tools"),
    [
        (["a.py"], ["ruff"]),
        (["src/a.py"], ["ruff"]),
        (["eslint.config.js"], ["eslint"]),
        (["app/src/main/kotlin/A.kt"], ["ktlint"]),
        (["Sources/A.swift", "a.py"], ["ruff", "swiftlint"]),
        (["readme.md"], []),
    ],
)
def test_the_linters_are_known_by_what_the_repository_holds(kit: Kit, files: list[str], tools: list[str]) -> None:
    for name in files:
        kit.write(name)
    assert kit.handler.module.detect(kit.workspace) == tools


def test_several_linters_are_joined(python: Kit) -> None:
    python.write("A.swift")
    python.write("bad.py", "import os\n")
    report = [
        {"file": str(python.workspace / "A.swift"), "line": 3, "character": 5, "rule_id": "todo", "reason": "TODOs"}
    ]
    python.tool("swiftlint", f"print({json.dumps(report)!r}); sys.exit(2)\n")
    result = python.run()
    assert [one["tool"] for one in result.evidence["findings"]] == ["ruff", "swiftlint"]
    assert result.evidence["stderr"] == "2 findings: bad.py:1 F401, A.swift:3 todo"
    assert python.called("swiftlint") == [["lint", "--reporter", "json", "--quiet"]]


@pytest.mark.parametrize(
    ("tool", "how"),
    [
        ("ruff", "pip install ruff"),
        ("eslint", "npm install --save-dev eslint"),
        ("ktlint", "see pinterest.github.io/ktlint"),
        ("swiftlint", "brew install swiftlint"),
    ],
)
def test_what_is_missing_is_said(kit: Kit, tool: str, how: str) -> None:
    kit.bare()
    place = "in the project's own environment or on this machine's PATH"
    assert kit.question(tool=tool) == f"lint needs {tool}: it is not {place}; install it ({how}), then retry"


def test_nothing_to_lint(kit: Kit) -> None:
    assert kit.question().startswith("nothing here is known to be linted")


REPORTS: list[tuple[Any, Any, tuple[str, int, int, str, str]]] = [
    (
        read_eslint,
        [
            {
                "filePath": "/w/a.js",
                "messages": [{"ruleId": "no-undef", "message": "x is\n not defined", "line": 2, "column": 1}],
            }
        ],
        ("a.js", 2, 1, "no-undef", "x is not defined"),
    ),
    (
        read_ktlint,
        [{"file": "a.kt", "errors": [{"line": 1, "column": 2, "message": "Missing newline", "rule": "final-newline"}]}],
        ("a.kt", 1, 2, "final-newline", "Missing newline"),
    ),
    (
        read_swiftlint,
        [{"file": "/w/A.swift", "line": 9, "character": None, "rule_id": "todo", "reason": "TODOs"}],
        ("A.swift", 9, 0, "todo", "TODOs"),
    ),
    (
        read_ruff,
        [{"filename": "/w/a.py", "location": {"row": 1, "column": 2}, "code": None, "message": "SyntaxError: x"}],
        ("a.py", 1, 2, "syntax", "SyntaxError: x"),
    ),
]


@pytest.mark.parametrize(("reader", "report", "wanted"), REPORTS)
def test_each_tools_own_report(reader: Any, report: Any, wanted: tuple[str, int, int, str, str]) -> None:
    [found] = reader(json.dumps(report).encode(), Path("/w"))
    assert (found.file, found.line, found.column, found.rule, found.message) == wanted


@pytest.mark.parametrize("reader", [reader for reader, _, _ in REPORTS])
@pytest.mark.parametrize("data", [b"", b"{}", b"[", b"null", b"[1, null]", b'[{"messages": 3, "errors": {}}]', b"\xff"])
def test_a_report_may_be_anything(reader: Any, data: bytes) -> None:
    found = reader(data, Path("/w"))
    assert found is None or all(one.line == 0 for one in found)


def test_real_eslint_runs_where_it_is_a_project_of_its_own(kit: Kit) -> None:
    """A program named eslint in node_modules is preferred to one on PATH."""
    report = [{"filePath": str(kit.workspace / "a.js"), "messages": []}]
    kit.tool("eslint", "sys.exit(9)\n")
    own = kit.workspace / "node_modules" / ".bin" / "eslint"
    own.parent.mkdir(parents=True)
    own.write_text(f"#!/bin/sh\necho '{json.dumps(report)}'\n")
    own.chmod(0o755)
    kit.write("eslint.config.js", "export default [];")
    assert kit.run().exit_code == 0
    assert kit.called("eslint") == []


def test_through_the_queue(project: Path, runner: Runner) -> None:
    ruff = Path(sys.prefix) / "bin" / "ruff"
    assert ruff.exists() or shutil.which("ruff")
    (project / "bad.py").write_text("import os\n")
    (project / ".gitignore").write_text(".venv\n")
    (project / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "x")):
        subprocess.run(["git", *words], cwd=project, check=True)
    runner.ok("submit", "--type", "lint", "--payload", '{"tool": "ruff"}')
    assert runner("work", "--drain").code == 1
    [task] = runner.ok("queue", "--all", "--format", "json").json["items"]
    assert task["result"]["summary"] == "the exit code is 1, not 0: 1 finding: bad.py:1 F401"
