"""What is said of expressions that can't be read or evaluated, in the words of who wrote them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runner.templates.syntax import TemplateError

if TYPE_CHECKING:
    from jinja2 import TemplateSyntaxError

_COMPARED: Final = re.compile(r"'\W+' not supported between instances of '(\w+)' and '(\w+)'")
_NUMBERS: Final = frozenset(("int", "float"))
_TEXTS: Final = ("str", "_Said")
_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_LEFT: Final = re.compile(rf"([A-Za-z_][\w.-]*)\s*([<>]=?)\s*({_NUMBER})(?![\w.])")
_RIGHT: Final = re.compile(rf"(?<![\w.])({_NUMBER})\s*([<>]=?)\s*([A-Za-z_][\w.-]*)")


def no_expression(source: str, error: TemplateSyntaxError, *, condition: bool) -> TemplateError:
    """Of a text that can't be read; a `condition` is an expression by itself and has no braces around it."""
    message = re.sub(r" at \d+$", "", str(error.message))  # counted in the braces that it stood in
    # The braces that it stood in while it was read are none of its own.
    ended = re.search(r"end of (print statement|template)", message) or ("'}'" in message and "}" not in source)
    why = "it ends too early" if ended else message
    return TemplateError(f"'{source}' is not an expression: {why}", _advice(source, condition))


def _advice(source: str, condition: bool) -> str:
    if "&&" in source or "||" in source or "!" in source.replace("!=", ""):
        return "write `and`, `or`, `not`"
    if condition:
        return "write it without {{ and }}" if "{{" in source else ""
    return r"write \{{ for literal braces"


def wrong_value(source: str, error: Exception) -> TemplateError:
    """Of an expression that stumbled over its values."""
    compared = _COMPARED.match(str(error)) if isinstance(error, TypeError) else None
    if compared is None:
        return TemplateError(f"'{source}' can't be evaluated: {type(error).__name__}: {error}", "")
    kinds = {compared[1], compared[2]}
    if not (kinds & _NUMBERS and kinds & {*_TEXTS}):
        return TemplateError(f"'{source}' compares values of two kinds, which have no order", "")
    hint = "make a number of the text: `(… | int)`"
    if (found := _LEFT.search(source)) is not None:
        hint = f"write `({found[1]} | int) {found[2]} {found[3]}`"
    elif (found := _RIGHT.search(source)) is not None:
        hint = f"write `{found[1]} {found[2]} ({found[3]} | int)`"
    return TemplateError(f"'{source}' compares a text with a number", hint)
