"""test_run: the framework the repository uses, and the names of the tests that failed."""
# ruff: noqa: E501 - sentences are compared whole

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from runner.toolchain import read_junit
from tests.conftest import Runner
from tests.handlerkit import Kit

TESTS = """
import pytest

def test_good():
    pass

def test_bad():
    assert 1 == 2, "one is not two"

@pytest.mark.skip
def test_later():
    pass

class TestGroup:
    @pytest.mark.parametrize("n", [1, 2])
    def test_in_a_class(self, n):
        assert n == 1
"""


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path, "test_run")


@pytest.fixture
def python(kit: Kit) -> Kit:
    """A project whose tests are pytest's, with this environment's pytest as its own."""
    kit.write("tests/test_it.py", TESTS)
    (kit.workspace / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    return kit


def test_the_failing_tests_of_pytest_are_listed(python: Kit) -> None:
    result = python.run()
    assert (result.outcome, result.exit_code, result.evidence["framework"]) == ("ok", 1, "pytest")
    assert result.evidence["tests"] == {"passed": 2, "failed": 2, "skipped": 1, "total": 5}
    first, second = result.evidence["failed"]
    assert (first["name"], first["file"], first["line"]) == ("tests/test_it.py::test_bad", "tests/test_it.py", 8)
    assert "one is not two" in first["message"]
    assert second["name"] == "tests/test_it.py::TestGroup::test_in_a_class[2]"
    assert result.evidence["stderr"] == (
        "2 of 5 tests failed: tests/test_it.py::test_bad, tests/test_it.py::TestGroup::test_in_a_class[2]"
    )
    assert "FAILED tests/test_it.py::test_bad (tests/test_it.py:8): " in result.output
    assert Path(result.evidence["report"]).parent != python.workspace, "the report is not in the workspace"


def test_paths_and_words_reach_the_framework(python: Kit) -> None:
    result = python.run(paths=["tests/test_it.py::test_good"], args=["-q"])
    assert result.exit_code == 0
    assert result.output == "1 test passed"


def test_a_run_without_tests_says_so(python: Kit) -> None:
    result = python.run(args=["-k", "nothing_like_it"])
    assert result.exit_code == 5
    assert result.evidence["stderr"] == "no tests were run"


def test_a_run_that_takes_too_long_is_ended(python: Kit) -> None:
    python.write("tests/test_it.py", "import time\n\ndef test_slow():\n    time.sleep(60)\n")
    result = python.run(timeout=2)
    assert result.outcome == "timeout"
    assert result.evidence["error"] == "the test run took longer than 2 s and was ended"


def test_a_file_that_can_not_be_imported_is_a_failure(python: Kit) -> None:
    python.write("tests/test_it.py", "import nothing_of_that_name\n")
    result = python.run()
    assert result.exit_code == 2
    assert result.evidence["tests"]["failed"] == 1
    assert "tests.test_it" in result.evidence["stderr"]


@pytest.mark.parametrize(
    ("file", "text", "framework"),
    [
        ("pytest.ini", "[pytest]", "pytest"),
        ("pyproject.toml", "[tool.pytest.ini_options]", "pytest"),
        ("package.json", '{"devDependencies": {"jest": "29"}}', "jest"),
        ("package.json", '{"scripts": {"test": "vitest run"}}', "vitest"),
        ("package.json", '{"scripts": {"test": "node --test"}}', "npm"),
        ("build.gradle.kts", "", "gradle"),
        ("App.xcodeproj/project.pbxproj", "", "xcode"),
    ],
)
def test_the_framework_is_known_by_what_the_repository_holds(kit: Kit, file: str, text: str, framework: str) -> None:
    kit.write(file, text)
    assert kit.handler.module.detect(kit.workspace) == framework


MISSING = {
    "pytest": "test_run needs pytest: it is in no .venv of the project and not on this machine's PATH; install it, then retry",
    "jest": "test_run needs jest: it is not in node_modules and not on this machine's PATH; run `npm install` in the project, or `npm install --save-dev jest`, then retry",
    "gradle": "test_run needs Gradle: there is no gradlew in the project and no gradle on this machine's PATH; add the wrapper, or install Gradle, then retry",
    "xcode": f"test_run needs macOS with Xcode: xcodebuild is not on this machine's PATH ({sys.platform}); route it to a machine that has it, then retry",
    "npm": "test_run needs npm: it is not on this machine's PATH; install Node.js, then retry",
}  # fmt: skip


@pytest.mark.parametrize("framework", MISSING)
def test_what_is_missing_is_said(kit: Kit, framework: str) -> None:
    kit.bare()
    assert kit.question(framework=framework) == MISSING[framework]


def test_a_repository_without_tests(kit: Kit) -> None:
    assert kit.question().startswith("no tests were recognised: no pytest, jest, vitest, gradle or Xcode project")


JEST = {
    "numFailedTests": 1,
    "testResults": [
        {
            "name": "ROOT/src/a.test.js",
            "status": "failed",
            "assertionResults": [
                {"fullName": "adds two", "status": "passed", "failureMessages": []},
                {
                    "fullName": "subtracts",
                    "status": "failed",
                    "failureMessages": ["\x1b[31mError: expected 1\x1b[39m"],
                    "location": {"line": 7, "column": 3},
                },
                {"fullName": "later", "status": "pending"},
            ],
        },
        {"name": "ROOT/src/b.test.js", "status": "failed", "message": "SyntaxError: x", "assertionResults": []},
    ],
}


@pytest.mark.parametrize("name", ["jest", "vitest"])
def test_the_report_of_jest_and_vitest(kit: Kit, name: str) -> None:
    report = json.dumps(JEST).replace("ROOT", str(kit.workspace))
    (kit.workspace / "node_modules" / ".bin").mkdir(parents=True)
    tool = kit.tool(
        name,
        f"out = [a for a in argv if a.startswith('--outputFile=')][0][13:]\nopen(out, 'w').write({report!r})\nsys.exit(1)\n",
    )
    tool.rename(kit.workspace / "node_modules" / ".bin" / name)
    result = kit.run(framework=name)
    assert result.exit_code == 1
    assert result.evidence["tests"] == {"passed": 1, "failed": 2, "skipped": 1, "total": 4}
    assert result.evidence["failed"][0] == {
        "name": "src/a.test.js > subtracts",
        "message": "Error: expected 1",
        "file": "src/a.test.js",
        "line": 7,
    }
    assert result.evidence["stderr"] == "2 of 4 tests failed: src/a.test.js > subtracts, src/b.test.js"


GRADLE = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="com.x.CalcTest" tests="2" failures="1">
  <testcase name="adds" classname="com.x.CalcTest" time="0.01"/>
  <testcase name="divides" classname="com.x.CalcTest" time="0.02">
    <failure message="expected: &lt;1&gt; but was: &lt;2&gt;" type="x">trace</failure>
  </testcase>
</testsuite>
"""


def test_the_reports_of_gradle_of_this_run_alone(kit: Kit) -> None:
    old = kit.write("app/build/test-results/test/TEST-old.xml", GRADLE)
    import os

    os.utime(old, (1, 1))
    kit.write(
        "gradlew",
        f"mkdir -p lib/build/test-results/test\ncat > lib/build/test-results/test/TEST-a.xml <<'E'\n{GRADLE}E\nexit 1\n",
    )
    result = kit.run()
    assert (result.evidence["framework"], result.exit_code) == ("gradle", 1)
    assert result.evidence["tests"] == {"passed": 1, "failed": 1, "skipped": 0, "total": 2}
    assert result.evidence["stderr"] == "1 of 2 tests failed: com.x.CalcTest.divides"
    assert result.evidence["failed"][0]["message"] == "expected: <1> but was: <2>"


def test_what_xcodebuild_prints(kit: Kit) -> None:
    file = kit.workspace / "Tests" / "CalcTests.swift"
    said = (
        "Test Case '-[AppTests.CalcTests testAdds]' started.\n"
        "Test Case '-[AppTests.CalcTests testAdds]' passed (0.001 seconds).\n"
        f"{file}:12: error: -[AppTests.CalcTests testDivides] : XCTAssertEqual failed\n"
        "Test Case '-[AppTests.CalcTests testDivides]' failed (0.002 seconds).\n"
    )
    kit.tool("xcodebuild", f"sys.stdout.write({said!r})\nsys.exit(65)\n")
    result = kit.run(framework="xcode", scheme="App")
    assert result.evidence["tests"] == {"passed": 1, "failed": 1, "skipped": 0, "total": 2}
    assert result.evidence["failed"] == [
        {
            "name": "AppTests.CalcTests.testDivides",
            "message": "XCTAssertEqual failed",
            "file": "Tests/CalcTests.swift",
            "line": 12,
        }
    ]
    assert kit.called("xcodebuild")[0][:3] == ["test", "-scheme", "App"]


def test_without_a_report_the_exit_code_decides_and_that_is_said(kit: Kit) -> None:
    kit.tool("pytest", "print('broken'); sys.exit(3)\n")
    result = kit.run(framework="pytest")
    assert (result.outcome, result.exit_code) == ("ok", 3)
    assert result.evidence["report_missing"] == "pytest left no report that can be read; its exit code decides"


@pytest.mark.parametrize(
    "text",
    ["", "<", "<testsuite>", "not xml", '<!DOCTYPE a [<!ENTITY b "c">]><testsuite><testcase name="&b;"/></testsuite>'],
)
def test_a_damaged_or_dangerous_report_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.xml").write_text(text)
    assert read_junit([tmp_path / "r.xml"]) is None


def test_a_report_of_many_failures_lists_some_and_counts_all(tmp_path: Path) -> None:
    cases = "".join(
        f'<testcase classname="t" name="n{n}"><failure message="{"x" * 5000}"/></testcase>' for n in range(2000)
    )
    (tmp_path / "r.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    report = read_junit([tmp_path / "r.xml"])
    assert report is not None
    assert (report.failed, len(report.failures), len(report.failures[0].message)) == (2000, 50, 2000)
    assert report.sentence().endswith(" and 1995 more")


@pytest.mark.parametrize("payload", [{"framework": "pytets"}, {"pathes": []}, {"timeout": 0}, {"args": "-q"}])
def test_a_wrong_payload_is_refused(kit: Kit, payload: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        kit.run(**payload)  # type: ignore[arg-type]


def test_through_the_queue_a_red_run_names_the_failing_tests(project: Path, runner: Runner) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_it.py").write_text(TESTS)
    (project / ".gitignore").write_text(".venv\n")
    (project / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "x")):
        subprocess.run(["git", *words], cwd=project, check=True)
    runner.ok("submit", "--type", "test_run", "--payload", "{}")
    assert runner("work", "--drain").code == 1
    [task] = runner.ok("queue", "--all", "--format", "json").json["items"]
    assert task["status"] == "failed"
    assert task["result"]["summary"].startswith(
        "the exit code is 1, not 0: 2 of 5 tests failed: tests/test_it.py::test_bad"
    )
    assert task["result"]["failed"][0]["name"] == "tests/test_it.py::test_bad"
    said = runner.ok("why", task["id"]).stdout
    assert "tests/test_it.py::test_bad" in said
    wrong = runner("submit", "--type", "test_run", "--payload", '{"framwork": "pytest"}')
    assert wrong.code == 2
    assert "unknown field 'framwork' (did you mean 'framework'?)" in wrong.stderr
