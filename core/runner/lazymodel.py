"""A payload model that is built when something first asks for it: importing pydantic costs 70 ms."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class LazyModel:
    """Stands for the pydantic model that `build` returns: what starts with `model_` is the model's own."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self.__dict__.update(_build=build, _lock=threading.Lock(), _model=None)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("model_"):
            raise AttributeError(name)  # pluggy, copying, inspecting ask everything for their marks: no reason to build
        with self._lock:
            if self._model is None:
                self.__dict__["_model"] = self._build()
        return getattr(self._model, name)
