"""`runner config`: every effective setting, and which file and line, variable or flag it came from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from runner.app import hide_password
from runner.config import Section
from runner.config.values import plain
from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.app import App
    from runner.cli.invocation import Invocation

_SECRET = re.compile(r"\.env\.\w*(KEY|TOKEN|SECRET|PASSWORD)\w*$", re.IGNORECASE)


@click.command(epilog="Example:\n\n\b\n  runner config\n  runner config worker.slots\n  runner config --format json")
@click.argument("key", required=False)
@click.pass_obj
def command(inv: Invocation, key: str | None) -> None:
    """Show the settings and where each came from, or those under KEY.

    A flag goes before an environment variable (RUNNER_WORKER_SLOTS), that before the project's
    runner.yaml, that before your own config.yaml, that before the default.
    """
    app = inv.app()
    items = [{"key": name, "value": value, "origin": origin} for name, value, origin in settings(app)]
    if key is not None:
        known = {part for item in items for part in _prefixes(item["key"])}
        if key not in known:
            raise UsageError(f"unknown setting '{key}'", suggestion(key, known))
        items = [item for item in items if key in _prefixes(item["key"])]
    if key is not None and items[0]["key"] == key:
        inv.emit(items[0], lambda: _table(inv, items))
    else:
        inv.emit_list(items, lambda: _table(inv, items))


def settings(app: App) -> Iterator[tuple[str, Any, str]]:
    """Each setting as (dotted key, value, origin); passwords are hidden."""
    for key, value in _leaves("", app.config):
        if key in ("store", "artifacts"):
            if value is not None or app.has_project:
                value = hide_password(app.store_url if key == "store" else app.artifacts_url)
        elif _SECRET.search(key):
            value = "***"
        yield key, value, app.config.origin(key)


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Section) or (isinstance(value, dict) and value):
        # In a named entry (an agent, a machine) what was not given says nothing.
        named = key.count(".") == 1 and isinstance(value, Section)
        for name, item in value if isinstance(value, Section) else value.items():
            if not (named and item is None):
                yield from _leaves(f"{key}.{name}".lstrip("."), item)
    else:
        yield key, plain(value)


def _prefixes(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _table(inv: Invocation, items: list[dict[str, Any]]) -> None:
    inv.table(("key", "value", "from"), [(i["key"], _text(i["value"]), i["origin"]) for i in items])


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
