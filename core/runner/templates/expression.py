"""Expressions in placeholders and conditions: Jinja2's, in its sandbox, without its statements and comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.templates.scope import NotThere, Undefined, called, nearest
from runner.templates.syntax import TemplateError
from runner.templates.wrong import no_expression, wrong_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.templates.scope import Scope

_FALSE: Final = frozenset(("", "false", "no", "off", "0"))
"""Texts that are no in a condition."""


class _Said(str):
    """A text of a run, as a condition takes it: parameters and outputs are texts, and a no is a no."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return self.strip().lower() not in _FALSE

    def __eq__(self, other: object) -> bool:
        return bool(self) is other if isinstance(other, bool) else str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def _said(value: Any) -> Any:
    return _Said(value) if type(value) is str else value


class _Environment(ImmutableSandboxedEnvironment):
    """`a.b` and `a['b']` are look-ups by key; there are no attributes of Python objects to reach."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if hasattr(obj, "keys"):
            if argument in obj:
                try:
                    return _said(called(obj[argument]))
                except NotThere as error:
                    return self.undefined(error.message)
            if argument == "json" and "output" in obj:
                return self.undefined("the output is not JSON")
            near = nearest(str(argument), [str(key) for key in obj])
            return self.undefined(f"there is no '{argument}' ({near})")
        if isinstance(obj, (list, tuple, str)) and isinstance(argument, (int, slice)):
            try:
                return obj[argument]
            except IndexError:
                return self.undefined(f"there is no item {argument} of {len(obj)}")
        return self.undefined(f"there is no '{argument}'")


def _environment(functions: Mapping[str, Callable[..., Any]]) -> _Environment:
    made = _Environment(undefined=StrictUndefined, autoescape=False)
    made.globals = dict(functions)
    return made


def evaluate(source: str, scope: Scope, functions: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """The value of an expression; `functions` may be called in it. TemplateError says what is wrong."""
    compiled = _compiled(source, functions or {}, condition=functions is not None)
    used = {name for name, *_ in names_of(source)}
    values = {name: _said(scope[name]) for name in used if name in scope}
    if "self" in used and "self" not in values:  # Jinja's own, which is none of ours
        raise Undefined("'self' is not defined here", nearest("self", scope.known()))
    try:
        value = compiled(values)
        if isinstance(value, StrictUndefined):
            value._fail_with_undefined_error()
        return value
    except UndefinedError as error:
        missing = sorted(used - set(values) - set(functions or {}))
        if missing:
            raise Undefined(f"'{missing[0]}' is not defined here", nearest(missing[0], scope.known())) from None
        raise Undefined(f"in '{source}': {error.message}", "") from None
    except SecurityError as error:
        raise TemplateError(f"'{source}' is not allowed: {error}", "") from None
    except TemplateError:
        raise
    except Exception as error:
        raise wrong_value(source, error) from None


def check(source: str, functions: tuple[str, ...] = ()) -> None:
    """Raise TemplateError when the condition can't be parsed or calls a function that is not there."""
    tree = _parsed(source, condition=True)
    for call in tree.find_all(nodes.Call):
        if not isinstance(call.node, nodes.Name) or call.node.name not in functions:
            near = f"known: {', '.join(functions)}" if functions else "no function may be called here"
            raise TemplateError(f"'{source}' calls what is no function here", near)


def names_of(source: str) -> list[tuple[str, ...]]:
    """The paths that an expression starts from: `steps['a-b'].output == x` → `[("steps", "a-b", "output"), ("x",)]`."""
    tree = _parsed(source)
    called_names = {id(call.node) for call in tree.find_all(nodes.Call)}
    inner: set[int] = set()
    found: list[tuple[str, ...]] = []
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name)):
        if id(node) in inner or id(node) in called_names:
            continue
        path = _path(node, inner)
        if path:
            found.append(path)
    return found


def _path(node: Any, inner: set[int]) -> tuple[str, ...]:
    """The constant part of a chain of look-ups; what it stands on is noted as part of it."""
    if isinstance(node, nodes.Name):
        return (node.name,) if node.ctx == "load" else ()
    if isinstance(node, nodes.Getattr):
        inner.add(id(node.node))
        base = _path(node.node, inner)
        return (*base, node.attr) if base else ()
    if isinstance(node, nodes.Getitem):
        inner.add(id(node.node))
        base = _path(node.node, inner)
        if base and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, (str, int)):
            return (*base, str(node.arg.value))
        return base
    return ()


def _parsed(source: str, *, condition: bool = False) -> Any:
    try:
        return _environment({}).parse("{{ " + source + " }}")
    except TemplateSyntaxError as error:
        raise no_expression(source, error, condition=condition) from None


def _compiled(
    source: str, functions: Mapping[str, Callable[..., Any]], *, condition: bool
) -> Callable[[Mapping[str, Any]], Any]:
    try:
        expression = _environment(functions).compile_expression(source, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise no_expression(source, error, condition=condition) from None
    return lambda values: expression(dict(values))
