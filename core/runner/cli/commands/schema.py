"""`runner schema`: the JSON Schema of a file that people write, or of the payload of a task type."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from runner.app import App
    from runner.cli.invocation import Invocation


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner schema\n"
        "  runner schema config --output config.schema.json\n"
        "  runner schema type run_script\n"
    ),
)
@click.argument("kind", metavar="[config|machines|skills|workflow|workflow-test|type]", required=False)
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write it there.")
@click.pass_obj
def command(inv: Invocation, kind: str | None, name: str | None, output: Path | None) -> None:
    """Print the JSON Schema of a file, or of the payload of the task type NAME. Without a word: list them.

    In a project, editors are offered its agents and types. To have yours check runner.yaml, write in its
    first line: # yaml-language-server: $schema=config.schema.json
    """
    from runner.cli.schemas import FILES, file_schema, payload_schema

    if kind is None:
        if output is not None:
            raise UsageError("--output needs to know what to write", "write: runner schema config --output FILE")
        _list(inv)
        return
    if kind == "type":
        if name is None:
            raise UsageError("which type?", f"known: {', '.join(inv.app(code=True).types)}")
        schema = payload_schema(inv.app(code=True), name)
    elif kind not in FILES:
        raise UsageError(f"there is no schema of '{kind}'", suggestion(kind, [*FILES, "type"]))
    elif name is not None:
        raise UsageError(f"'{kind}' takes no name", "write: runner schema type NAME")
    else:
        schema = file_schema(kind, _app(inv))
    if output is None:
        inv.emit(schema, lambda: inv.line(json.dumps(schema, indent=2)))
        return
    write(output, schema)
    inv.emit({"path": str(output.absolute())}, lambda: inv.line(f"Wrote {output}"))


def _app(inv: Invocation) -> App | None:
    """The project's own names, where there is a project."""
    app = inv.app()
    return inv.app(code=True) if app.has_project else None


def _list(inv: Invocation) -> None:
    from runner.cli.schemas import FILES

    app = inv.app(code=True)
    items = [{"schema": kind, "of": text} for kind, text in FILES.items()]
    items += [{"schema": f"type {name}", "of": f"the payload of {name}"} for name in app.types]
    inv.emit_list(items, lambda: inv.table(("schema", "of"), [(one["schema"], one["of"]) for one in items]))


def write(path: Path, schema: dict[str, Any]) -> None:
    """Write a schema as a whole or not at all; UsageError when that can't be."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
