"""What single steps say that can't be: payloads, values of checks, scripts, answers; and what experience warns of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import suggestion
from runner.keeper.redaction import is_secret
from runner.offers import machine_name
from runner.workflows.check import Problem, texts_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.app import App
    from runner.workflows.nodes import Node


def look(app: App, node: Node) -> Iterator[Problem]:
    """Everything about one leaf that needs to know what this installation has."""
    if node.kind == "task":
        yield from _payload(app, node)
    elif node.kind == "gate":
        yield from _gate(node)
    elif node.kind == "script":
        yield from _script(node)
    for number, one in enumerate(node.definition.get("verify") or ()):
        yield from _check(app, node, number, one)
    yield from _retries(node)
    yield from _secrets(node)
    yield from _machine(app, node)


def _filled(value: Any) -> bool:
    """Whether the file has the whole value: nothing is put in while the workflow runs."""
    return not any("{{" in text for text in texts_in(value))


def _payload(app: App, node: Node) -> Iterator[Problem]:
    """What the task type takes; of values that are not known yet only their names."""
    given, kind = node.definition, str(node.definition["task"])
    if kind not in app.types or app.types[kind].container:
        return  # told already
    payload = {**(given.get("with_") or {})}
    for key in ("agent", "model"):
        if given.get(key):
            payload.setdefault(key, given[key])
    wrong = app.registry.wrong_payload(kind, payload, names_only=not _filled(payload))
    if wrong is not None:
        field, message, hint = wrong
        own = field[:1] in (("agent",), ("model",)) and field[0] not in (given.get("with_") or {})
        yield Problem(node.where(*(() if own else ("with",)), *field), f"step '{node.id}': {message}", hint)


def _check(app: App, node: Node, number: int, one: Any) -> Iterator[Problem]:
    """A check that nobody brings, or that does not take this value."""
    place = node.where("verify", number)
    place = node.where("checks", number) if place == node.place else place
    if isinstance(one, dict) and len(one) == 1:
        [(name, value)] = one.items()
    elif isinstance(one, str):
        name, colon, text = one.partition(":")
        name, value = name.strip(), text.strip() if colon else None
    else:
        yield Problem(place, f"step '{node.id}': {one!r} is not a check", "write `TYPE: VALUE`")
        return
    spec = app.checks.get("command" if name == "custom" else name)
    if spec is None:
        yield Problem(place, f"step '{node.id}': no check is called '{name}'", suggestion(name, app.checks))
    elif spec.needs_value and value in (None, ""):
        yield Problem(place, f"step '{node.id}': the check '{name}' needs a value", spec.summary)
    elif spec.parse is not None and value is not None and _filled(value):
        try:
            spec.parse(value)
        except ValueError as error:
            yield Problem(place, f"step '{node.id}': the check '{name}': {error}", spec.summary)


def _gate(node: Node) -> Iterator[Problem]:
    given = node.definition
    options, default = given.get("options"), given.get("default")
    if default is not None and options and default not in options:
        said = f"step '{node.id}': the default '{default}' is none of its options"
        yield Problem(node.where("default"), said, suggestion(default, options))
    if given.get("deadline") is not None and default is None:
        said = f"step '{node.id}': nothing says what the answer is when the deadline is over"
        yield Problem(node.where("deadline"), said, "give it a `default`")


def _script(node: Node) -> Iterator[Problem]:
    given = node.definition
    if _filled(given["script"]) and not Path(given["folder"], given["script"]).is_file():
        said = f"step '{node.id}': there is no script '{given['script']}'"
        yield Problem(node.where("script"), said, "its place is told from the workflow's file")


def _retries(node: Node) -> Iterator[Problem]:
    """A step that says `retries` and is not tried again after what its author thinks of."""
    native = node.source is not None and not node.source.foreign
    if node.kind in ("shell", "script") and native and node.own().get("retries"):
        said = f"step '{node.id}': `retries` is not for an exit code other than 0, which is a red check"
        hint = "to try again after that, put it in a `loop: {max: 3}`, with `break_if: success`"
        yield Problem(node.where("retries"), said, hint, warning=True)


def _secrets(node: Node) -> Iterator[Problem]:
    for name, value in dict(node.definition.get("env") or {}).items():
        if is_secret(name, value) and _filled(value):
            whole = node.source is not None and name not in (node.own().get("env") or {})
            place = node.source.place("env", name) if whole and node.source is not None else node.where("env", name)
            said = f"the value of {name} looks like a secret, and what the file says is not redacted"
            yield Problem(place, said, f"leave it out here and set {name} in the environment", warning=True)


def _machine(app: App, node: Node) -> Iterator[Problem]:
    name = node.definition.get("machine")
    if not name or not _filled(name):
        return
    here = machine_name(app, None)
    known = {here, *app.config.machines, *(alias for one in app.config.machines.values() for alias in one.aliases)}
    if name not in known:
        said = f"step '{node.id}': no machine is called '{name}' in machines.yaml, and this one is '{here}'"
        yield Problem(node.where("machine"), said, suggestion(name, known), warning=True)
