"""`runner submit`: put one task, or a file of them, into the queue."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner import times
from runner.cli import taskview
from runner.cli.output import clean, write_talk
from runner.errors import UsageError
from runner.submission import Submission
from runner.taskrequest import parse_object, read_lines, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.cli.invocation import Invocation
    from runner.store import Submitted
    from runner.submission import Prepared
    from runner.taskrequest import TaskRequest

_MANY = 500
"""From this many tasks on, a terminal sees how far it is."""


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner submit \"Fix the failing test in tests/test_cart.py\" --check 'command: python -m unittest'\n"
        "  runner submit --type run_script --payload '{\"script\": \"make report\"}' --artifact 'report/*.html'\n"
        "  runner submit --from tasks.jsonl\n"
    ),
)
@click.argument("prompt", required=False)
@click.option("--type", metavar="T", help="Task type (agent_run when a PROMPT is given).")
@click.option("--payload", metavar="JSON|@FILE", help="The payload: JSON, @FILE, or @- for standard input.")
@click.option("--agent", metavar="A", help="The agent that runs it; '-' for none.")
@click.option("--machine", metavar="M", help="Only this machine may take it.")
@click.option("--priority", metavar="N", type=int, help="One point is ten minutes' head start (default 0).")
@click.option("--key", metavar="K", help="The same key is the same task while that one is unfinished.")
@click.option("--key-forever", is_flag=True, help="The key names the task for ever, finished or not.")
@click.option("--after", metavar="ID", multiple=True, help="A task that must be done first (repeatable).")
@click.option("--not-before", metavar="T", help="ISO time, +30m, 2h, 17:30, tomorrow.")
@click.option("--limit-key", metavar="K", help="One task of a limit key runs at a time.")
@click.option("--work-unit", metavar="ID", help="The work unit: one branch, one workspace, one task at a time.")
@click.option("--expects", metavar="E", help="What counts as work done: changes, answer or none.")
@click.option(
    "--check", "checks", metavar="'TYPE[: VALUE]'", multiple=True, help="A condition on the result (repeatable)."
)
@click.option("--artifact", "artifacts", metavar="GLOB", multiple=True, help="Files to keep (repeatable).")
@click.option("--may-edit", metavar="GLOB", multiple=True, help="Gate files the agent may change (repeatable).")
@click.option("--protect", metavar="GLOB", multiple=True, help="More files the agent must not change (repeatable).")
@click.option("--timeout", metavar="T", help="Wall clock of one attempt: seconds, 30m, 2h.")
@click.option("--silence", metavar="T", help="End an attempt that prints nothing for so long.")
@click.option("--attempts", metavar="N", type=int, help="Attempts before it fails or asks a person.")
@click.option("--repairs", metavar="N", type=int, help="Repairs of red checks in one attempt.")
@click.option("--repair-agent", metavar="A", help="The agent that repairs red checks (default: the task's own).")
@click.option("--no-default-checks", is_flag=True, help="Without the checks that the configuration gives to the type.")
@click.option("--model", metavar="M", help="The agent's model.")
@click.option("--cwd", metavar="DIR", help="Where it works (default: the project).")
@click.option("--hold", is_flag=True, help="Put it into planning; `runner retry ID` queues it.")
@click.option("--from", "source", metavar="FILE.jsonl|-", help="Submit one task a line, all or none.")
@click.option("--dry-run", is_flag=True, help="Show what would be submitted and where it would go.")
@click.pass_obj
def command(inv: Invocation, /, source: str | None, dry_run: bool, **given: Any) -> None:
    """Put a task into the queue.

    Other options beside --from are what its lines leave out. Its lines are JSON objects with the names of
    the options; a line may have a "name" that the "after" of others refer to.
    """
    app = inv.app(code=True)
    defaults = _values(given)
    submission = Submission(app, Path.cwd())
    if source is None:
        requests = [request(defaults)]
    else:
        if "prompt" in defaults or "payload" in defaults:
            raise UsageError("--from brings the tasks; a PROMPT or --payload can't be given beside it")
        requests = _read(source, defaults)
    with _Progress(len(requests), quiet=inv.quiet) as progress:
        prepared = submission.prepare(requests, progress.seen)
    for note in dict.fromkeys(note for one in prepared for note in one.notes):
        inv.warn(note)
    if dry_run:
        _show_plan(inv, prepared, single=source is None)
        return
    _show(inv, prepared, submission.submit(prepared), single=source is None)


class _Progress:
    """How many of many tasks are checked, on one line of a terminal; silent elsewhere."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._shown = total >= _MANY and not quiet and sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def seen(self, count: int) -> None:
        if self._shown and (count % 100 == 0 or count == self._total):
            sys.stderr.write(f"\r{count} of {self._total} tasks checked")
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _values(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as the fields of a request."""
    # By identity: a 0 that was given equals False, and is an answer all the same.
    values = {name: value for name, value in given.items() if value is not None and value is not False and value != ()}
    if values.pop("no_default_checks", False):
        values["default_checks"] = False
    if "prompt" in values and values["prompt"] == "-":
        values["prompt"] = _stdin("the prompt")
    if "payload" in values:
        values["payload"] = _payload(values["payload"])
    return values


def _payload(text: str) -> Any:
    if not text.startswith("@"):
        return parse_object(text, "--payload")
    if text == "@-":
        return parse_object(_stdin("the payload"), "standard input")
    return parse_object(_file(text[1:]), text[1:])


def _stdin(what: str) -> str:
    if sys.stdin is None:
        raise UsageError(f"standard input is closed: {what} can't be read from it")
    if sys.stdin.isatty():
        write_talk(f"Reading {what} from standard input; end it with Ctrl-D.")
    return _decoded(sys.stdin.buffer.read(), "standard input")


def _file(name: str) -> str:
    try:
        return _decoded(Path(name).expanduser().read_bytes(), name)
    except OSError as error:
        raise UsageError(f"can't read {name}: {error.strerror}") from None


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{where}:{line}: not UTF-8 text") from None


def _read(source: str, defaults: dict[str, Any]) -> list[TaskRequest]:
    text = _stdin("tasks") if source == "-" else _file(source)
    # Not splitlines(): a JSON string may hold U+2028 and its kind, which end no line of the file.
    requests = list(read_lines(text.split("\n"), "standard input" if source == "-" else source, defaults))
    if not requests:
        raise UsageError(
            f"{'standard input' if source == '-' else source} holds no tasks", "write one JSON object a line"
        )
    return requests


def _show(inv: Invocation, prepared: Sequence[Prepared], submitted: Sequence[Submitted], single: bool) -> None:
    def text() -> None:
        for one, result in zip(prepared, submitted, strict=True):
            name = f" ({one.name})" if one.name else ""
            if result.created:
                word = "queued" if result.status == "pending" else f"queued ({result.status})"
                inv.line(clean(f"Task {result.id} {word}{name}"))
            else:
                inv.line(f"Task {result.id} is there already: {result.status}{name}")
            if one.reason:
                inv.talk(f"{result.id}: {one.reason}")

    if inv.format == "text":
        text()
        return
    store = inv.store()
    items = []
    for one, result in zip(prepared, submitted, strict=True):
        task = store.queue.get(result.id)
        if task is not None:
            extra = {"created": result.created, "after": list(task.after), "route": one.reason or None}
            items.append({**taskview.task_json(task), **extra, **({"name": one.name} if one.name else {})})
    if single:
        inv.emit(items[0], text)
    else:
        inv.emit_list(items, text)


def _show_plan(inv: Invocation, prepared: Sequence[Prepared], single: bool) -> None:
    """What would be stored, in the fields of the task that will be; parents of the same submit by their names."""
    names = {one.task.id: one.name for one in prepared if one.name}
    items = [_planned(one, names) for one in prepared]

    def text() -> None:
        for item in items:
            inv.line(f"Would queue a task of type {item['type']}")
            for name, value in _lines(item):
                inv.line(clean(f"  {name:<13} {value}"))

    if single:
        inv.emit(items[0], text)
    else:
        inv.emit_list(items, text)


def _lines(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a planned task that say something, in words for people."""
    checks = [f"{c['type']}: {_word(c['value'])}" if c["value"] is not None else c["type"] for c in item["checks"]]
    base = item["base"]
    own = {
        "checks": "; ".join(checks),
        "base": f"{base['repo']} at {base['commit'][:12]}" if base else "",
    }
    for name, value in item.items():
        if name in ("payload", "policy"):
            for inner, given in value.items():
                text = times.span(given) if inner in ("timeout", "silence") and given else _word(given)
                if text:
                    yield inner, text
        elif name != "type" and (text := own.get(name, _word(value))) and (name, value) != ("priority", 0):
            yield name, text


def _word(value: Any) -> str:
    """A value as people write it: no quotes, no brackets where they add nothing; empty for what is not there."""
    if value in (None, [], {}, ""):
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _planned(one: Prepared, names: Mapping[str, str]) -> dict[str, Any]:
    task = one.task
    return {
        "name": one.name,
        "type": task.type,
        "status": "planning" if task.planning else None,
        "payload": task.payload,
        "agent": task.agent,
        "machine": task.machine,
        "route": one.reason or None,
        "account": task.account,
        "requires": list(task.requires),
        "priority": task.priority,
        "key": task.key,
        "limit_key": task.limit_key,
        "work_unit": task.unit,
        "after": [names.get(parent, parent) for parent in task.after],
        "not_before": times.iso(task.not_before),
        "checks": task.spec["checks"],
        "policy": task.spec["policy"],
        "base": task.spec["base"],
        "cwd": task.spec["cwd"],
        "project": task.project,
    }
