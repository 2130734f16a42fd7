"""Build an Android app with Gradle (the project's wrapper first), or with Flutter."""

from __future__ import annotations

import os
import time
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
    from pydantic import Field

    class Payload(base, title="android_build"):
        """What `android_build` takes."""

        task: str = Field("assembleDebug", min_length=1, description="the Gradle task")
        module: str | None = Field(None, description="the module whose task it is, such as `app`")
        flutter: bool | None = Field(None, description="build with Flutter (default: when there is a pubspec.yaml)")
        target: str = Field("apk", description="flutter: what to build, `apk` or `appbundle`")
        args: list[str] = Field(default_factory=list, description="further words for the tool")
        cwd: str | None = Field(None, description="where; `~` is the home directory; default: the project")
        repo_path: str | None = Field(None, description="another name for cwd")
        timeout: float | None = Field(None, gt=0, description="seconds until it is ended (default: 3600)")

    return Payload


Payload = payload(_model)


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Build, and name the packages that came out."""
    given, root = step.payload, context.workspace
    flutter = given.get("flutter")
    if flutter is None:
        flutter = (root / "pubspec.yaml").exists()
    argv = _flutter(context, given) if flutter else _gradle(context, given)
    if not isinstance(argv, list):
        return argv  # what is missing
    limit = given.get("timeout") or (TIMEOUT if step.policy.timeout is None else None)
    began = time.time()
    done = context.process([*argv, *given.get("args", ())], timeout=limit)
    built = _built(root, began) if done.exit_code == 0 else []
    return ended(done, "the build", limit, tool="flutter" if flutter else "gradle", built=built)


def _gradle(context: Context, given: Any) -> list[str] | StepResult:
    root = context.workspace
    module, task = given.get("module"), given.get("task", "assembleDebug")
    words = [f":{module.strip(':')}:{task}" if module else task, "--console=plain"]
    if (root / "gradlew").exists():
        return ["sh", str(root / "gradlew"), *words]
    if not any(
        (root / name).exists()
        for name in ("build.gradle", "build.gradle.kts", "settings.gradle.kts", "settings.gradle")
    ):
        return needs(f"there is no Gradle project in {root}", "set cwd to the folder with build.gradle or gradlew")
    program = find_program(context, "gradle")
    if program is None:
        sentence = "android_build needs Gradle: there is no gradlew in the project and no gradle on this machine's PATH"
        return needs(sentence, "add the wrapper, or install Gradle")
    return [program, *words]


def _flutter(context: Context, given: Any) -> list[str] | StepResult:
    program = find_program(context, "flutter")
    if program is None:
        return needs("android_build needs Flutter: it is not on this machine's PATH", "install the Flutter SDK")
    return [program, "build", given.get("target", "apk")]


def _built(root: Path, began: float) -> list[str]:
    """The packages that were written since, newest last, relative to the workspace."""
    found = [path for glob in ("**/*.apk", "**/*.aab") for path in root.glob(glob) if path.is_file()]
    new = [path for path in found if path.stat().st_mtime >= began - 1]
    return [os.path.relpath(path, root) for path in sorted(new, key=lambda path: path.stat().st_mtime)][-20:]
