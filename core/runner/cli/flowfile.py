"""A workflow's file as the commands need it: found, loaded, everything wrong with it told."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.workflows.check import Problem
    from runner.workflows.load import Loaded


def opened(inv: Invocation, name: str) -> tuple[App, Loaded, list[Problem]]:
    """The App with the project's code, the workflow of that name or file, and what is wrong with it."""
    from runner.workflows.payload import library  # here, both: pydantic
    from runner.workflows.problems import problems

    app = inv.app(code=True)
    loaded = library(app, Path.cwd()).load(name)
    return app, loaded, problems(app, loaded)


def refuse(inv: Invocation, found: Sequence[Problem]) -> None:
    """Tell the warnings; a ConfigError with the first error, after the others were told."""
    for problem in found:
        if problem.warning:
            inv.warn(str(problem).removeprefix(": "))
    errors = [problem for problem in found if not problem.warning]
    for problem in errors[1:]:
        inv.talk(f"error: {str(problem).removeprefix(': ')}")
    if errors:
        first = errors[0]
        place = f"{first.place}: " if first.place else ""
        raise ConfigError(f"{place}{first.message}", first.hint)


def without_tests(names: Sequence[str]) -> list[str]:
    """These names but for `test_….yaml`, which `workflows/*.yaml` matches as well and which are no workflows."""
    found = [name for name in names if not re.fullmatch(r"test_.*\.ya?ml", os.path.basename(name))]
    return found or list(names)


def parameters(loaded: Loaded, values: Sequence[str], named: Sequence[str]) -> dict[str, str]:
    """The values of the parameters: by position, and `NAME=VALUE`."""
    known = [param.name for param in loaded.params]
    if len(values) > len(known):
        takes = f"it takes {len(known)}: {', '.join(known)}" if known else "it has no parameters"
        raise UsageError(f"workflow '{loaded.source.workflow.name}' gets {len(values)} values", takes)
    given = dict(zip(known, values, strict=False))
    for word in named:
        name, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"--param {word}: write NAME=VALUE")
        if name in given:
            raise UsageError(f"the parameter '{name}' is given twice", "give it once")
        given[name] = value
    return given


class Workflow(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.2
    """The name or file of a workflow, completed from the folders where they are looked up."""

    name = "workflow"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Names of workflows, then files."""
        from click.shell_completion import CompletionItem

        from runner.workflows.payload import FOLDERS

        found = {
            path.stem for folder in FOLDERS for path in Path(folder).glob("*.y*ml") if path.stem.startswith(incomplete)
        }
        return [*(CompletionItem(one) for one in sorted(found)), CompletionItem(incomplete, type="file")]


def check_name(name: str) -> None:
    """UsageError for what can't be the name of a workflow's file."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UsageError(f"'{name}' can't be a workflow's name", "use letters, digits, '_', '-' and '.'")
