"""Build an iOS or macOS app with xcodebuild, CocoaPods where the project has a Podfile, or Flutter."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.model import Check
from runner.payloads import payload
from runner.toolchain import ended, find_program, needs

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import Context, Step, StepResult

TIMEOUT = 3600.0
"""Seconds, when neither the payload nor the task's policy says otherwise."""

implicit_checks = [Check("exit_code", 0)]


def _model(base: Any) -> Any:
    from typing import Literal

    from pydantic import Field

    class Payload(base, title="ios_build"):
        """What `ios_build` takes."""

        scheme: str | None = Field(None, min_length=1, description="the scheme (default: the project's name)")
        workspace: str | None = Field(None, description="the .xcworkspace (default: the one that is there)")
        project: str | None = Field(None, description="the .xcodeproj (default: the one that is there)")
        configuration: str = Field("Debug", min_length=1, description="Debug or Release")
        sdk: str | None = Field(None, description="such as iphonesimulator")
        destination: str | None = Field(None, description="such as 'generic/platform=iOS'")
        action: Literal["build", "archive", "clean"] = Field("build", description="what xcodebuild does")
        pods: bool | None = Field(None, description="install pods first (default: when they are missing)")
        flutter: bool | None = Field(None, description="build with Flutter (default: when there is a pubspec.yaml)")
        args: list[str] = Field(default_factory=list, description="further words for the tool")
        cwd: str | None = Field(None, description="where; `~` is the home directory; default: the project")
        repo_path: str | None = Field(None, description="another name for cwd")
        timeout: float | None = Field(None, gt=0, description="seconds until it is ended (default: 3600)")

    return Payload


Payload = payload(_model)


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Install what is missing, then build; signing is left to the project's own settings."""
    given, root = step.payload, context.workspace
    limit = given.get("timeout") or (TIMEOUT if step.policy.timeout is None else None)
    if find_program(context, "xcodebuild") is None:
        sentence = f"ios_build needs macOS with Xcode: xcodebuild is not on this machine's PATH ({sys.platform})"
        return needs(sentence, "route it to a machine that has it")
    flutter = given.get("flutter")
    if flutter is None:
        flutter = (root / "pubspec.yaml").exists()
    argv = _flutter(context, given) if flutter else _xcode(context, given)
    if not isinstance(argv, list):
        return argv  # what is missing
    if not flutter and _wants_pods(given.get("pods"), root):
        pod = find_program(context, "pod")
        if pod is None:
            return needs(
                "ios_build needs CocoaPods: pod is not on this machine's PATH", "install it: brew install cocoapods"
            )
        done = context.process([pod, "install"], timeout=limit, name="pods")
        if done.exit_code != 0 or done.limit is not None:
            return ended(done, "`pod install`", limit, tool="cocoapods")
        argv = _xcode(context, given)  # it may have made the workspace
        if not isinstance(argv, list):
            return argv
    done = context.process([*argv, *given.get("args", ())], timeout=limit)
    return ended(done, "the build", limit, tool="flutter" if flutter else "xcodebuild")


def _xcode(context: Context, given: Any) -> list[str] | StepResult:
    root = context.workspace
    words = ["xcodebuild"]
    where = _container(root, given)
    if where is None:
        return needs(f"there is no .xcworkspace or .xcodeproj in {root}", "set cwd to the folder that has one")
    flag, name = where
    words += [flag, name, "-scheme", given.get("scheme") or name.rpartition("/")[2].partition(".")[0]]
    words += ["-configuration", given.get("configuration", "Debug")]
    for key in ("sdk", "destination"):
        words += [f"-{key}", given[key]] if given.get(key) else []
    if given.get("action") == "archive":
        words += ["-archivePath", str(context.folder / "app.xcarchive")]
    return [*words, given.get("action", "build")]


def _container(root: Path, given: Any) -> tuple[str, str] | None:
    """What xcodebuild is to open: what was named, else the workspace, else the project that is there."""
    for key, flag in (("workspace", "-workspace"), ("project", "-project")):
        if given.get(key):
            return flag, given[key]
    for flag, suffix in (("-workspace", "xcworkspace"), ("-project", "xcodeproj")):
        found = sorted(path.name for path in root.glob(f"*.{suffix}"))
        if found:
            return flag, found[0]
    return None


def _wants_pods(asked: bool | None, root: Path) -> bool:
    if asked is not None:
        return asked
    return (root / "Podfile").exists() and not (root / "Pods").exists()


def _flutter(context: Context, given: Any) -> list[str] | StepResult:
    program = find_program(context, "flutter")
    if program is None:
        return needs("ios_build needs Flutter: it is not on this machine's PATH", "install the Flutter SDK")
    mode = given.get("configuration", "Debug").lower()
    return [
        program,
        "build",
        "ios",
        "--no-codesign",
        *([f"--{mode}"] if mode in ("debug", "profile", "release") else []),
    ]
