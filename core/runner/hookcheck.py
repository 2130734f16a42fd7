"""Looks at a plugin before it is registered: misspelled hooks, unknown arguments, functions that can't be hooks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import PluginError, suggestion
from runner.hookspecs import HOOKS, Around, TheSix
from runner.project import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPECS = {name: function for spec in (TheSix, Around) for name, function in vars(spec).items() if name in HOOKS}

OWNED = {"run_step": "register_types", "verify": "register_checks"}
"""Hooks that reach only the owner of a name, and the hook that registers the names."""


class Impl(NamedTuple):
    """A function marked with `@hookimpl`: the hook it implements, its own name, and the options of the marker."""

    hook: str
    name: str
    function: Any
    options: dict[str, Any]

    @property
    def wraps(self) -> bool:
        return bool(self.options.get("wrapper") or self.options.get("hookwrapper"))

    @property
    def place(self) -> str:
        """`file:line` of the function."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return f"{shown(code.co_filename)}:{code.co_firstlineno}" if code else repr(self.function)


def implementations(plugin: object) -> Iterator[Impl]:
    """The marked functions of a plugin; unmarked ones do not count, whatever they are called."""
    for name in dir(plugin):
        if name.startswith("__"):
            continue  # Python's own: no hook is called so
        # A property of a stranger's object is not called to find out what it gives.
        if isinstance(inspect.getattr_static(plugin, name, None), property):
            continue
        function = getattr(plugin, name, None)
        options = getattr(function, "runner_impl", None)
        if isinstance(options, dict) and inspect.isroutine(function):
            yield Impl(options.get("specname") or name, name, function, options)


class Part:
    """Some of a plugin's hooks, registered apart from its others."""

    def __init__(self, functions: dict[str, Any]) -> None:
        self.__dict__.update(functions)


def split(plugin: object) -> list[tuple[str, object]]:
    """What to register for a plugin, with a suffix for its name: mostly the plugin itself.

    A plugin that owns a type and wraps `run_step` for everybody is registered as two: calls that are
    not for its type must leave out the one and reach the other.
    """
    impls = list(implementations(plugin))
    owned = {impl.hook for impl in impls if impl.hook in OWNED and not impl.wraps}
    if not any(impl.hook in owned and (impl.wraps or impl.options.get("specname")) for impl in impls):
        return [("", plugin)]
    # Under the hook's name: an older pluggy looks there when it leaves a plugin out.
    plain = {impl.hook if impl.hook in OWNED else impl.name: impl.function for impl in impls if not impl.wraps}
    wrappers = {impl.name: impl.function for impl in impls if impl.wraps}
    return [("", Part(plain)), (":wrappers", Part(wrappers))] if wrappers else [("", Part(plain))]


def check_hooks(plugin: object, name: str, *, handler: bool = False) -> None:
    """A PluginError, with file, line, plugin and hook, for the first thing that is wrong."""
    impls = list(implementations(plugin))
    for impl in impls:
        if impl.hook in _SPECS:
            _check_function(impl, name)
        elif not impl.options.get("optionalhook"):
            raise PluginError(
                f"{impl.place}: plugin '{name}' implements the unknown hook '{impl.hook}'", suggestion(impl.hook, HOOKS)
            )
    for hook, register in OWNED.items():
        plain = [impl for impl in impls if impl.hook == hook and not impl.wraps]
        if len(plain) > 1:
            raise PluginError(f"{plain[1].place}: plugin '{name}' implements the hook '{hook}' twice", "keep one")
        if plain and not handler and not any(impl.hook == register for impl in impls):
            raise PluginError(
                f"{plain[0].place}: plugin '{name}' implements '{hook}', but has no {register}: it is never called",
                f"name what it owns with {register}, or wrap it for all with @hookimpl(wrapper=True)",
            )


def _check_function(impl: Impl, name: str) -> None:
    known = list(inspect.signature(_SPECS[impl.hook]).parameters)[1:]
    where = f"{impl.place}: plugin '{name}': hook '{impl.hook}'"
    for argument in inspect.signature(impl.function).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            raise PluginError(f"{where} can't take '{argument}'", f"name its arguments: {', '.join(known) or 'none'}")
        if argument.default is argument.empty and argument.name not in known:
            near = suggestion(argument.name, known) if known else "it takes none"
            raise PluginError(f"{where} has no argument '{argument.name}'", near)
    if inspect.iscoroutinefunction(impl.function):
        raise PluginError(f"{where} is an async function", "hooks are plain functions")
    if impl.wraps and not inspect.isgeneratorfunction(inspect.unwrap(impl.function)):
        raise PluginError(f"{where} is a wrapper without a yield", "write: result = yield; return result")
