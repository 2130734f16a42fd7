"""npm_build, android_build, ios_build: the project's own tools, and the exact sentence where one is missing."""
# ruff: noqa: E501 - sentences are compared whole

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.conftest import Runner
from tests.handlerkit import Kit

PACKAGE = {"name": "x", "version": "1.0.0", "scripts": {"build": "echo built > out.txt && echo done", "bad": "exit 4"}}


@pytest.fixture
def npm(tmp_path: Path) -> Kit:
    kit = Kit(tmp_path, "npm_build")
    kit.write("package.json", json.dumps(PACKAGE))
    return kit


def test_npm_runs_the_script_or_says_that_npm_is_missing(npm: Kit) -> None:
    result = npm.run()
    if shutil.which("npm"):
        assert (result.outcome, result.exit_code) == ("ok", 0)
        assert (npm.workspace / "out.txt").read_text() == "built\n"
        assert result.output.rstrip().endswith("done")
        assert npm.run(script="bad").exit_code == 4
    else:
        assert result.evidence["question"] == (
            "npm_build needs npm: it is not on this machine's PATH; install Node.js, then retry"
        )


@pytest.mark.parametrize(
    ("lock", "manager", "install"),
    [
        (None, "npm", ["install", "--no-audit", "--no-fund"]),
        ("package-lock.json", "npm", ["ci", "--no-audit", "--no-fund"]),
        ("pnpm-lock.yaml", "pnpm", ["install", "--frozen-lockfile"]),
        ("yarn.lock", "yarn", ["install", "--frozen-lockfile"]),
        ("bun.lock", "bun", ["install", "--frozen-lockfile"]),
    ],
)
def test_the_lock_file_says_which_manager_and_what_is_missing_is_installed(
    npm: Kit, lock: str | None, manager: str, install: list[str]
) -> None:
    npm.write("package.json", json.dumps({**PACKAGE, "dependencies": {"a": "1"}}))
    if lock:
        npm.write(lock)
    npm.tool(manager, "")
    result = npm.run(args=["--fast"])
    extra = ["--", "--fast"] if manager == "npm" else ["--fast"]
    assert npm.called(manager) == [install, ["run", "build", *extra]]
    assert result.evidence["manager"] == manager
    (npm.workspace / "node_modules").mkdir()
    npm.run()
    assert len(npm.called(manager)) == 3, "nothing is installed when it is there"


def test_an_install_that_fails_is_the_result(npm: Kit) -> None:
    npm.write("package.json", json.dumps({**PACKAGE, "dependencies": {"a": "1"}}))
    npm.tool("npm", "sys.stderr.write('E404 no such package\\n'); sys.exit(1)\n")
    result = npm.run()
    assert (result.exit_code, result.evidence["stderr"]) == (1, "E404 no such package")
    assert len(npm.called("npm")) == 1


def test_what_npm_build_can_not_do(tmp_path: Path, npm: Kit) -> None:
    assert npm.question(script="biuld") == (
        "package.json has no script 'biuld' (did you mean 'build'?); add it, or name another, then retry"
    )
    npm.bare()
    assert npm.question() == "npm_build needs npm: it is not on this machine's PATH; install Node.js, then retry"
    npm.write("pnpm-lock.yaml")
    assert npm.question() == (
        "npm_build needs pnpm: it is not on this machine's PATH; install it: npm install -g pnpm, then retry"
    )
    (npm.workspace / "package.json").unlink()
    assert npm.question().startswith(f"there is no package.json in {npm.workspace}")


# Android


@pytest.fixture
def android(tmp_path: Path) -> Kit:
    return Kit(tmp_path, "android_build")


def test_the_wrapper_of_the_project_comes_first_and_what_was_built_is_named(android: Kit) -> None:
    android.tool("gradle", "sys.exit(9)\n")
    android.write("old.apk")
    import os

    os.utime(android.workspace / "old.apk", (1, 1))
    android.write(
        "gradlew", 'echo "$@" > words\nmkdir -p app/build/outputs\necho x > app/build/outputs/app-debug.apk\n'
    )
    result = android.run(task="assembleRelease", module=":app", args=["--offline"])
    assert (result.exit_code, result.evidence["tool"]) == (0, "gradle")
    assert (android.workspace / "words").read_text() == ":app:assembleRelease --console=plain --offline\n"
    assert result.evidence["built"] == ["app/build/outputs/app-debug.apk"]


def test_gradle_of_the_machine_and_a_red_build(android: Kit) -> None:
    android.write("build.gradle")
    android.tool("gradle", "sys.stderr.write('FAILURE: Build failed\\n'); sys.exit(1)\n")
    result = android.run()
    assert (result.outcome, result.exit_code, result.evidence["stderr"]) == ("ok", 1, "FAILURE: Build failed")
    assert android.called("gradle") == [["assembleDebug", "--console=plain"]]


def test_a_flutter_project_is_built_by_flutter(android: Kit) -> None:
    android.write("pubspec.yaml")
    android.tool("flutter", "")
    assert android.run(target="appbundle").evidence["tool"] == "flutter"
    assert android.called("flutter") == [["build", "appbundle"]]


def test_what_android_build_misses(android: Kit) -> None:
    android.bare()
    assert android.question() == (
        f"there is no Gradle project in {android.workspace}; set cwd to the folder with build.gradle or gradlew, then retry"
    )
    android.write("settings.gradle.kts")
    assert android.question() == (
        "android_build needs Gradle: there is no gradlew in the project and no gradle on this machine's PATH; add the wrapper, or install Gradle, then retry"
    )
    assert android.question(flutter=True) == (
        "android_build needs Flutter: it is not on this machine's PATH; install the Flutter SDK, then retry"
    )


# iOS


@pytest.fixture
def ios(tmp_path: Path) -> Kit:
    return Kit(tmp_path, "ios_build")


def test_xcodebuild_gets_workspace_scheme_and_configuration(ios: Kit) -> None:
    ios.write("Shop.xcworkspace/contents", "")
    ios.write("Shop.xcodeproj/project.pbxproj", "")
    # `xcodebuild` is called by name: the one that PATH has.
    ios.tool("xcodebuild", "print('** BUILD SUCCEEDED **')\n")
    result = ios.run(configuration="Release", sdk="iphonesimulator", args=["-quiet"])
    assert (result.outcome, result.output) == ("ok", "** BUILD SUCCEEDED **")
    assert ios.called("xcodebuild") == [
        [
            "-workspace",
            "Shop.xcworkspace",
            "-scheme",
            "Shop",
            "-configuration",
            "Release",
            "-sdk",
            "iphonesimulator",
            "build",
            "-quiet",
        ]
    ]
    ios.run(project="Shop.xcodeproj", scheme="Other")
    assert ios.called("xcodebuild")[1][:4] == ["-project", "Shop.xcodeproj", "-scheme", "Other"]


def test_pods_are_installed_when_they_are_missing(ios: Kit) -> None:
    ios.write("Shop.xcodeproj/project.pbxproj", "")
    ios.write("Podfile", "")
    ios.tool("xcodebuild", "")
    ios.tool("pod", "os.makedirs('Pods'); os.makedirs('Shop.xcworkspace')\n")
    assert ios.run().exit_code == 0
    assert ios.called("pod") == [["install"]]
    assert ios.called("xcodebuild")[0][:2] == ["-workspace", "Shop.xcworkspace"], "pod made it"


def test_a_flutter_app(ios: Kit) -> None:
    ios.write("pubspec.yaml")
    ios.tool("xcodebuild", "")
    ios.tool("flutter", "")
    assert ios.run(configuration="Release").evidence["tool"] == "flutter"
    assert ios.called("flutter") == [["build", "ios", "--no-codesign", "--release"]]


def test_what_ios_build_misses(ios: Kit) -> None:
    ios.bare()
    assert ios.question() == (
        f"ios_build needs macOS with Xcode: xcodebuild is not on this machine's PATH ({sys.platform}); route it to a machine that has it, then retry"
    )
    ios.tool("xcodebuild", "")
    assert ios.question().startswith(f"there is no .xcworkspace or .xcodeproj in {ios.workspace}")
    ios.write("A.xcodeproj/x")
    ios.write("Podfile")
    assert ios.question() == (
        "ios_build needs CocoaPods: pod is not on this machine's PATH; install it: brew install cocoapods, then retry"
    )
    assert ios.question(flutter=True).startswith("ios_build needs Flutter")


@pytest.mark.parametrize("type", ["npm_build", "android_build", "ios_build", "lint", "git_pull", "test_run"])
def test_a_wrong_field_is_refused_and_the_schema_tells_the_right_ones(type: str, tmp_path: Path) -> None:
    kit = Kit(tmp_path, type)
    with pytest.raises(ValidationError):
        kit.run(nothing_of_that_name=1)
    with pytest.raises(ValidationError):
        kit.run(timeout="soon")
    with pytest.raises(ValidationError, match="NUL"):
        kit.run(cwd="a\0b")
    schema = kit.handler.spec.payload_model.model_json_schema()
    assert schema["title"] == type
    assert all("description" in field for field in schema["properties"].values())


def test_a_build_that_is_missing_its_tool_waits_for_a_person_and_says_why(project: Path, runner: Runner) -> None:
    runner.ok("submit", "--type", "android_build", "--payload", "{}")
    assert runner("work", "--drain").code == 3
    review = runner.ok("review").stdout
    assert "there is no Gradle project in" in review
    wrong = runner("submit", "--type", "android_build", "--payload", '{"taks": "x"}')
    assert wrong.code == 2
    assert "unknown field 'taks' (did you mean 'task'?)" in wrong.stderr
