"""A plugin that is imported when one of its hooks is first called: how the built-in ones are registered."""

from __future__ import annotations

import functools
import importlib
import inspect
import threading
from typing import TYPE_CHECKING, Any

from runner.hookspecs import Around, TheSix, hookimpl

if TYPE_CHECKING:
    from runner.config import Config

_SPECS: dict[str, Any] = {**vars(TheSix), **vars(Around)}


class LazyPlugin:
    """Stands for a module: `hooks` are those it implements, plainly (no wrappers, no other names).

    Its `configure` is called when it is imported, before the hook that was asked for.
    """

    def __init__(self, module: str, hooks: tuple[str, ...], config: Config) -> None:
        self.module = module
        self._config = config
        self._configures = "configure" in hooks
        self._lock = threading.RLock()
        self._loaded: object = None
        for hook in hooks:
            if hook != "configure":
                self.__dict__[hook] = self._stand_in(hook)

    def load(self) -> object:
        """The module itself, configured."""
        with self._lock:
            if self._loaded is None:
                module = importlib.import_module(self.module)
                if self._configures:
                    _call(module.configure, {"config": self._config})
                self._loaded = module
            return self._loaded

    def _stand_in(self, hook: str) -> Any:
        spec = _SPECS[hook]
        names = list(inspect.signature(spec).parameters)[1:]  # without self

        # Wrapped, because pluggy looks at the arguments' names and passes by position.
        @functools.wraps(spec)
        def ask(*arguments: Any) -> Any:
            return _call(getattr(self.load(), hook), dict(zip(names, arguments, strict=True)))

        # Last: what is built in is the default, anybody else's answer comes before it.
        return hookimpl(trylast=True)(ask)


def _call(function: Any, arguments: dict[str, Any]) -> Any:
    # A hook takes the arguments it names, in any order.
    return function(*(arguments[name] for name in _parameters(function)))


@functools.lru_cache(maxsize=512)
def _parameters(function: Any) -> tuple[str, ...]:
    """The names that a function takes; looking at it again for every step costs as much as a small hook."""
    return tuple(inspect.signature(function).parameters)
