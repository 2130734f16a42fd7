"""Who owns a name: joins what plugins register, decides between two of one name, and calls the owner alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import PluginError, UsageError
from runner.handlers import import_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.plugins import Plugins

_SHIPPED = ("built-in", "shipped handler")
_OF_PROJECT = ("project plugin", "project handler")


class Owner(NamedTuple):
    """Who owns a name: the plugin's name and object, and what it said about it."""

    plugin: str
    object: object
    spec: Any


def collect(plugins: Plugins, hook: str, kind: type) -> dict[str, Owner]:
    """All answers of a `register_…` hook by name.

    Two owners of one name are a UsageError that names both, but a project's overrides a shipped one.
    """
    owners: dict[str, Owner] = {}
    for impl in getattr(plugins.manager.hook, hook).get_hookimpls():
        if impl.wrapper or impl.hookwrapper:
            continue
        try:
            answer = impl.function()
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(f"plugin '{impl.plugin_name}': {hook} failed: {import_failure(error)}") from error
        for name, spec in named(answer, kind, impl.plugin_name, hook).items():
            new = Owner(impl.plugin_name, impl.plugin, spec)
            owners[name] = winner(plugins, hook, name, owners[name], new) if name in owners else new
    return owners


def named(answer: object, kind: type, plugin: str, hook: str) -> dict[str, Any]:
    """The answer of a `register_…` hook, looked at: a mapping of names to specs."""
    if not isinstance(answer, Mapping):
        raise PluginError(f"plugin '{plugin}': {hook} must return a mapping of names, not {type(answer).__name__}")
    for name, spec in answer.items():
        if not isinstance(name, str) or not isinstance(spec, kind):
            raise PluginError(
                f"plugin '{plugin}': {hook} gives {name!r} a {type(spec).__name__}, not a {kind.__name__}",
                f"write: {{'{name}': {kind.__name__}(...)}}",
            )
    return dict(answer)


def winner(plugins: Plugins, hook: str, name: str, first: Owner, second: Owner) -> Owner:
    """Which of two owners of one name has it: the project's, when the other is shipped; else nobody."""
    origins = plugins.origin(first.plugin), plugins.origin(second.plugin)
    for mine, other, (own, foreign) in ((first, second, origins), (second, first, origins[::-1])):
        if own in _OF_PROJECT and foreign in _SHIPPED:
            plugins.note(mine.plugin, f"overrides {name} of {other.plugin}")
            return mine
    what = hook.removeprefix("register_").rstrip("s")
    raise UsageError(
        f"two plugins bring the {what} '{name}': {plugins.tell(first.plugin)} and {plugins.tell(second.plugin)}",
        f"switch one off: -p no:{second.plugin}",
    )


def call(plugins: Plugins, hook: str, owner: Owner) -> Callable[..., Any]:
    """A caller of `run_step` or `verify` that reaches the owner alone, and all wrappers → the owner's answer."""

    def ask(**arguments: Any) -> Any:
        # Chosen anew at each call: a handler that was imported meanwhile must not be reached.
        others = [
            impl.plugin
            for impl in getattr(plugins.manager.hook, hook).get_hookimpls()
            if impl.plugin is not owner.object and not (impl.wrapper or impl.hookwrapper)
        ]
        return plugins.manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)

    return ask
