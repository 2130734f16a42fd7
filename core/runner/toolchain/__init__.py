"""What handlers of builds, tests and linters share: finding programs, reading reports, saying how a process ended."""

from __future__ import annotations

from runner.toolchain.ended import ended, needs
from runner.toolchain.findings import Finding, read_eslint, read_ktlint, read_ruff, read_swiftlint
from runner.toolchain.programs import find_program, package_json, project_folders
from runner.toolchain.reports import Failure, TestReport, read_jest, read_junit, read_xcodebuild

__all__ = [
    "Failure",
    "Finding",
    "TestReport",
    "ended",
    "find_program",
    "needs",
    "package_json",
    "project_folders",
    "read_eslint",
    "read_jest",
    "read_junit",
    "read_ktlint",
    "read_ruff",
    "read_swiftlint",
    "read_xcodebuild",
]
