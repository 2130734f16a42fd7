"""The pages that are made from the program: commands, configuration, hooks, types, checks, agents, workflow files.

mkdocs calls `on_files`; nothing of this is committed, so nothing of it can be out of date.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages."""
    from mkdocs.structure.files import File

    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    return files


def hooks() -> str:
    """All hooks: signature and docstring, as they stand in `runner.hookspecs`."""
    from runner.hookspecs import Around, TheSix

    lines = [
        "# Hooks",
        "",
        "From `runner.hookspecs`. Mark an implementation with `@hookimpl`; take only the arguments you need.",
        "",
    ]
    for title, owner in (("The six", TheSix), ("Around them", Around)):
        lines += [f"## {title}", ""]
        for name, function in vars(owner).items():
            if name.startswith("_"):
                continue
            signature = (
                str(inspect.signature(function)).replace("(self, ", "(").replace("(self)", "()").replace("'", "")
            )
            lines += [f"### {name}", "", "```text", f"{name}{signature}", "```", "", inspect.getdoc(function) or "", ""]
    return "\n".join(lines)


def commands() -> str:
    """Every built-in command: usage, what it does, options, examples."""
    import click

    from runner.cli.main import group as main
    from runner.cli.table import COMMANDS, SECTIONS

    lines = ["# Commands", "", "Options of `runner` itself may stand before or after the command.", ""]
    with click.Context(main, info_name="runner") as context:
        for section in SECTIONS:
            lines += [f"## {section}", ""]
            for name, entry in COMMANDS.items():
                if entry.section == section:
                    command = main.get_command(context, name)
                    assert command is not None
                    lines += _command(command, f"runner {name}", context)
    return "\n".join(lines)


def _command(command: Any, path: str, parent: Any) -> Iterator[str]:
    import click

    with click.Context(command, info_name=path.rpartition(" ")[2], parent=parent) as context:
        yield f"### {path}"
        yield ""
        yield from ("```text", *_help(command, context).splitlines(), "```", "")
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None:
                    yield from _command(inner, f"{path} {name}", context)


def _help(command: Any, context: Any) -> str:
    context.terminal_width = context.max_content_width = 100
    return re.sub(r"\x1b\[[0-9;]*m", "", command.get_help(context))


def configuration() -> str:
    """Every key of runner.yaml, with its type, default and meaning; and those of machines.yaml."""
    from runner.config.schema import MachineSettings, Settings

    lines = [
        "# Configuration",
        "",
        "`runner.yaml` in the project, `config.yaml` in `$XDG_CONFIG_HOME/runner/`, variables (`RUNNER_WORKER_LEASE`),",
        "flags: the later one wins. `runner config` prints every effective value and where it came from;",
        "`runner schema config` prints the JSON Schema for editors.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += _keys(Settings, "")
    lines += [
        "",
        "## machines.yaml",
        "",
        "Below `machines.NAME`:",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += _keys(MachineSettings, "")
    return "\n".join(lines)


def _keys(model: Any, prefix: str) -> Iterator[str]:
    from pydantic import BaseModel

    for name, field in model.model_fields.items():
        if prefix == "" and name == "machines":
            continue
        path, annotation = f"{prefix}{name}", field.annotation
        inner = _models(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _keys(annotation, f"{path}.")
        elif inner:
            many = "NAME." if "dict" in str(annotation) else "N."
            yield from _keys(inner[0], f"{path}.{many}")
        else:
            default = field.get_default(call_default_factory=True)
            shown = "" if default in (None, (), {}) else f"`{default}`"
            yield f"| `{path}` | {_type(annotation)} | {shown} | {_cell(field.description or '')} |"


def _models(annotation: Any) -> list[Any]:
    from typing import get_args

    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _type(annotation: Any) -> str:
    text = str(annotation)
    literal = re.findall(r"'([\w -]+)'", text)
    if "Literal" in text and literal:
        return _cell(" or ".join(dict.fromkeys(literal)))
    for mark, word in (
        ("dict", "mapping"),
        ("tuple", "list"),
        ("bool", "true or false"),
        ("float", "number or duration"),
        ("int", "whole number"),
        ("str", "text"),
    ):
        if mark in text:
            return word
    return "value"


def types() -> str:
    """The task types that ship, with the fields of their payloads."""
    app = _app()
    lines = ["# Task types", "", "`runner schema type NAME` prints the JSON Schema of a payload.", ""]
    for name in app.types:
        spec = app.types[name]
        lines += [f"## {name}", "", spec.summary, "", f"Counts as done: {spec.expects}. Repairs: {spec.repairs}.", ""]
        schema = spec.payload_model.model_json_schema() if spec.payload_model is not None else {}
        required = schema.get("required", ())
        lines += ["| field | needed | meaning |", "|---|---|---|"]
        for field, about in schema.get("properties", {}).items():
            lines.append(
                f"| `{field}` | {'yes' if field in required else ''} | {_cell(about.get('description', ''))} |"
            )
        lines.append("")
    return "\n".join(lines)


def checks() -> str:
    """The checks that ship."""
    app = _app()
    lines = [
        "# Checks",
        "",
        "`--check 'TYPE: VALUE'`, or `checks:` of a type in `runner.yaml`.",
        "",
        "| check | holds when | forms |",
        "|---|---|---|",
    ]
    for name in app.checks:
        registers = getattr(_module(app.checks.owner(name).plugin), "register_checks", None)
        forms = _cell(inspect.getdoc(registers) or "")
        lines.append(f"| `{name}` | {_cell(app.checks[name].summary)} | {forms} |")
    return "\n".join(lines)


def agents() -> str:
    """The agents that ship."""
    app = _app()
    lines = [
        "# Agents",
        "",
        "`runner test` tries out those that are installed. Each value can be changed in `runner.yaml` (`agents.NAME`).",
        "",
        "| agent | program | install | log in | levels of permission | session goes on |",
        "|---|---|---|---|---|---|",
    ]
    for name, agent in app.agents.items():
        goes_on = "no" if not agent.resume else "in the same directory" if agent.resume_in == "same" else "anywhere"
        levels = ", ".join(agent.permissions) or "its own"
        install, login = (
            f"`{_cell(agent.install)}`" if agent.install else "",
            f"`{_cell(agent.login)}`" if agent.login else "",
        )
        lines.append(f"| {name} | `{agent.program}` | {install} | {login} | {levels} | {goes_on} |")
    return "\n".join(lines)


def workflow_file() -> str:
    """Every key of a workflow file: type, default, meaning, and of a step's keys on which kinds it may stand."""
    from runner.workflows import model

    lines = [
        "# Workflow file",
        "",
        "A YAML file in `workflows/`, `.runner/workflows/` or `$XDG_CONFIG_HOME/runner/workflows/`, or anywhere when",
        "it is named by its path. `runner schema workflow` prints the JSON Schema for editors. A duration is `90`,",
        "`90s`, `15m`, `1h30m`, `2d`. [Concepts](../concepts/workflows.md), [how-to](../how-to/workflows.md).",
        "",
        "## The file",
        "",
        *_table(model.Workflow),
    ]
    parts = (
        ("params", model.Param, "`params: [{name: …}]`"),
        ("agents", model.AgentUse, "`agents: {NAME: {…}}`; a step may say the same for itself"),
        ("sessions", model.Session, "`sessions: [{name: …}]`"),
        ("on_error", model.OnError, "`on_error: continue`, or `on_error: {…}`"),
        ("on_error.retry", model.Retry, ""),
        ("repairable", model.Repairable, "`repairable: true`, or `repairable: {…}`, of the file or of a step"),
        ("budget", model.Budget, "`budget: {…}` of the file or of a step"),
        ("engine", model.Engine, "`engine: {type: …}`; what else stands there is the engine's own"),
        ("insert", model.Insert, "`insert: [{after: STEP, steps: […]}]`, beside `extends`"),
    )
    for name, part, about in parts:
        lines += [f"### {name}", "", *([about, ""] if about else []), *_table(part)]
    lines += ["## Steps", "", "One key says what a step does:", "", "| key | kind | |", "|---|---|---|"]
    fields = model.Step.model_fields
    for key, kind in model.KINDS.items():
        lines.append(f"| `{key}` | {kind} | {_cell(fields[key].description or '')} |")
    lines += ["", "`loop` stands beside `steps`. All keys, and the kinds of steps on which they may stand:", ""]
    lines += [*_table(model.Step, _kinds_with)]
    for name, part in (("loop", model.Loop), ("preflight", model.Preflight), ("worktree", model.Worktree)):
        lines += [f"### {name}", "", *_table(part)]
    return "\n".join(lines)


def _kinds_with(name: str) -> str:
    from runner.workflows import model

    if name in model.KINDS:
        return model.KINDS[name]
    kinds = [kind for kind, names in model._OF_KIND.items() if name in names]
    return "all" if name in model._COMMON else ", ".join(kinds)


def _table(part: Any, kinds: Callable[[str], str] | None = None) -> Iterator[str]:
    from runner.workflows.schema import spellings

    more = ("steps |", "---|") if kinds is not None else ("", "")
    yield f"| key | type | default | meaning | {more[0]}".rstrip()
    yield f"|---|---|---|---|{more[1]}"
    for name, field in part.model_fields.items():
        names = spellings(part, name) if issubclass(part, _strict()) else (name,)
        shown = ", ".join(f"`{one}`" for one in names)
        default = "needed" if field.is_required() else _default(field.get_default(call_default_factory=True))
        cells = [shown, _form(field), default, _cell(field.description or "")]
        yield f"| {' | '.join([*cells, *([kinds(name)] if kinds is not None else [])])} |"
    yield ""


def _strict() -> Any:
    from runner.workflows.model import Model

    return Model


def _default(value: Any) -> str:
    from pydantic import BaseModel

    if value in (None, (), {}, "") or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _form(field: Any) -> str:
    """What may stand there, in words."""
    text = str(field.annotation)
    if "_seconds" in text or "_seconds" in str(field.metadata):
        return "duration"
    if "_tokens" in text:
        return "number: 200k, 2M"
    if "function _text" in text and not text.startswith("dict"):
        return "text"
    if text == "float | None" or "Gt(gt=0)])]]" in text:
        return "number"
    if "_listed" in str(field.metadata):
        return "glob, or list"
    if "_on_error" in str(field.metadata):
        return "word or mapping"
    if "PATTERNS" in text or "fan-out" in text or "fan-out" in str(field.metadata):
        return "pattern"
    many = re.match(r"tuple\[runner\.workflows\.model\.(\w+)", text)
    if many is not None:
        return "list of steps" if many[1] == "Step" else "list of mappings"
    if re.search(r"runner\.workflows\.model\.\w+", text) and not text.startswith("dict"):
        return "true or mapping" if "bool" in text else "mapping"
    if text == "tuple[typing.Any, ...]":
        return "list of checks"
    return "glob, or list" if text.startswith("str | tuple") else _type(field.annotation)


def authoring() -> str:
    """Every code of the advice on workflows, with its whole explanation."""
    from runner.workflows.authoring import CHECKS, explain

    lines = [
        "# Mistakes in workflows",
        "",
        "What `runner workflow validate` says besides plain errors: such a workflow can run, and its author will",
        "wish to have known. Each has a code, a place and what to do; `--strict` makes them errors, and",
        "`run --dry-run` tells them, too.",
        "",
        "| code | |",
        "|---|---|",
        *(f"| [{code}](#{code}) | {_cell(meaning)} |" for code, meaning in CHECKS.items()),
        "",
    ]
    for code in CHECKS:
        lines += [f"## {code}", "", explain(code), ""]
    return "\n".join(lines)


def _module(plugin: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"runner_plugins.{plugin}")
    except ImportError:
        return None


def _app() -> Any:
    """The program as it ships: nobody's settings, nobody's project."""
    import tempfile

    from runner.app import App
    from runner.project import create_project

    global _opened
    if _opened is None:
        place = Path(tempfile.mkdtemp(prefix="runner-docs-"))
        os.environ |= {"XDG_STATE_HOME": str(place / "state"), "XDG_CONFIG_HOME": str(place / "config")}
        create_project(place / "project")
        _opened = App.open(place / "project", code=False, warn=lambda text: print(text, file=sys.stderr))
    return _opened


_opened: Any = None


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "configuration": configuration,
    "hooks": hooks,
    "types": types,
    "checks": checks,
    "agents": agents,
    "workflow-file": workflow_file,
    "authoring": authoring,
}
"""Name of the page below `reference/` → what makes it."""
