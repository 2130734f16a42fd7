"""Looks at a plugin before it is registered: misspelled hooks, unknown arguments, functions that can't be hooks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import PluginError, suggestion
from runner.hookspecs import HOOKS, Around, TheSix

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPECS = {name: function for spec in (TheSix, Around) for name, function in vars(spec).items() if name in HOOKS}


class Impl(NamedTuple):
    """A function marked with `@hookimpl`: the hook it implements and the options of the marker."""

    hook: str
    function: Any
    options: dict[str, Any]

    @property
    def wraps(self) -> bool:
        return bool(self.options.get("wrapper") or self.options.get("hookwrapper"))

    @property
    def place(self) -> str:
        """`file:line` of the function."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(self.function)


def implementations(plugin: object) -> Iterator[Impl]:
    """The marked functions of a plugin; unmarked ones do not count, whatever they are called."""
    for name in dir(plugin):
        # Looked up without calling descriptors: a property of a stranger's object is none of our business.
        if callable(inspect.getattr_static(plugin, name, None)) or not inspect.ismodule(plugin):
            function = getattr(plugin, name, None)
            options = getattr(function, "runner_impl", None)
            if isinstance(options, dict) and inspect.isroutine(function):
                yield Impl(options.get("specname") or name, function, options)


def check_hooks(plugin: object, name: str) -> None:
    """A PluginError, with file, line, plugin and hook, for the first thing that is wrong."""
    for impl in implementations(plugin):
        if impl.hook not in _SPECS:
            if impl.options.get("optionalhook"):
                continue
            raise PluginError(
                f"{impl.place}: plugin '{name}' implements the unknown hook '{impl.hook}'", suggestion(impl.hook, HOOKS)
            )
        known = list(inspect.signature(_SPECS[impl.hook]).parameters)[1:]
        for argument in inspect.signature(impl.function).parameters.values():
            if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
                raise PluginError(
                    f"{impl.place}: plugin '{name}': hook '{impl.hook}' can't take '{argument}'",
                    f"name the arguments it needs: {', '.join(known) or 'it has none'}",
                )
            if argument.default is argument.empty and argument.name not in known:
                raise PluginError(
                    f"{impl.place}: plugin '{name}': hook '{impl.hook}' has no argument '{argument.name}'",
                    suggestion(argument.name, known) if known else "it takes none",
                )
        if inspect.iscoroutinefunction(impl.function):
            raise PluginError(
                f"{impl.place}: plugin '{name}': hook '{impl.hook}' is an async function", "hooks are plain functions"
            )
        if impl.wraps and not inspect.isgeneratorfunction(inspect.unwrap(impl.function)):
            raise PluginError(
                f"{impl.place}: plugin '{name}': the wrapper of '{impl.hook}' has no yield",
                "write: result = yield; return result",
            )
