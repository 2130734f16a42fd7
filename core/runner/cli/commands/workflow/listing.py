"""`runner workflow list`: the workflows that can be named here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.errors import ConfigError
from runner.project import shown

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command("list", epilog="Example:\n\n\b\n  runner workflow list\n")
@click.pass_obj
def list_(inv: Invocation) -> None:
    """List the workflows of this folder, the project and yourself; a name that hides another stands first."""
    from runner.workflows.finding import SUFFIXES
    from runner.workflows.payload import library

    found = library(inv.app(code=True), Path.cwd())
    items: list[dict[str, Any]] = []
    for folder in found.folders:
        if folder.is_dir():
            files = [one for one in sorted(folder.iterdir()) if one.suffix in SUFFIXES]
            items += [_item(found, one) for one in files if not one.name.startswith("test_")]

    def text() -> None:
        if not items:
            inv.talk("no workflows here; `runner workflow new NAME` begins one")
        rows = [(one["name"], " ".join(one["params"]), one["description"], one["file"]) for one in items]
        inv.table(("name", "parameters", "description", "file"), rows)

    inv.emit_list(items, text)


def _item(found: Any, path: Path) -> dict[str, Any]:
    try:
        flow = found.source(path).workflow
    except ConfigError as error:
        return {"name": path.stem, "params": [], "description": f"broken: {error.message}", "file": shown(path)}
    params = [param.name if param.needed else f"[{param.name}]" for param in flow.params]
    return {"name": flow.name, "params": params, "description": flow.description, "file": shown(path)}
