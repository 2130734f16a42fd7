"""Payload models of task types: what is common to them all, built when something first asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.lazymodel import LazyModel

if TYPE_CHECKING:
    from collections.abc import Callable


def payload(build: Callable[[Any], Any]) -> LazyModel:
    """The model that `build(base)` makes: a class derived from `base`, with fields of its own.

    Unknown fields are errors, values are not converted, keys that begin with `_` are the runner's own:

        def _model(base):
            from pydantic import Field  # here: importing it costs start-up

            class Payload(base, title="greet"):
                \"\"\"What `greet` takes.\"\"\"

                name: str = Field(min_length=1, description="whom")

            return Payload

        Payload = payload(_model)
    """
    return LazyModel(lambda: build(_base()))


def _base() -> Any:
    from pydantic import BaseModel, ConfigDict, model_validator

    class Payload(BaseModel):
        """The base of payloads."""

        model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"patternProperties": {"^_": {}}})

        @model_validator(mode="before")
        @classmethod
        def _own_keys(cls, values: Any) -> Any:
            if not isinstance(values, dict):
                return values
            return {key: value for key, value in values.items() if not str(key).startswith("_")}

        @model_validator(mode="after")
        def _passable(self) -> Any:
            for name in type(self).model_fields:
                for word in _words(getattr(self, name)):
                    if "\0" in word:  # a process is handed words that end with one
                        raise ValueError(f"{name} has a NUL character")
            return self

    return Payload


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [word for word in value if isinstance(word, str)]
    return []
